"""ext_proc: what Envoy is answered in each of its processing modes, and what is settled however a
stream ends.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.fakes import MemoryCounters
from tests.unit.adapters.envoy.ext_proc_door import (
    BODY,
    DONE,
    HELD,
    HIDING,
    JSON,
    SSE,
    STREAM,
    USAGE,
    WORD,
    Door,
    flags,
    headers_of,
    put,
    told,
)

from tollgate.core.calls.reservation import Reservation, Settlement, WorstCase
from tollgate.core.limits.accounts import Standing
from tollgate.pb.ext_proc_pb2 import HttpBody, HttpHeaders, HttpTrailers, ProcessingMode

STRICT = structs.replace(HELD, worst=WorstCase(40, 50, 90))


async def test_a_json_reply_is_held_until_its_headers_can_tell_the_truth() -> None:
    """Asked for whole, settled, and only then answered."""
    door = Door()
    first = await door.headers(JSON, content_length="100")
    assert first is not None
    assert first.mode_override.response_body_mode == ProcessingMode.BUFFERED
    assert flags(first) == {"metered"}
    (last,) = await door.body(BODY.encode(), end=True)
    assert told(last)["x-litellm-response-cost"] == "1.1e-08"
    assert told(last)["x-ratelimit-remaining-tokens"] == "993"
    assert flags(last) == {"settled"}
    assert await door.charged(whole=True) == [(3, 4, "exact")]


@pytest.mark.parametrize(
    ("content_type", "length", "mode"),
    [
        (JSON, {"content_length": "300000"}, ProcessingMode.STREAMED),
        (JSON, {}, ProcessingMode.BUFFERED_PARTIAL),
        (SSE, {}, ProcessingMode.STREAMED),
        ("text/plain", {"content_length": "10"}, ProcessingMode.STREAMED),
    ],
)
async def test_other_replies_pass_as_they_come(
    content_type: str, length: dict[str, str], mode: int
) -> None:
    """What is long, of unknown length, or no JSON."""
    answer = await Door().headers(content_type, **length)
    assert answer is not None
    assert answer.mode_override.response_body_mode == mode


async def test_where_the_access_log_was_to_read_a_reply_headers_were_told_before() -> None:
    """Native mode: ext_authz has told how limits stand, and nothing is held for them."""
    door = Door(meter="openai.chat")
    answer = await door.headers(JSON, content_length="100", content_encoding="gzip")
    assert answer is not None
    assert answer.mode_override.response_body_mode == ProcessingMode.STREAMED
    assert told(await Door(meter="openai.chat").headers(JSON, 200, end=True)).keys() <= {
        "x-litellm-response-cost"
    }  # type: ignore[arg-type]


async def test_the_event_that_only_tollgate_asked_for_is_hidden() -> None:
    """Everything else passes as it is."""
    door = Door(HIDING)
    first = await door.headers()
    assert first is not None
    assert list(first.response_headers.response.header_mutation.remove_headers) == [
        "content-length"
    ]
    assert put(await door.body(WORD, USAGE, DONE, b"", end=True)) == [None, b"", None, None]
    assert await door.charged(whole=True) == [(3, 4, "exact")]


async def test_an_error_is_not_read() -> None:
    """Settled at its headers, for nothing; its body passes."""
    door = Door()
    answer = await door.headers(JSON, 429)
    assert flags(answer) == {"settled"}
    assert put(await door.body(b"{}", end=True)) == [None]
    assert await door.charged(whole=True) == [(0, 0, "none")]


@pytest.mark.parametrize(
    ("held", "status", "left"),
    [
        (HELD, 504, True),
        (HELD, 503, False),
        (STRICT, 504, True),
        (STRICT, 503, True),
        (STRICT, 502, True),
        (STRICT, 500, False),
        (STRICT, 429, False),
    ],
)
async def test_an_error_that_may_be_envoys_own_is_left_to_the_access_log(
    held: Reservation, status: int, left: bool
) -> None:
    """Only Envoy knows whether the provider had answered. Where that makes no difference to what is
    counted, the error is settled at once.
    """
    door = Door(held)
    answer = await door.headers(JSON, status)
    assert flags(answer) == (set() if left else {"settled"})
    assert put(await door.body(b"{}", end=True)) == [None]
    assert await door.hear(response_trailers=HttpTrailers()) is not None
    assert await door.charged(whole=True) == ([] if left else [(0, 0, "none")])


async def test_a_reply_without_a_body_is_settled_at_its_headers() -> None:
    """It told nothing and showed nothing."""
    door = Door()
    await door.counters.reserve(HELD)
    answer = await door.hear(response_headers=headers_of("", 204, end=True))
    assert flags(answer) == {"settled"}
    assert await door.charged() == [(0, 0, "none")]


async def test_trailers_end_a_reply() -> None:
    """They come instead of a last piece."""
    door = Door(STREAM)
    await door.headers()
    await door.body(WORD, USAGE, DONE)
    answer = await door.hear(response_trailers=HttpTrailers())
    assert answer is not None
    assert answer.HasField("response_trailers")
    assert flags(answer) == {"settled"}
    assert await door.charged(whole=True) == [(3, 4, "exact")]


@pytest.mark.parametrize(
    ("pieces", "whole", "paid"),
    [
        ((WORD,), True, [(10, 2, "partial")]),
        ((WORD,), False, []),
        ((), True, []),
        ((WORD, USAGE, DONE), True, [(3, 4, "exact")]),
        ((WORD, USAGE, DONE), False, [(3, 4, "exact")]),
    ],
)
async def test_a_stream_without_a_last_piece(
    pieces: tuple[bytes, ...], whole: bool, paid: list[tuple[int, int, str]]
) -> None:
    """Cut where Envoy closed it after some of it.

    Where Envoy gave it up, or no body came at all, the reply may have gone on: the access log
    settles. What the reply itself has said to be its end is one.
    """
    door = Door(STREAM)
    await door.headers()
    await door.body(*pieces)
    assert await door.charged(whole=whole) == paid
    assert door.call.closed


@pytest.mark.parametrize("config", [None, ProcessingMode.BUFFERED_PARTIAL])
async def test_a_reply_of_which_only_the_beginning_is_shown_is_left_to_the_access_log(
    config: Any,
) -> None:
    """BUFFERED_PARTIAL, as Tollgate asks for it or as somebody has set it: Envoy shows no more than
    its buffer takes.
    """
    door = Door(config=config)
    await door.headers(JSON if config is None else "text/plain")
    await door.body(BODY.encode()[:40])
    assert await door.charged(whole=True) == []


async def test_messages_of_the_request_change_nothing() -> None:
    """Somebody's processing mode sends them; the reply is metered all the same."""
    door = Door()
    for kind, message in (
        ("request_headers", HttpHeaders()),
        ("request_body", HttpBody(body=b"{}", end_of_stream=True)),
        ("request_trailers", HttpTrailers()),
    ):
        answer = await door.hear(**{kind: message})
        assert answer is not None
        assert answer.WhichOneof("response") == kind
        assert not getattr(answer, kind).ByteSize()
    await door.headers(JSON)
    await door.body(BODY.encode(), end=True)
    assert await door.charged(whole=True) == [(3, 4, "exact")]


