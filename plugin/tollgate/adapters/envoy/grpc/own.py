"""Serve gRPC to Envoy on the same host, over our own HTTP/2 (grpc.io, "gRPC over HTTP2")."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote

from tollgate.adapters.envoy.grpc.call import Limits, Method, Methods, Receiver, Status
from tollgate.adapters.envoy.grpc.header_fields import RequestHead
from tollgate.adapters.envoy.grpc.http2 import Connection
from tollgate.adapters.envoy.grpc.message_framing import (
    ACCEPTED,
    PREFIX_BYTES,
    MessageRefused,
    framed,
    inflated,
    too_long,
)
from tollgate.adapters.envoy.listening import listen


def _literal(name: str, value: bytes) -> bytes:
    """Return a literal header field without indexing (RFC 7541, section 6.2.2)."""
    return b"\0" + bytes((len(name),)) + name.encode() + _integer(len(value)) + value


def _integer(value: int) -> bytes:
    """Return a length as an integer with a seven-bit prefix (RFC 7541, section 5.1)."""
    if value < 127:
        return bytes((value,))
    out, value = bytearray((127,)), value - 127
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes((*out, value))


# Indexed fields of the static table (RFC 7541, appendix A).
_STATUS_200: Final = b"\x88"
_CONTENT_TYPE: Final = b"\x0f\x10\x10application/grpc"
_FIELDS: Final = _STATUS_200 + _CONTENT_TYPE
_ACCEPT_ENCODING: Final = _literal("grpc-accept-encoding", ACCEPTED.encode())
_TRAILERS_OK: Final = _literal("grpc-status", b"0")
_LONGEST_WHY: Final = 300


class OwnCall:
    """One call: DATA frames to messages, and answers back."""

    __slots__ = (
        "_begun",
        "_connection",
        "_encoding",
        "_heard",
        "_held",
        "_most_bytes",
        "_pieces",
        "_receiver",
        "_stream",
        "_unary",
        "_wanted",
    )

    def __init__(
        self,
        connection: Connection,
        stream: int,
        encoding: str = "",
        most_bytes: int = Limits().message_bytes,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._encoding = encoding
        self._most_bytes = most_bytes
        self._receiver: Receiver | None = None
        self._pieces: list[bytes] = []  # of an incomplete message, with its prefix
        self._held = self._wanted = 0
        self._begun = self._heard = self._unary = False

    def begin(self, method: Method) -> None:
        """Start the call with its method."""
        self._unary = method.unary
        self._receiver = method.begin(self)

    def left(self) -> bool:
        return not self._connection.carries(self._stream)

    def send(self, message: bytes) -> bool:
        fields = b"" if self._begun else _FIELDS
        self._begun = True
        return self._connection.send(self._stream, fields, framed(message), b"")

    def close(self, status: int = Status.OK, why: str = "") -> bool:
        self._receiver = None
        trailers = _TRAILERS_OK if status == Status.OK else _failure(status, why)
        if self._begun:
            return self._connection.send(self._stream, b"", b"", trailers)
        return self._connection.send(self._stream, b"", b"", _FIELDS + trailers)

    def answer(self, message: bytes) -> bool:
        self._receiver = None
        fields = b"" if self._begun else _FIELDS
        return self._connection.send(self._stream, fields, framed(message), _TRAILERS_OK)

    def data(self, data: bytes) -> None:
        """Take a piece of the request's body.

        Each message follows a byte that says whether it is compressed, and four bytes of length.
        """
        if self._receiver is None:
            return
        if self._pieces:
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        at, size = 0, len(data)
        while at < size:
            stop = at + PREFIX_BYTES
            if stop <= size:
                length = int.from_bytes(data[at + 1 : stop], "big")
                if length > self._most_bytes:
                    self._refuse(too_long(length, self._most_bytes))
                    return
                stop += length
            if stop > size:
                self._pieces.append(data[at:])
                self._held, self._wanted = size - at, stop - at
                return
            self._hear(compressed=data[at] != 0, message=data[at + PREFIX_BYTES : stop])
            at = stop

    def _hear(self, *, compressed: bool, message: bytes) -> None:
        if compressed:
            try:
                message = inflated(message, self._encoding, self._most_bytes)
            except MessageRefused as refused:
                self._refuse(refused)
                return
        if self._receiver is None:
            return
        if self._unary and self._heard:
            self._refuse(MessageRefused(Status.INTERNAL, "the call has more than one message"))
            return
        self._heard = True
        self._receiver.received(message)

    def _refuse(self, refused: MessageRefused) -> None:
        """End the call with a refusal, which only the receiver needs to hear of."""
        receiver = self._receiver
        self._pieces.clear()
        self.close(refused.status, str(refused))
        if receiver is not None:
            receiver.ended(whole=False)

    def end(self, *, whole: bool) -> None:
        """Take the end of the request."""
        receiver = self._receiver
        if receiver is None:
            return
        if whole and self._pieces:
            self._refuse(MessageRefused(Status.INTERNAL, "the call ended within a message"))
        elif whole and self._unary and not self._heard:
            self._refuse(MessageRefused(Status.INTERNAL, "the call ended without a message"))
        else:
            self._receiver = None
            receiver.ended(whole=whole)


class OwnServer:
    """Serves methods, by path, on one address."""

    def __init__(self, methods: Methods, limits: Limits, header_table_bytes: int = 0) -> None:
        self._methods = methods
        self._limits = limits
        self._header_table_bytes = header_table_bytes
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `host:port`; several processes may share a port."""
        self._server = await listen(self._connection, address)

    async def stop(self, grace_s: float) -> None:
        """Accept no new connections, let open calls end, and close."""
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
        connection = Connection(
            self._open, self._connections.discard, self._limits.streams, self._header_table_bytes
        )
        self._connections.add(connection)
        return connection

    def _open(self, connection: Connection, stream: int, request: RequestHead) -> OwnCall:
        call = OwnCall(connection, stream, request.encoding, self._limits.message_bytes)
        if (method := self._methods.get(request.path)) is None:
            call.close(Status.UNIMPLEMENTED, f"no method {request.path}")
        else:
            call.begin(method)
        return call


def _failure(status: int, why: str) -> bytes:
    # grpc-message is percent-encoded (grpc.io, "gRPC over HTTP2", Responses).
    said = quote(why[:_LONGEST_WHY], safe=" !#$&'()*+,/:;=?@[]\"<>\\^`{|}~").encode()
    trailers = _literal("grpc-status", str(int(status)).encode()) + _literal("grpc-message", said)
    if status == Status.UNIMPLEMENTED:
        return trailers + _ACCEPT_ENCODING
    return trailers
