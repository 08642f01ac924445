"""HTTP/2 as our own transport speaks it: clients of bytes, for what no library sends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.adapters.envoy.grpc_lab import Echo, Lab
from tests.unit.adapters.envoy.wire import (
    ASKED,
    BLOCK,
    END,
    GREETING,
    A,
    Raw,
    ask,
    given_to,
    made,
    served,
)

from tollgate.adapters.envoy.grpc import sending
from tollgate.adapters.envoy.grpc.call import Limits
from tollgate.adapters.envoy.grpc.frames import (
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame,
)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    await made.server.start(made.address)
    yield made
    await made.server.stop(0.1)


async def test_a_connection_that_breaks_loses_its_calls(lab: Lab) -> None:
    """As when Envoy dies."""
    client = await Raw.connect(lab)
    client.ask("/t/Stream", b"\0\0\0\0\1a", end=False)
    await client.read_message()
    client.writer.close()
    assert await lab.ended() is False
    assert lab.calls[-1].call.left() is True


async def test_padding_is_no_part_of_a_message(lab: Lab) -> None:
    """RFC 9113, section 6.1."""
    client = await Raw.connect(lab)
    client.ask("/t/Unary", b"\0\0\0\0\1a", pad=7)
    assert await client.read_message() == b"\0\0\0\0\1a"
    client.writer.close()


async def test_headers_may_use_the_table_until_settings_are_agreed(lab: Lab) -> None:
    """And a path is the same path with and without it."""
    client = await Raw.connect(lab)
    for _ in range(3):
        client.ask("/t/Unary", b"\0\0\0\0\1a")
        assert await client.read_message() == b"\0\0\0\0\1a"
    client.writer.close()


async def test_a_flood_of_pings_waits_in_the_clients_own_buffers(lab: Lab) -> None:
    """Nobody reads the answers, so after some nothing more is read."""
    _, writer = await asyncio.open_unix_connection(lab.address.removeprefix("unix:"))
    writer.write(GREETING)
    megabyte = frame(PING, 0, 0, b"12345678") * 60_000
    sent = 0
    try:
        while sent < 50:
            writer.write(megabyte)
            await asyncio.wait_for(writer.drain(), 1)
            sent += 1
    except TimeoutError:
        pass
    assert sent < 50
    writer.transport.abort()


@pytest.mark.parametrize("size", [1, 2, 7, 10, 1000])
def test_frames_may_come_in_any_pieces(size: int) -> None:
    """Headers that are continued, messages that share a frame or span two."""
    _, [call] = served(*(ASKED[at : at + size] for at in range(0, len(ASKED), size)))
    assert (call.heard, call.ending) == ([b"abc", b"d"], True)


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        PREFACE + frame(0, 0x8, 1, b"") + frame(1, 0x4 | 0x8, 1, b"\x09"),
        PREFACE + frame(1, 0x4, 2, BLOCK),
        PREFACE + frame(1, 0, 1, BLOCK) + frame(0, 0, 1),
        PREFACE + frame(9, 0x4, 1, BLOCK),
        PREFACE + frame(1, 0x4, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
        PREFACE + frame(8, 0, 0, b"\0"),
        PREFACE + frame(4, 0, 0, b"\0\0\0"),
        PREFACE + b"\xff\xff\xff\0\0\0\0\0\1",
        PREFACE + frame(1, 0, 1, BLOCK) + frame(9, 0, 1, b"x" * 16_384) * 5,
    ],
)
def test_what_is_no_http2_ends_the_connection(bad: bytes) -> None:
    """With a reason, and nothing else."""
    wire, _ = served(bad)
    assert wire.closed
    assert wire.written[-17:-14] == b"\0\0\x08"


def test_random_bytes_end_the_connection_or_wait_for_more() -> None:
    """They never raise."""
    draw = random.Random(1)
    for _ in range(2000):
        frames = b"".join(
            frame(
                draw.randrange(12),
                draw.randrange(256),
                draw.choice((0, 1, 3)),
                draw.randbytes(draw.randrange(20)),
            )
            for _ in range(5)
        )
        served(PREFACE, ASKED[len(PREFACE) :], frames)


def test_more_streams_than_may_be_open_are_refused() -> None:
    """The others go on, and when one has ended there is room again."""
    calls: list[Echo] = []
    wire, connection = made(calls, Limits(streams=2))
    connection.data_received(GREETING + ask(1) + ask(3) + ask(5) + frame(DATA, END, 5, A))
    assert wire.codes(RST_STREAM) == [(5, ErrorCode.REFUSED_STREAM)]
    connection.data_received(
        frame(DATA, END, 1, A) + ask(7) + frame(DATA, END, 7, A) + frame(DATA, 0, 3, A)
    )
    assert [call.heard for call in calls] == [[b"a"], [b"a"], [b"a"]]
    assert wire.codes(RST_STREAM) == [(5, ErrorCode.REFUSED_STREAM)]


@pytest.mark.parametrize("announced", [1001, 2**32 - 1])
@pytest.mark.parametrize("path", ["/t", "/u"])
def test_a_message_too_long_is_refused_as_soon_as_it_is_announced(
    path: str, announced: int
) -> None:
    """What still comes of it is not kept."""
    calls: list[Echo] = []
    wire, connection = made(calls)
    connection.data_received(
        GREETING + ask(1, path) + frame(DATA, 0, 1, b"\0" + announced.to_bytes(4, "big"))
    )
    [(_, _, _, trailers), (_, _, _, code)] = [each for each in wire.frames() if each[2] == 1]
    assert b"grpc-status\x018" in trailers
    assert code == b"\0\0\0\0"
    connection.data_received(frame(DATA, 0, 1, b"x" * 16_000) * 50 + ask(3) + frame(DATA, 0, 3, A))
    assert [call.heard for call in calls] == [[], [b"a"]]
    assert not wire.closed


@pytest.mark.parametrize(
    ("encoding", "message", "status", "told"),
    [
        ("br", b"any", b"12", "messages compressed with 'br' are not read"),
        ("identity", b"any", b"13", "grpc-encoding does not say how"),
        ("", b"any", b"13", "grpc-encoding does not say how"),
        ("gzip", b"any", b"13", "a message is no gzip"),
        ("gzip", b"", b"13", "a message ends within its gzip"),
    ],
)
def test_what_cannot_be_inflated_is_refused_in_words(
    encoding: str, message: bytes, status: bytes, told: str
) -> None:
    """With the encodings that can, where that is the matter."""
    fields = {"grpc_encoding": encoding} if encoding else {}
    wire, [call] = served(
        GREETING
        + ask(1, **fields)
        + frame(DATA, 0, 1, b"\1" + len(message).to_bytes(4, "big") + message)
    )
    trailers = next(payload for kind, _, _, payload in wire.frames() if kind == HEADERS)
    assert b"grpc-status" + bytes((len(status),)) + status in trailers
    assert told.encode() in trailers.replace(b"%27", b"'")
    assert (b"grpc-accept-encoding" in trailers) == (status == b"12")
    assert (call.heard, call.over.is_set()) == ([], True)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the call ended without a message"),
        (b"\0\0\0\0", "the call ended within a message"),
        (b"\0\0\0\0\2a", "the call ended within a message"),
        (A + A, "the call has more than one message"),
    ],
)
def test_a_unary_call_without_one_whole_message_is_answered_at_once(body: bytes, told: str) -> None:
    """Nobody waits for it."""
    calls: list[Echo] = []
    wire, connection = made(calls)
    Echo.received, received = (lambda self, message: self.heard.append(message)), Echo.received  # type: ignore[method-assign]
    try:
        connection.data_received(GREETING + ask(1, "/u") + frame(DATA, END, 1, body))
    finally:
        Echo.received = received  # type: ignore[method-assign]
    [trailers] = [payload for kind, _, _, payload in wire.frames() if kind == HEADERS]
    assert told.encode() in trailers


def test_a_stream_that_ends_within_a_message_is_answered_too() -> None:
    """Its receiver is told."""
    wire, [call] = served(GREETING + ask(1) + frame(DATA, END, 1, A[:-1]))
    assert b"the call ended within a message" in wire.written
    assert call.over.is_set()


def test_a_client_that_takes_no_answers_gets_no_more_credit() -> None:
    """It has to wait; once it takes them it may go on."""
    wire, connection = made([], Limits())
    message = b"\0" + (16_000).to_bytes(4, "big") + b"x" * 16_000
    connection.data_received(GREETING + frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + ask(1))
    credit, sent = 512 * 1024, 0
    while credit >= len(message):
        assert sent < 16 * 1024 * 1024, "it gets credit for ever"
        connection.data_received(frame(DATA, 0, 1, message))
        sent += len(message)
        credit += sum(given_to(1, wire)) - len(message)
    plenty = (2**31 - 1 - 65_535).to_bytes(4, "big")
    connection.data_received(
        frame(WINDOW_UPDATE, 0, 1, plenty) + frame(WINDOW_UPDATE, 0, 0, plenty)
    )
    assert credit + sum(given_to(1, wire)) == 512 * 1024


def test_answers_that_nobody_takes_end_the_connection_at_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However small the messages are that ask for them."""
    monkeypatch.setattr(sending, "_MOST_UNSENT_BYTES", 100)
    wire, calls = served(
        GREETING + frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + ask(1) + frame(DATA, 0, 1, A * 30)
    )
    assert wire.codes(GOAWAY) == [(1, ErrorCode.ENHANCE_YOUR_CALM)]
    assert wire.closed
    assert calls[0].call.send(b"b") is False