async def test_a_message_of_an_unknown_kind_is_passed_over() -> None:
    """A newer Envoy may send some that ask for no answer."""
    door = Door()
    assert await door.hear() is None
    assert not door.call.closed


async def test_in_full_duplex_what_goes_on_is_what_is_answered() -> None:
    """Request and reply, to their ends; no mode is asked for, since Envoy changes none then."""
    door = Door(HIDING, config=ProcessingMode.FULL_DUPLEX_STREAMED)
    answer = await door.hear(request_body=HttpBody(body=b"{}", end_of_stream=True))
    assert answer is not None
    streamed = answer.request_body.response.body_mutation.streamed_response
    assert (streamed.body, streamed.end_of_stream) == (b"{}", True)
    first = await door.headers()
    assert first is not None
    assert not first.HasField("mode_override")
    answers = await door.body(WORD, USAGE, DONE, b"", end=True)
    assert put(answers) == [WORD, b"", DONE, b""]
    assert answers[-1] is not None
    assert answers[-1].response_body.response.body_mutation.streamed_response.end_of_stream
    assert await door.charged(whole=True) == [(3, 4, "exact")]


async def test_in_full_duplex_an_error_passes() -> None:
    """Its body too, and its trailers."""
    door = Door(config=ProcessingMode.FULL_DUPLEX_STREAMED)
    await door.headers(JSON, 500)
    assert put(await door.body(b"{}")) == [b"{}"]
    answer = await door.hear(response_trailers=HttpTrailers())
    assert answer is not None
    assert answer.WhichOneof("response") == "response_trailers"
    assert await door.charged(whole=True) == [(0, 0, "none")]


@pytest.mark.parametrize("duplex", [False, True])
async def test_what_is_none_of_ours_passes(duplex: bool) -> None:
    """A request that nobody admitted: the stream is closed, or in full duplex everything is handed
    on.
    """
    door = Door(None, config=ProcessingMode.FULL_DUPLEX_STREAMED if duplex else None)
    answer = await door.headers(JSON)
    assert (answer is None, door.call.closed) == (not duplex, not duplex)
    if duplex:
        assert put(await door.body(b"{}")) == [b"{}"]
        assert await door.hear(response_trailers=HttpTrailers()) is not None
    assert await door.charged(whole=True) == []


@pytest.mark.parametrize("kind", ["response_body", "response_trailers"])
async def test_a_message_without_the_one_before_ends_the_stream(kind: str) -> None:
    """A body or trailers of which no headers came: they pass."""
    door = Door()
    assert (
        await door.hear(**{kind: HttpBody() if kind == "response_body" else HttpTrailers()}) is None
    )
    assert door.call.closed


async def test_what_cannot_be_read_ends_the_stream() -> None:
    """Envoy lets the reply pass; the access log settles."""
    door = Door()
    await door.headers(JSON)
    door.stream.received(b"\xff")
    assert door.call.closed
    assert await door.charged() == []


class Failing(MemoryCounters):
    """Counters that fail as nobody expects."""

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        raise RuntimeError("as the test says")


async def test_a_failure_of_ours_lets_the_reply_pass(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the traceback."""
    door = Door()
    door.counters.__class__ = Failing
    await door.headers(JSON)
    assert await door.body(BODY.encode(), end=True) == [None]
    assert door.call.closed
    assert "as the test says" in caplog.text
