"""A gRPC server of two echoing methods, over either transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tollgate.adapters.envoy.grpc.call import (
    Call,
    Limits,
    Methods,
    Server,
    Status,
    streaming,
    unary,
)
from tollgate.adapters.envoy.grpc.library import LibraryServer
from tollgate.adapters.envoy.grpc.own import OwnServer

LARGE = 20 * 1024 * 1024
LIMITS = Limits(message_bytes=LARGE + 1024, streams=1000)


class Echo:
    """Says each message again; a stream ends when the client has said all."""

    def __init__(self, call: Call, *, unary: bool) -> None:
        self.call = call
        self.unary = unary
        self.heard: list[bytes] = []
        self.ending: bool | None = None
        self.over = asyncio.Event()

    def received(self, message: bytes) -> None:
        self.heard.append(message)
        if message == b"fail":
            self.call.close(Status.RESOURCE_EXHAUSTED, "höher als 100 %")
        elif self.unary:
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

    def __init__(self, folder: Path, transport: str = "own") -> None:
        self.address = f"unix:{folder / 'grpc.sock'}"
        self.calls: list[Echo] = []
        methods: Methods = {
            "/t/Unary": unary(self.begin(unary=True)),
            "/t/Stream": streaming(self.begin(unary=False)),
        }
        self.server: Server = (OwnServer if transport == "own" else LibraryServer)(methods, LIMITS)

    def begin(self, *, unary: bool) -> Callable[[Call], Echo]:
        def begin(call: Call) -> Echo:
            self.calls.append(Echo(call, unary=unary))
            return self.calls[-1]

        return begin

    async def ended(self) -> bool | None:
        """How the last call ended."""
        await asyncio.wait_for(self.calls[-1].over.wait(), 5)
        return self.calls[-1].ending
