"""Fuzz our HTTP/2 and gRPC: whatever comes, in whatever pieces, calls hear the same, each is ended
once, and what leaves are frames.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["tollgate.adapters.envoy.grpc", "hpack"]):
    from tollgate.adapters.envoy.grpc import frames
    from tollgate.adapters.envoy.grpc.call import Call, Limits, streaming, unary
    from tollgate.adapters.envoy.grpc.own import OwnServer

LIMITS = Limits(message_bytes=2_000, streams=4)


class Ear:
    """Repeats what it hears, and counts its endings."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.heard: list[bytes] = []
        self.endings = 0

    def received(self, message: bytes) -> None:
        assert not self.endings
        assert len(message) <= LIMITS.message_bytes
        self.heard.append(message)
        self.call.send(message)

    def ended(self, *, whole: bool) -> None:
        self.endings += 1
        if whole:
            self.call.close()


class Wire(asyncio.Transport):
    """Keeps what is written until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def served(data: bytes, piece: int) -> tuple[list[list[bytes]], bool]:
    """What the calls of one connection heard, and whether we ended it."""
    ears: list[Ear] = []

    def begin(call: Call) -> Ear:
        ears.append(Ear(call))
        return ears[-1]

    server = OwnServer({"/s": streaming(begin), "/u": unary(begin)}, LIMITS)
    wire, connection = Wire(), server._connection()
    connection.connection_made(wire)
    for at in range(0, len(data), piece):
        if wire.closed:
            break
        connection.data_received(data[at : at + piece])
    ended = wire.closed
    connection.connection_lost(None)
    at = 0
    while at < len(wire.written):
        at += 9 + (frames.HEAD.unpack_from(wire.written, at)[0] >> 8)
    assert at == len(wire.written)
    assert not connection._streams.open
    assert all(ear.endings <= 1 for ear in ears)
    assert all(ear.call.left() and not ear.call.send(b"late") for ear in ears)
    return [ear.heard for ear in ears], ended


def test_one(raw: bytes) -> None:
    """One client: the size of its pieces, then its frames."""
    if not raw:
        return
    data = frames.PREFACE + raw[1:]
    assert served(data, len(data)) == served(data, raw[0] % 40 + 1)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
