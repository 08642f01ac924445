"""Speak HTTP/2 to our server, frame by frame."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
from hpack import Encoder
from tests.unit.adapters.envoy.grpc_lab import Echo, Lab

from tollgate.adapters.envoy.grpc import frames
from tollgate.adapters.envoy.grpc.call import Limits, streaming, unary
from tollgate.adapters.envoy.grpc.frames import (
    GOAWAY,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tollgate.adapters.envoy.grpc.http2 import Connection
from tollgate.adapters.envoy.grpc.own import OwnServer


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
        headers = [
            (":method", "POST"),
            (":path", path),
            (":scheme", "http"),
            (":authority", "t"),
            ("te", "trailers"),
        ]
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


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """What was written: kind, flags, stream and payload of each."""
        found, at = [], 0
        while at < len(self.written):
            head, flags, stream = frames.HEAD.unpack_from(self.written, at)
            stop = at + 9 + (head >> 8)
            found.append((head & 0xFF, flags, stream, self.written[at + 9 : stop]))
            at = stop
        return found

    def codes(self, kind: int) -> list[tuple[int, int]]:
        """Streams and error codes of the frames RST_STREAM, or last streams and codes of GOAWAY."""
        if kind == GOAWAY:
            return [
                (int.from_bytes(p[:4], "big"), int.from_bytes(p[4:8], "big"))
                for k, _, _, p in self.frames()
                if k == kind
            ]
        return [
            (stream, int.from_bytes(p, "big")) for k, _, stream, p in self.frames() if k == kind
        ]


FEW = Limits(message_bytes=1000, streams=3)


def made(calls: list[Echo], limits: Limits = FEW) -> tuple[Wire, Connection]:
    """A connection of a server with the methods /t (streaming) and /u (unary)."""

    def begin(*, unary: bool) -> Any:
        def begin(call: Any) -> Echo:
            calls.append(Echo(call, unary=unary))
            return calls[-1]

        return begin

    server = OwnServer(
        {"/t": streaming(begin(unary=False)), "/u": unary(begin(unary=True))}, limits
    )
    wire, connection = Wire(), server._connection()
    connection.connection_made(wire)
    wire.written = b""
    return wire, connection


def served(*pieces: bytes) -> tuple[Wire, list[Echo]]:
    """A connection that got these bytes."""
    calls: list[Echo] = []
    wire, connection = made(calls)
    for each in pieces:
        connection.data_received(each)
    return wire, calls


def block(path: str = "/t", **fields: str) -> bytes:
    """A block of fields that uses no table."""
    encoder = Encoder()
    encoder.header_table_size = 0
    asked = [(":method", "POST"), (":scheme", "http"), (":path", path)]
    return bytes(
        encoder.encode(asked + [(name.replace("_", "-"), value) for name, value in fields.items()])
    )


def ask(stream: int, path: str = "/t", flags: int = 0x4, **fields: str) -> bytes:
    """A frame that opens a stream."""
    return frame(HEADERS, flags, stream, block(path, **fields))


A, END = b"\0\0\0\0\1a", 0x1
GREETING = PREFACE + frame(SETTINGS, 0, 0)
BLOCK = b"\x83\x86\x04\x02/t\x41\x01t"
ASKED = (
    PREFACE
    + frame(4, 0, 0)
    + frame(1, 0, 1, BLOCK[:4])
    + frame(9, 0x4, 1, BLOCK[4:])
    + frame(0, 0, 1, b"\0\0\0\0\3ab")
    + frame(0, 0x1, 1, b"c\0\0\0\0\1d")
)


def given_to(stream: int, wire: Wire) -> list[int]:
    """The credit that a stream was given since it was looked at last."""
    found = [
        int.from_bytes(payload, "big")
        for kind, _, at, payload in wire.frames()
        if (kind, at) == (WINDOW_UPDATE, stream)
    ]
    wire.written = b""
    return found
