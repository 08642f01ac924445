"""Send a span of each decision and of each call to OpenTelemetry, off the path of requests.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/client-inference.md
says how the span of a call is called and what it has. It lasts from admission to settlement; the
span of the decision is below it. Both belong to the caller's trace if the request names one, else
to a trace whose id is the request's own. Requests leave notes in memory. Once a second spans are
made of them, which the SDK's thread exports (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_BSP_...).
OTEL_TRACES_SAMPLER decides which.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from random import getrandbits
from typing import Final

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tollgate import telemetry
from tollgate.adapters.otel.conventions import call_attributes, wants_deprecated
from tollgate.core.answers.headers import REQUEST_ID
from tollgate.core.calls.decision import Refusal
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.trace_context import TRACEPARENT
from tollgate.core.models.deployment import Deployment
from tollgate.ports import Clock
from tollgate.reporting.measuring.traced_admissions import TimedDecision

MADE_EVERY_S = 1.0
MOST_WAITING = 10_000
"""Notes that wait to become spans; the oldest of more are dropped, and counted."""
# Made without letting requests in between.
_AT_ONCE = 50
_NANOUSD_PER_USD: Final = 1_000_000_000
_FAILED_FROM: Final = 400
_SCOPE: Final = InstrumentationScope("tollgate")
_DECISION: Final = "tollgate.decide"

_Attributes = dict[str, str | int | float | bool]


class _Settled(Struct, frozen=True):
    """A settled call, and when it was settled."""

    reservation: Reservation
    settlement: Settlement
    end_us: int


class _Trace(Struct, frozen=True):
    """Where a span belongs: its trace, and the caller's span; `context`: as the sampler asks."""

    trace_id: int
    caller: SpanContext | None
    context: Context


