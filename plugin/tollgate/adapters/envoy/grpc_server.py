"""gRPC over HTTP/2 for Envoy: calls by their method's path, messages as bytes (grpc.io, "gRPC over HTTP2").

A method is a function from a call to its receiver. Receivers are called in turn, as messages come, and need no task unless they wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from tollgate.adapters.envoy.http2 import Connection
from tollgate.adapters.envoy.listening import listen

OK, UNIMPLEMENTED = 0, 12
"""google.rpc.Code, as far as we say it."""

# Header blocks without a table (RFC 7541): a static name or name and value by its index, else a literal that nobody need remember.
_STATUS_200: Final = b"\x88"
_CONTENT_TYPE: Final = b"\x0f\x10\x10application/grpc"
_HEADERS: Final = _STATUS_200 + _CONTENT_TYPE


class Receiver(Protocol):
    """What a call does with its messages."""

    def received(self, message: bytes) -> None:
        """One message has come."""

    def ended(self, *, whole: bool) -> None:
        """No more will come: Envoy has said all (`whole`), or it has left."""


Method = Callable[["Call"], Receiver]


class Call:
    """One call: HTTP/2's pieces to messages, and the answers back."""

    __slots__ = ("_begun", "_connection", "_held", "_number", "_pieces", "_receiver", "_wanted")

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._receiver: Receiver | None = None
        self._pieces: list[bytes] = []  # of a message that is not whole, with its head
        self._held = self._wanted = 0
        self._begun = False

    def begin(self, method: Method) -> None:
        """Give it to its method."""
        self._receiver = method(self)

    def send(self, message: bytes) -> bool:
        """Send one answer. False: nobody waits for it any more."""
        headers = b"" if self._begun else _HEADERS
        self._begun = True
        return self._connection.send(self._number, headers, _framed(message), b"")

    def close(self, status: int = OK) -> bool:
        """End the call."""
        self._receiver = None
        if not self._begun:
            return self._connection.send(self._number, b"", b"", _HEADERS + _trailers(status))
        return self._connection.send(self._number, b"", b"", _trailers(status))

    def answer(self, message: bytes) -> bool:
        """Send the last answer, or the only one, and end the call with it."""
        self._receiver = None
        headers = b"" if self._begun else _HEADERS
        return self._connection.send(self._number, headers, _framed(message), _TRAILERS_OK)

    def left(self) -> bool:
        """Whether Envoy waits for no answer any more."""
        return not self._connection.carries(self._number)

    def data(self, data: bytes) -> None:
        """A piece of the request's body: messages, each after a byte that says whether it is compressed and four of its length."""
        if self._pieces:
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        at, size = 0, len(data)
        while at < size:
            stop = at + 5
            if stop <= size:
                stop += int.from_bytes(data[at + 1 : stop], "big")
            if stop > size:
                self._pieces.append(data[at:])
                self._held, self._wanted = size - at, stop - at
                return
            self._hear(compressed=data[at] != 0, message=data[at + 5 : stop])
            at = stop

    def _hear(self, *, compressed: bool, message: bytes) -> None:
        receiver = self._receiver
        if receiver is not None and compressed:  # Envoy does that only if it was told to
            self.close(UNIMPLEMENTED)
            receiver.ended(whole=False)
        elif receiver is not None:
            receiver.received(message)

    def end(self, *, whole: bool) -> None:
        """Nothing more comes."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.ended(whole=whole and not self._pieces)


class GrpcServer:
    """Serves methods, by path, on one address."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `host:port`; several processes may share a port."""
        self._server = await listen(self._connection, address)

    async def stop(self, grace_s: float) -> None:
        """Take no new connections, let the calls that are open end, and close."""
        if self._server is None:
            return
        self._server.close()
        draining = [asyncio.create_task(each.drain()) for each in self._connections]
        if draining:
            _, late = await asyncio.wait(draining, timeout=grace_s)
            for task in late:
                task.cancel()
        for each in list(self._connections):
            each.close()

    def _connection(self) -> Connection:
        connection = Connection(self._open, self._connections.discard)
        self._connections.add(connection)
        return connection

    def _open(self, connection: Connection, number: int, path: str) -> Call:
        call = Call(connection, number)
        if (method := self._methods.get(path)) is None:
            call.close(UNIMPLEMENTED)
        else:
            call.begin(method)
        return call


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _trailers(status: int) -> bytes:
    value = str(status).encode()
    return b"\x00\x0bgrpc-status" + bytes((len(value),)) + value


_TRAILERS_OK: Final = _trailers(OK)