def test_while_what_we_write_is_not_taken_nothing_is_read() -> None:
    """A flood of pings waits in the client's own buffers."""
    wire, connection = made([])
    connection.pause_writing()
    assert not wire.reading
    connection.resume_writing()
    assert wire.reading


def test_pings_and_settings_are_answered() -> None:
    wire, _ = served(GREETING + frame(PING, 0, 0, b"12345678") + frame(PING, 1, 0, b"87654321"))
    assert wire.frames() == [(SETTINGS, 1, 0, b""), (PING, 1, 0, b"12345678")]


@pytest.mark.parametrize(
    ("late", "told"),
    [
        (frame(DATA, 0, 1, A), [(1, ErrorCode.STREAM_CLOSED)]),
        (frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), []),
        (frame(RST_STREAM, 0, 1, b"\0\0\0\0"), []),
    ],
)
def test_what_comes_for_a_stream_that_the_client_has_ended(
    late: bytes, told: list[tuple[int, int]]
) -> None:
    """Data is an error of the stream, the rest was on its way."""
    wire, _ = served(GREETING + ask(1, "/u") + frame(DATA, END, 1, A) + late)
    assert wire.codes(RST_STREAM) == told
    assert not wire.closed


def test_data_is_ignored_of_a_stream_that_we_have_ended_first() -> None:
    """It was on its way."""
    wire, _ = served(GREETING + ask(1, "/none") + frame(DATA, END, 1, A))
    assert wire.codes(RST_STREAM) == [(1, ErrorCode.NO_ERROR)]
    assert b"no method /none" in wire.written


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [({"content_length": "5"}, [6]), ({"content_length": "7"}, [6]), ({"content_length": "x"}, [])],
)
def test_a_body_is_as_long_as_it_says(fields: dict[str, str], sizes: list[int]) -> None:
    wire, calls = served(
        GREETING + ask(1, **fields) + b"".join(frame(DATA, END, 1, A[:size]) for size in sizes)
    )
    assert wire.codes(RST_STREAM)[0] == (1, ErrorCode.PROTOCOL_ERROR)
    assert all(call.over.is_set() for call in calls)
