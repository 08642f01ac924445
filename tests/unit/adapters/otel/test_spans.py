"""What a trace has of a decision and of a call."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from msgspec import structs
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client import REGISTRY
from tests.desk import SECRET, Desk, admission, chat, refusal
from tests.fakes import FixedClock
from tests.make import DOLLAR, limit_set, reservation

from tollgate import telemetry
from tollgate.adapters.otel import spans
from tollgate.adapters.otel.spans import CallSpans
from tollgate.admission.admission import Request
from tollgate.core.calls import reservation_text
from tollgate.core.calls.decision import Admission
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.models.deployment import Deployment
from tollgate.reporting.measuring.traced_admissions import TracedAdmissions

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CALLER}-01"
IDENTITY = "01a220abbb55a12bcb4c3a733486"
SERVED = Deployment("gpt-4o", "gpt-4o", "azure", "gpt-4o", "https://a")
MICROSECONDS = 1_000_000


class Traced:
    """Spans of calls at one provider, as a collector gets them."""

    def __init__(self, **environment: str) -> None:
        self.clock = FixedClock()
        self.sent = InMemorySpanExporter()
        self.spans = CallSpans(
            lambda _: SERVED, self.clock, environment, SimpleSpanProcessor(self.sent)
        )

    def made(self) -> list[ReadableSpan]:
        self.spans.make(100)
        return list(self.sent.get_finished_spans())

    async def ask(self, desk: Desk, headers: Mapping[str, str]) -> None:
        """A decision of the desk's, traced."""
        self.clock.us = desk.clock.us

        asked = json.dumps(chat()).encode()
        headers = {"authorization": f"Bearer {SECRET}", **headers}
        request = Request("POST", "/v1/chat/completions", headers, asked)
        self.decision = await TracedAdmissions(desk.door(), self.spans, self.clock).admit(request)


def held(traceparent: str = "") -> Reservation:
    return structs.replace(reservation(IDENTITY), traceparent=traceparent, stream=True)


def hexadecimal(number: int, digits: int) -> str:
    return f"{number:0{digits}x}"


def test_a_call_is_a_client_span_of_the_callers_trace_by_the_conventions() -> None:
    """From admission to settlement, with usage and dollars; under the caller's span."""
    traced = Traced()
    call = held(PARENT)
    traced.clock.us = call.admitted_us + 2 * MICROSECONDS
    usage = Usage(
        30, 7, cache_read_tokens=20, cache_write_5m_tokens=1, cache_write_1h_tokens=2,
        reasoning_tokens=3, reply_model="gpt-4o-2024",
    )  # fmt: skip
    traced.spans.settled(call, Settlement(usage, DOLLAR // 2, 200, "test"))
    (span,) = traced.made()
    assert (span.name, span.kind) == ("chat gpt-4o", SpanKind.CLIENT)
    assert span.context is not None
    assert span.parent is not None
    assert hexadecimal(span.context.trace_id, 32) == TRACE
    assert hexadecimal(span.parent.span_id, 16) == CALLER
    assert (span.start_time, span.end_time) == (call.admitted_us * 1000, traced.clock.us * 1000)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.cache_write.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "http.response.status_code": 200,
        "tollgate.request_id": IDENTITY,
        "tollgate.cost": 0.5,
        "tollgate.certainty": "exact",
    }
    assert span.resource.attributes["service.name"] == "tollgate"


def test_a_call_of_no_trace_begins_one_that_its_id_names() -> None:
    """And an error of the provider's is one; old names are there for those who ask."""
    traced = Traced(OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai/dup", OTEL_SERVICE_NAME="ours")
    traced.spans.settled(held(), Settlement(Usage(), 0, 503, "test"))
    (span,) = traced.made()
    assert span.context is not None
    assert hexadecimal(span.context.trace_id, 28) == IDENTITY
    assert span.parent is None
    assert span.attributes is not None
    assert (span.attributes["error.type"], span.status.is_ok) == ("503", False)
    assert span.attributes["gen_ai.system"] == "azure.ai.openai"
    assert span.resource.attributes["service.name"] == "ours"


async def test_a_decision_is_a_span_below_its_calls() -> None:
    """The reservation carries the caller's trace on to whoever settles."""
    traced, desk = Traced(), Desk()
    desk.key()
    await traced.ask(desk, {"traceparent": PARENT})
    assert isinstance(traced.decision, Admission)
    carried = traced.decision.reservation
    assert carried is not None
    assert reservation_text.decode(reservation_text.encode(carried)).traceparent == PARENT
    traced.spans.settled(carried, Settlement(Usage(), 0, 200, "test"))
    decided, call = traced.made()
    assert (decided.name, decided.kind) == ("tollgate.decide", SpanKind.INTERNAL)
    assert decided.context is not None
    assert decided.parent is not None
    assert call.context is not None
    assert hexadecimal(decided.context.trace_id, 32) == TRACE
    assert decided.parent.span_id == call.context.span_id


async def test_a_refusal_is_a_span_that_says_why() -> None:
    """With the request's id, as the reply has it."""
    traced, desk = Traced(), Desk()
    desk.key(limits=limit_set(rpm=0))
    await traced.ask(desk, {"traceparent": PARENT})
    _, _, headers = refusal(traced.decision)
    (span,) = traced.made()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "key_requests"
    assert span.attributes["http.response.status_code"] == 429
    assert span.attributes["tollgate.request_id"] == headers["x-tollgate-request-id"]
    assert not span.status.is_ok
    assert span.parent is not None
    assert hexadecimal(span.parent.span_id, 16) == CALLER


@pytest.mark.parametrize(
    "told",
    [
        "nonsense",
        PARENT.upper(),
        PARENT + "x" * 60_000,
        f"00-{'0' * 32}-{CALLER}-01",
        f"ff-{TRACE}-{CALLER}-01",
        f"00-{TRACE}-{CALLER}",
    ],
)
async def test_what_is_no_trace_is_none(told: str) -> None:
    """The call is traced by its own id, and carries nothing that a client made long."""
    traced, desk = Traced(), Desk()
    desk.key()
    await traced.ask(desk, {"traceparent": told})
    carried = admission(traced.decision).reservation
    assert carried is not None
    assert len(carried.traceparent) <= len(PARENT)
    (span,) = traced.made()
    assert span.context is not None
    assert span.context.trace_id == int(carried.id, 16)


def test_a_trace_that_its_caller_does_not_sample_has_no_spans() -> None:
    """As the usual sampler has it."""
    traced = Traced()
    traced.spans.settled(held(f"00-{TRACE}-{CALLER}-00"), Settlement(Usage(), 0, 200, "test"))
    assert traced.made() == []


def test_notes_beyond_the_bound_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that is away costs a bounded part of memory."""
    monkeypatch.setattr(spans, "MOST_WAITING", 3)
    telemetry.publish()
    before = REGISTRY.get_sample_value("tollgate_spans_dropped_total") or 0
    traced = Traced()
    for _ in range(5):
        traced.spans.settled(held(), Settlement(Usage(), 0, 200, "test"))
    telemetry.publish()
    assert len(traced.made()) == 3
    assert REGISTRY.get_sample_value("tollgate_spans_dropped_total") == before + 2
