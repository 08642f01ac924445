"""What Envoy's access log settles, renews and gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc.aio import StreamUnaryCall
from msgspec import structs
from prometheus_client import REGISTRY
from tests.fakes import FixedClock, MemoryCounters
from tests.make import DOLLAR, KEY, account_of, reservation
from tests.unit.adapters.envoy.envoy_call import EnvoyCall
from tests.unit.core.usage.usage_case import table

from tollgate.adapters.envoy import access_log
from tollgate.adapters.envoy.access_log import AccessLog
from tollgate.adapters.envoy.grpc.call import Limits, streaming
from tollgate.adapters.envoy.grpc.own import OwnServer
from tollgate.adapters.envoy.metadata import reservation_text
from tollgate.core.calls.reservation import Reservation, Settlement, WorstCase
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.envoy_contract import EXT_PROC_NAMESPACE, METERED, SETTLED
from tollgate.core.limits.accounts import Account, Enforcement, Meter, Quota
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.metering.metering import Metering
from tollgate.pb.access_log_pb2 import (
    DownstreamPeriodic,
    HTTPAccessLogEntry,
    StreamAccessLogsMessage,
)

PRICE = Price("test", (Rates(1_000_000, 2_000_000, 1_000_000, 1_000_000, 1_000_000),))
CATALOG = Catalog.of(
    (Deployment("gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm"),), {"gpt-4o": PRICE}
)
HELD = reservation(
    "r1", account_of(KEY, tpm=1000, budget_nanousd=DOLLAR)
)  # estimated at 10 in and 20 out
STREAM = structs.replace(HELD, stream=True)
WHOLE, CUT = "via_upstream", "upstream_reset_after_response_started{connection_termination}"
TOO_LARGE = "response_payload_too_large"
RESET, SILENT = "upstream_reset_before_response_started{remote_reset}", "stream_idle_timeout"


def entry(
    held: Reservation = HELD,
    usage: dict[str, Any] | None = None,
    *,
    details: str = WHOLE,
    status: int = 200,
    reached: bool = True,
    body_bytes: int = 0,
    meter: str | None = None,
) -> HTTPAccessLogEntry:
    """One request as Envoy logs it in native mode."""
    made = HTTPAccessLogEntry()
    metadata = made.common_properties.metadata.filter_metadata
    said = {"reservation": reservation_text(held), "x-tollgate-meter": meter or held.dialect}
    metadata["envoy.filters.http.ext_authz"].update(said)
    if usage is not None:
        metadata["tollgate.usage"].update(usage)
    if reached:
        made.common_properties.time_to_last_upstream_tx_byte.nanos = 1
    made.response.response_code.value = status
    made.response.response_code_details = details
    made.response.response_body_bytes = body_bytes
    return made


def message(*entries: HTTPAccessLogEntry) -> StreamAccessLogsMessage:
    """What Envoy sends at once."""
    made = StreamAccessLogsMessage()
    made.http_logs.log_entry.extend(entries)
    return made


class Log:
    """The door, and what stands behind it."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.counters = MemoryCounters(self.clock)
        self.meter = Metering(self.counters, CATALOG, None, InputEstimates())

    async def tell(self, *entries: HTTPAccessLogEntry) -> None:
        """Hear one message, and settle."""

        log = AccessLog(self.meter, table())
        log.hear(message(*entries))
        await log.drain()
        await self.meter.drain()


async def charged(told: HTTPAccessLogEntry, held: Reservation = HELD) -> tuple[int, int, str]:
    """Input, output and certainty of what a request is charged."""
    log = Log()
    await log.counters.reserve(held)
    await log.tell(told)
    [found] = log.counters.ledger
    return found.input_tokens, found.output_tokens, found.certainty


OPENAI = {
    "usage.prompt_tokens": 3,
    "usage.completion_tokens": 4,
    "usage.total_tokens": 7,
    "model": "gpt-4o",
}
ZEROS = {"usage.prompt_tokens": 0, "usage.completion_tokens": 0}
ZEROS_LATER = {"first:usage": '{"prompt_tokens":3,"completion_tokens":4}', "usage": "null"}
TOLD_IN_A_STREAM = {"usage": '{"prompt_tokens":3,"completion_tokens":4}'}


