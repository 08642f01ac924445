"""gRPC as Envoy speaks it: real gRPC clients, and a client of bytes for what no library sends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import h2.config
import h2.connection
import h2.events
import pytest
from grpc.aio import AioRpcError, Channel, StreamStreamCall

from tollgate.adapters.envoy.grpc_server import Call, GrpcServer
from tollgate.adapters.envoy.http2 import PREFACE, Connection, frame

LARGE = 20 * 1024 * 1024
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Echo:
    """Says each message again; a stream ends when the client has said all, and remembers how."""

    def __init__(self, call: Call, *, unary: bool) -> None:
        self.call = call
        self.unary = unary
        self.heard: list[bytes] = []
        self.ending: bool | None = None
        self.over = asyncio.Event()

    def received(self, message: bytes) -> None:
        self.heard.append(message)
        if self.unary:
            self.call.answer(message)
        else:
            self.call.send(message)

    def ended(self, *, whole: bool) -> None:
        self.ending = whole
        self.over.set()
        if not self.unary:
            self.call.close()


class Lab:
    """A server on a socket of its own, and what its calls heard."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder / 'grpc.sock'}"
        self.calls: list[Echo] = []
        self.server = GrpcServer({"/t/Unary": self.method(unary=True), "/t/Stream": self.method(unary=False)})

    def method(self, *, unary: bool) -> Callable[[Call], Echo]:
        def begin(call: Call) -> Echo:
            self.calls.append(Echo(call, unary=unary))
            return self.calls[-1]

        return begin

    async def ended(self) -> bool | None:
        """How the last call ended."""
        await asyncio.wait_for(self.calls[-1].over.wait(), 5)
        return self.calls[-1].ending


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    await made.server.start(made.address)
    yield made
    await made.server.stop(0.1)


@pytest.fixture
async def channel(lab: Lab) -> AsyncIterator[Channel]:
    async with grpc.aio.insecure_channel(lab.address, options=UNLIMITED) as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_384, 65_535, 65_536, LARGE])
async def test_a_message_of_any_size_comes_and_goes_whole(channel: Channel, size: int) -> None:
    """One frame or many, within the client's window or beyond it, empty or not."""
    message = random.Random(size).randbytes(size)
    assert await channel.unary_unary("/t/Unary")(message) == message


async def test_many_calls_share_a_connection(channel: Channel) -> None:
    """Each gets its own answer."""
    messages = [bytes([number % 256]) * (number * 50) for number in range(500)]
    assert list(await asyncio.gather(*map(channel.unary_unary("/t/Unary"), messages))) == messages


async def test_a_stream_answers_each_message_as_it_comes(lab: Lab, channel: Channel) -> None:
    """And ends well when the client has said all."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    for message in (b"a", b"b" * 100_000, b""):
        await call.write(message)
        assert await call.read() == message
    await call.done_writing()
    assert (await call.read(), await call.code()) == (grpc.aio.EOF, grpc.StatusCode.OK)
    assert await lab.ended() is True


async def test_more_than_the_window_passes_through_one_stream(channel: Channel) -> None:
    """A stream of access logs lives as long as Envoy; windows are opened again."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    for _ in range(8):
        await call.write(b"x" * LARGE)
        assert len(await call.read()) == LARGE
    call.cancel()


async def test_a_call_that_is_cancelled_is_lost(lab: Lab, channel: Channel) -> None:
    """Its answers go nowhere, and say so."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    await call.write(b"a")
    await call.read()
    call.cancel()
    assert await lab.ended() is False
    assert lab.calls[-1].call.send(b"b") is False


async def test_a_connection_that_breaks_loses_its_calls(lab: Lab) -> None:
    """As when Envoy dies."""
    client = await Raw.connect(lab)
    client.ask("/t/Stream", b"\0\0\0\0\1a", end=False)
    await client.read_message()
    client.writer.close()
    assert await lab.ended() is False


async def test_an_unknown_method_is_unimplemented(channel: Channel) -> None:
    """As gRPC has it."""
    with pytest.raises(AioRpcError) as failed:
        await channel.unary_unary("/t/Other")(b"a")
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_stopping_waits_for_calls_that_are_open(lab: Lab, channel: Channel) -> None:
    """A rolling restart costs no call."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    await call.write(b"a")
    await call.read()
    stopping = asyncio.create_task(lab.server.stop(10))
    await asyncio.sleep(0.05)
    await call.write(b"b")
    assert await call.read() == b"b"
    await call.done_writing()
    await stopping
    assert await lab.ended() is True


class Raw:
    """A client over h2, which sends what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.initiate_connection()

    @classmethod
    async def connect(cls, lab: Lab) -> Raw:
        return cls(*await asyncio.open_unix_connection(lab.address.removeprefix("unix:")))

    def ask(self, path: str, body: bytes, *, end: bool = True, pad: int | None = None) -> None:
        """Begin a call, with its first bytes."""
        number = self.http.get_next_available_stream_id()
        headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "t"), ("te", "trailers")]
        self.http.send_headers(number, headers)
        self.http.send_data(number, body, end_stream=end, pad_length=pad)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.http.data_to_send())

    async def read_message(self) -> bytes:
        """The bytes of the next piece of an answer's body."""
        async with asyncio.timeout(5):
            while True:
                for event in self.http.receive_data(await self.reader.read(65_536)):
                    if isinstance(event, h2.events.DataReceived):
                        return bytes(event.data)
                self.flush()


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


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


def served(*pieces: bytes) -> tuple[Wire, list[Echo]]:
    """A connection that got these bytes."""
    calls: list[Echo] = []

    def begin(call: Call) -> Echo:
        calls.append(Echo(call, unary=False))
        return calls[-1]

    def opened(connection: Connection, number: int, path: str) -> Call:
        call = Call(connection, number)
        call.begin(begin)
        return call

    wire, connection = Wire(), Connection(opened, lambda _: None)
    connection.connection_made(wire)
    for each in pieces:
        connection.data_received(each)
    return wire, calls


BLOCK = b"\x83\x86\x04\x02/t\x41\x01t"
ASKED = (
    PREFACE
    + frame(4, 0, 0)
    + frame(1, 0, 1, BLOCK[:4])
    + frame(9, 0x4, 1, BLOCK[4:])
    + frame(0, 0, 1, b"\0\0\0\0\3ab")
    + frame(0, 0x1, 1, b"c\0\0\0\0\1d")
)


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
            frame(draw.randrange(12), draw.randrange(256), draw.choice((0, 1, 3)), draw.randbytes(draw.randrange(20)))
            for _ in range(5)
        )
        served(PREFACE, ASKED[len(PREFACE) :], frames)