class CallSpans:
    """Notes of decisions and settlements, until they are spans.

    `find_deployment`: who serves a call. `processor` takes the place of what sends over OTLP.
    """

    def __init__(
        self,
        find_deployment: Callable[[Reservation], Deployment | None],
        clock: Clock,
        environment: Mapping[str, str],
        processor: SpanProcessor | None = None,
    ) -> None:
        self._find_deployment = find_deployment
        self._clock = clock
        self._deprecated_too = wants_deprecated(environment)
        name = environment.get("OTEL_SERVICE_NAME", "tollgate")
        self._resource = Resource.create({SERVICE_NAME: name})
        self._sampler = TracerProvider(resource=self._resource).sampler
        self._processor = processor or BatchSpanProcessor(OTLPSpanExporter())
        self._propagator = TraceContextTextMapPropagator()
        self._waiting: deque[TimedDecision | _Settled] = deque()
        self._noted = asyncio.Event()

    def decided(self, timed: TimedDecision) -> None:
        """Note a decision."""
        self._note(timed)

    def settled(self, reservation: Reservation, settlement: Settlement) -> None:
        """Note a settled call."""
        self._note(_Settled(reservation, settlement, self._clock.now_us()))

    async def keep_exported(self) -> None:
        """Make spans forever of what is noted. An idle process is not woken."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(MADE_EVERY_S)
            self._noted.clear()
            while self._waiting:
                self.make(_AT_ONCE)
                await asyncio.sleep(0)

    def make(self, most: int) -> None:
        """Make spans of at most so many notes."""
        for _ in range(min(most, len(self._waiting))):
            note = self._waiting.popleft()
            if isinstance(note, _Settled):
                self._call_span(note)
            else:
                self._decision_span(note)

    def close(self) -> None:
        """Export what was noted. It waits for the collector."""
        self.make(len(self._waiting))
        self._processor.shutdown()

    def _note(self, note: TimedDecision | _Settled) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            telemetry.span_dropped()
        self._waiting.append(note)
        self._noted.set()

    def _decision_span(self, timed: TimedDecision) -> None:
        decision, parent_id = timed.decision, None
        attributes: _Attributes = {}
        if isinstance(decision, Refusal):
            request_id = next(each.value for each in decision.headers if each.name == REQUEST_ID)
            attributes["error.type"] = decision.reason
            attributes["http.response.status_code"] = decision.status
            reservation = decision.asked
        elif (reservation := decision.reservation) is not None:
            request_id = reservation.id
            parent_id = _span_id_of(request_id)
        else:
            return  # it passes unmetered, under no id
        attributes["tollgate.request_id"] = request_id
        if reservation is not None and reservation.model:
            attributes["gen_ai.request.model"] = reservation.model
        self._end(
            _DECISION,
            self._trace(request_id, timed.traceparent),
            (getrandbits(64) or 1, parent_id),
            (timed.begin_us, timed.end_us),
            attributes,
            SpanKind.INTERNAL,
        )

    def _call_span(self, settled: _Settled) -> None:
        reservation, settlement = settled.reservation, settled.settlement
        usage = settlement.usage
        called = call_attributes(self._find_deployment(reservation), reservation.model)
        attributes: _Attributes = {
            **called,
            "gen_ai.request.stream": reservation.stream,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "tollgate.request_id": reservation.id,
            "tollgate.cost": settlement.cost_nanousd / _NANOUSD_PER_USD,
            "tollgate.certainty": settlement.certainty.value,
        }
        written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        for name, tokens in (
            ("cache_read.input_tokens", usage.cache_read_tokens),
            ("cache_write.input_tokens", written),
            ("reasoning.output_tokens", usage.reasoning_tokens),
        ):
            if tokens:
                attributes[f"gen_ai.usage.{name}"] = tokens
        if usage.reply_model is not None:
            attributes["gen_ai.response.model"] = usage.reply_model
        if settlement.status:
            attributes["http.response.status_code"] = settlement.status
        if settlement.status >= _FAILED_FROM:
            attributes["error.type"] = str(settlement.status)
        if self._deprecated_too:
            attributes["gen_ai.system"] = called["gen_ai.provider.name"]
        self._end(
            f"{called['gen_ai.operation.name']} {reservation.model}",
            self._trace(reservation.id, reservation.traceparent),
            (_span_id_of(reservation.id), None),
            (reservation.admitted_us, max(reservation.admitted_us, settled.end_us)),
            attributes,
            SpanKind.CLIENT,
        )

    def _trace(self, request_id: str, traceparent: str) -> _Trace:
        if traceparent:
            context = self._propagator.extract({TRACEPARENT: traceparent}, Context())
            caller = get_current_span(context).get_span_context()
            if caller.is_valid:
                return _Trace(caller.trace_id, caller, context)
        return _Trace(int(request_id, 16), None, Context())

    def _end(
        self,
        name: str,
        trace: _Trace,
        ids: tuple[int, int | None],
        times_us: tuple[int, int],
        attributes: _Attributes,
        kind: SpanKind,
    ) -> None:
        """Give a span to the processor. `ids`: its own, and that of ours which it is below."""
        sampled = self._sampler.should_sample(trace.context, trace.trace_id, name, kind, attributes)
        if sampled.decision is not Decision.RECORD_AND_SAMPLE:
            return
        flags, (span_id, parent_id) = TraceFlags(TraceFlags.SAMPLED), ids
        parent = trace.caller
        if parent_id is not None:
            parent = SpanContext(trace.trace_id, parent_id, is_remote=False, trace_flags=flags)
        failed = "error.type" in attributes
        self._processor.on_end(
            ReadableSpan(
                name,
                SpanContext(trace.trace_id, span_id, is_remote=False, trace_flags=flags),
                parent,
                self._resource,
                attributes,
                kind=kind,
                status=Status(StatusCode.ERROR) if failed else Status(),
                start_time=times_us[0] * 1000,
                end_time=times_us[1] * 1000,
                instrumentation_scope=_SCOPE,
            )
        )


def _span_id_of(request_id: str) -> int:
    """Return the id of a call's span: the random part of the request's id."""
    return int(request_id[-16:], 16) or 1