@pytest.mark.parametrize(
    ("told", "held", "paid"),
    [
        (entry(usage=OPENAI), HELD, (3, 4, "exact")),
        (entry(STREAM, TOLD_IN_A_STREAM), STREAM, (3, 4, "exact")),
        (entry(usage={}, body_bytes=2), HELD, (0, 0, "none")),
        (entry(usage={}, body_bytes=72), HELD, (10, 1, "estimated")),
        (entry(usage={}, body_bytes=584), HELD, (10, 18, "estimated")),
        (entry(usage={}, body_bytes=7_200), HELD, (10, 20, "estimated")),
        (entry(usage=ZEROS, body_bytes=7_200), HELD, (10, 20, "partial")),
        (entry(STREAM, {}, body_bytes=14), STREAM, (0, 0, "none")),
        (entry(STREAM, {"error": "{}"}, body_bytes=900), STREAM, (0, 0, "none")),
        (entry(STREAM, {"error": "{}"}, body_bytes=9_000), STREAM, (10, 57, "estimated")),
        (entry(STREAM, {}, body_bytes=72), STREAM, (10, 18, "estimated")),
        (entry(STREAM, {}, body_bytes=1_600), STREAM, (10, 20, "estimated")),
        (entry(STREAM, {}, details=CUT, body_bytes=16_001), STREAM, (10, 101, "partial")),
        (
            entry(STREAM, {}, details="downstream_remote_disconnect", body_bytes=1),
            STREAM,
            (10, 0, "partial"),
        ),
        (entry(STREAM, ZEROS_LATER), STREAM, (3, 4, "exact")),
        (
            entry(STREAM, TOLD_IN_A_STREAM, details=CUT, body_bytes=16_000),
            STREAM,
            (3, 4, "partial"),
        ),
        (entry(usage={}, status=500), HELD, (0, 0, "none")),
        (entry(status=503, reached=False, details="no_healthy_upstream"), HELD, (0, 0, "none")),
        (entry(status=503, details=RESET), HELD, (0, 0, "none")),
        (entry(usage={}, status=504, details=SILENT, body_bytes=900), HELD, (10, 20, "partial")),
        (entry(STREAM, status=504, details=SILENT, body_bytes=9), STREAM, (10, 20, "partial")),
        (entry(status=504, details="response_timeout", reached=False), HELD, (0, 0, "none")),
        (entry(status=504, details=CUT), HELD, (0, 0, "none")),
        (entry(usage={}, status=502, details=CUT, body_bytes=90), HELD, (10, 20, "partial")),
        (entry(status=503, details=CUT, reached=False), HELD, (0, 0, "none")),
        (entry(usage={}, status=500, details=TOO_LARGE, body_bytes=90), HELD, (10, 20, "partial")),
        (entry(status=0, details="downstream_remote_disconnect"), HELD, (10, 20, "partial")),
        (entry(status=0, reached=False), HELD, (0, 0, "none")),
        (entry(usage=OPENAI, meter="ext_proc"), HELD, (10, 20, "estimated")),
    ],
)
async def test_a_request_is_charged_by_what_the_log_tells(
    told: HTTPAccessLogEntry, held: Reservation, paid: tuple[int, int, str]
) -> None:
    """Usage that Envoy found; without it as many tokens as were held, as far as so many bytes may
    hold them; nothing where nothing was reached, the provider failed, or nothing was served.
    """
    assert await charged(told, held) == paid


STRICT = structs.replace(
    reservation(
        "r1",
        Account(KEY, (Quota(Meter.TOKENS, 900, 0, "ever", enforcement=Enforcement(strict=True)),)),
    ),
    worst=WorstCase(40, 50, 90),
)


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        (entry(STRICT, OPENAI), 7),
        (entry(STRICT, status=500), 0),
        (entry(STRICT, status=503), 0),
        (entry(STRICT, status=503, reached=False, details="no_healthy_upstream"), 0),
        (entry(STRICT, status=500, details=CUT), 0),
        (entry(STRICT, {}, status=502, details=CUT), 90),
        (entry(STRICT, status=429, details="downstream_remote_disconnect"), 0),
        (entry(STRICT, status=503, details=RESET), 90),
        (entry(STRICT, status=502, details="upstream_reset_before_response_started{}"), 90),
        (entry(STRICT, status=504, details=SILENT), 90),
        (entry(STRICT, status=0, details="downstream_remote_disconnect"), 90),
        (entry(STRICT, {}, details=CUT, body_bytes=80), 90),
        (entry(STRICT, {}, body_bytes=80), 90),
    ],
)
async def test_a_strict_limit_keeps_the_worst_case_where_nobody_knows_the_bill(
    told: HTTPAccessLogEntry, counted: int
) -> None:
    """A provider may bill a call that was cut, or that it never answered; not one that it refused
    or never got.
    """
    log = Log()
    await log.counters.reserve(STRICT)
    await log.tell(told)
    (balance,) = (await log.counters.peek(STRICT.organization, STRICT.accounts)).balances
    assert (balance.used, balance.held) == ((counted,), (0,))


async def test_an_expired_call_is_kept_by_a_strict_limit_at_its_worst() -> None:
    """The estimate may be less than what the provider bills."""
    log = Log()
    await log.counters.reserve(STRICT)
    log.clock.us += 61_000_000
    await log.meter.settle_expired()
    (balance,) = (await log.counters.peek(STRICT.organization, STRICT.accounts)).balances
    assert balance.used == (90,)


async def test_a_stream_cut_early_is_charged_by_its_length() -> None:
    """Anthropic's first event tells the input for certain, and an output that has only begun."""
    held = structs.replace(STREAM, dialect="anthropic.messages")
    told = {"message.usage": '{"input_tokens":12,"output_tokens":1}'}
    assert await charged(entry(held, told, details=CUT, body_bytes=800), held) == (
        12,
        20,
        "partial",
    )


async def test_a_call_that_runs_is_renewed_and_not_settled() -> None:
    """Its periodic entry."""
    log = Log()
    await log.counters.reserve(HELD)
    running = entry()
    running.common_properties.access_log_type = DownstreamPeriodic
    log.clock.us += 40_000_000
    await log.tell(running)
    log.clock.us += 40_000_000
    assert (log.counters.ledger, await log.counters.expired("default")) == ([], [])


async def test_one_bad_entry_does_not_cost_the_others() -> None:
    """A reservation that nobody can read is passed over."""
    log, bad = Log(), entry()
    bad.common_properties.metadata.filter_metadata["envoy.filters.http.ext_authz"].update(
        {"reservation": "{"}
    )
    await log.counters.reserve(HELD)
    await log.tell(bad, entry(usage=OPENAI))
    assert len(log.counters.ledger) == 1


async def test_what_the_client_left_before_an_answer_is_given_back() -> None:
    """The log knows only Envoy's name for it."""
    log, left = Log(), HTTPAccessLogEntry()
    left.request.request_headers["x-tollgate-stream"] = "7-1"
    await log.counters.reserve(structs.replace(HELD, stream_id="7-1"))
    await log.tell(left)
    assert [each.certainty for each in log.counters.ledger] == ["none"]


async def test_what_still_waits_for_an_answer_is_not_given_back() -> None:
    """The periodic entry of a request that a worker takes long to decide about: what it is about to
    hold is its own.
    """
    log, waiting = Log(), HTTPAccessLogEntry()
    waiting.request.request_headers["x-tollgate-stream"] = "7-1"
    waiting.common_properties.access_log_type = DownstreamPeriodic
    await log.counters.reserve(structs.replace(HELD, stream_id="7-1"))
    await log.tell(waiting)
    assert log.counters.ledger == []


class Telling(MemoryCounters):
    """Counters that say when something was settled."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self.settled = asyncio.Event()

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        answers = await super().settle_all(calls)
        self.settled.set()
        return answers


async def test_a_stream_ends_when_the_worker_is_to_end(tmp_path: Path) -> None:
    """Envoy's has no end of its own; what it had told is settled."""
    counters = Telling(FixedClock())
    await counters.reserve(HELD)
    door = AccessLog(Metering(counters, CATALOG, None, InputEstimates()), table())
    server = OwnServer({"/log": streaming(door.stream_access_logs)}, Limits())
    await server.start(f"unix:{tmp_path / 'log.sock'}")
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'log.sock'}") as channel:
        call: StreamUnaryCall[bytes, bytes] = channel.stream_unary("/log")()
        await call.write(message(entry(usage=OPENAI)).SerializeToString())
        await asyncio.wait_for(counters.settled.wait(), 5)
        door.end_all()
        assert await call == b""
        await server.stop(5)
    assert [each.certainty for each in counters.ledger] == ["exact"]


async def test_a_long_message_is_settled_to_its_last_entry() -> None:
    """In slices, between which others get their turn."""
    log = Log()
    calls = [reservation(f"r{n}", account_of(KEY, rpm=100)) for n in range(100)]
    for each in calls:
        await log.counters.reserve(each)
    await log.tell(*(entry(each, usage=OPENAI) for each in calls))
    assert {each.id for each in log.counters.ledger} == {each.id for each in calls}


def flagged(told: HTTPAccessLogEntry, *flags: str) -> HTTPAccessLogEntry:
    """An entry of a call that ext_proc has left flags with."""
    left = told.common_properties.metadata.filter_metadata[EXT_PROC_NAMESPACE]
    left.update(dict.fromkeys(flags, True))
    return told


async def test_what_ext_proc_has_settled_is_left_as_it_is() -> None:
    """It has read the reply; the log knows its length alone."""
    log = Log()
    await log.counters.reserve(HELD)
    await log.tell(flagged(entry(usage=OPENAI), METERED, SETTLED))
    assert log.counters.ledger == []


async def test_what_ext_proc_was_to_settle_and_did_not_is_settled_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its worker has died: the call is charged by what Envoy counted."""
    monkeypatch.setattr(access_log, "_GRACE_S", 0)
    log = Log()
    await log.counters.reserve(HELD)
    await log.tell(flagged(entry(body_bytes=72), METERED))
    assert [(each.output_tokens, each.certainty) for each in log.counters.ledger] == [
        (20, "estimated")
    ]


async def test_what_ext_proc_settles_in_that_while_is_charged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log, "_GRACE_S", 0)
    log = Log()
    await log.counters.reserve(HELD)
    log.meter.settle_soon(HELD, Usage(3, 4, certainty=Certainty.EXACT), 200, "ext_proc")
    await log.meter.drain()
    await log.tell(flagged(entry(body_bytes=72), METERED))
    assert [(each.output_tokens, each.certainty) for each in log.counters.ledger] == [(4, "exact")]


async def test_bytes_that_are_no_message_cost_the_next_one_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, call = Log(), EnvoyCall()
    await log.counters.reserve(HELD)
    door = AccessLog(log.meter, table())
    stream = door.stream_access_logs(call)
    stream.received(b"\xff")
    assert "access log" in caplog.text
    stream.received(message(entry(usage=OPENAI)).SerializeToString())
    await door.drain()
    await log.meter.drain()
    assert [each.output_tokens for each in log.counters.ledger] == [4]
    assert not call.closed


async def test_streams_end_when_envoy_ends_them_and_when_the_worker_does() -> None:
    """Each is answered once: it has no other end."""
    door, calls = AccessLog(Log().meter, table()), [EnvoyCall(), EnvoyCall()]
    first, _ = [door.stream_access_logs(each) for each in calls]
    first.ended(whole=True)
    assert [each.closed for each in calls] == [True, False]
    door.end_all()
    assert [(each.closed, each.sent) for each in calls] == [(True, [b""])] * 2


async def test_the_versions_of_envoys_are_counted_while_their_streams_are_open() -> None:
    """The first message of a stream tells the version; later ones do not."""
    door, call = AccessLog(Log().meter, table()), EnvoyCall()
    stream, told = door.stream_access_logs(call), message()
    version = told.identifier.node.user_agent_build_version.version
    version.major_number, version.minor_number, version.patch = 1, 39, 7

    def counted() -> float | None:
        name = "tollgate_envoy_access_logs"
        return REGISTRY.get_sample_value(name, {"version": "1.39.7"})

    stream.received(told.SerializeToString())
    stream.received(message().SerializeToString())
    assert counted() == 1
    stream.ended(whole=True)
    assert counted() == 0
    await door.drain()
