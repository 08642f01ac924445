"""Serve gRPC on a network with grpcio: TLS, keepalive and reflection.

Messages are bytes, and all our code runs on the one event loop, as with the other transport.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, enable_server_reflection
from msgspec import Struct

from tollgate import telemetry
from tollgate.adapters.envoy.grpc.call import Limits, Method, Methods, Receiver, Status
from tollgate.adapters.envoy.grpc.tls import TlsFiles
from tollgate.core.errors import SettingsError

Context = Any  # grpc.aio.ServicerContext, which the library types by its own messages
# A silently vanished client is detected after both times; clients may send pings as often as
# Envoy's.
_KEEPALIVE_MS: Final = 60_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000
_LEAST_PING_INTERVAL_MS: Final = 10_000
# A cancellation first looks like a normal end, and is reported as such only a moment later.
_CANCELLATION_S: Final = 0.01
_MOST_UNSENT_BYTES: Final = 1024 * 1024
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class LibraryServer:
    """Serves methods, by path, on one address."""

    def __init__(self, methods: Methods, limits: Limits, tls: TlsFiles | None = None) -> None:
        self._methods = methods
        self._tls = tls
        self._server = grpc.aio.server(
            handlers=(_Handlers(methods),),
            options=(
                ("grpc.max_receive_message_length", limits.message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", limits.streams),
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_INTERVAL_MS),
                ("grpc.so_reuseport", 1),
            ),
        )

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `host:port`; several processes may share a port.

        Raises SettingsError.
        """
        services = {path.split("/")[1] for path in self._methods}
        enable_server_reflection((*sorted(services), SERVICE_NAME), self._server)
        try:
            if self._tls is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, _credentials(self._tls))
        except RuntimeError as error:
            raise SettingsError(f"cannot serve gRPC on {address}: {error}") from error
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls, let open ones end, and close."""
        await self._server.stop(grace_s)


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that follow the files, so that certificates are renewed
    without a restart.
    """
    stamps = tls.stamps()

    def read() -> grpc.ServerCertificateConfiguration:
        certificate, key, client_ca = tls.read()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)

    # None means unchanged, which the library's types do not allow for.
    def renewed() -> Any:
        nonlocal stamps
        try:
            now = tls.stamps()
            if now == stamps:
                return None
            found, stamps = read(), now
        except (OSError, SettingsError) as error:
            telemetry.certificate_not_read(error)
            return None
        return found

    return grpc.dynamic_ssl_server_credentials(read(), renewed, tls.client_ca is not None)


class _Handlers(grpc.GenericRpcHandler):
    """Methods in the library's form, built once."""

    def __init__(self, methods: Methods) -> None:
        self._handlers = {path: _handler(method) for path, method in methods.items()}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def _handler(method: Method) -> grpc.RpcMethodHandler[Any, Any]:
    if method.unary:
        # Not unary_unary, in which the library leaves a call without a message unanswered (grpcio
        # 1.85, aio).
        return grpc.stream_unary_rpc_method_handler(_unary(method))
    return grpc.stream_stream_rpc_method_handler(_streaming(method))


def _unary(method: Method) -> Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]:
    async def handle(_: AsyncIterator[bytes], context: Context) -> bytes:
        message = await context.read()
        if message is grpc.aio.EOF:
            await context.abort(grpc.StatusCode.INTERNAL, "the call ended without a message")
        call = _UnaryCall(asyncio.get_running_loop().create_future())
        receiver = method.begin(call)
        receiver.received(message)
        if not call.left():
            receiver.ended(whole=True)
        ending = await call.ending  # cancelled if the client leaves
        if ending.status != Status.OK:
            await context.abort(_CODES[ending.status], ending.why)
        return ending.message

    return handle


def _streaming(method: Method) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
    async def handle(_: AsyncIterator[bytes], context: Context) -> None:
        call = _StreamingCall()
        receiver = method.begin(call)
        reading = asyncio.create_task(_read(context, call, receiver))
        try:
            while (message := await call.next()) is not None:
                await context.write(message)
            if call.status != Status.OK:
                await context.abort(_CODES[call.status], call.why)
        finally:
            left, call.over = not call.closed, True
            reading.cancel()
            if left and not call.said_all:
                receiver.ended(whole=False)

    return handle


async def _read(context: Context, call: _StreamingCall, receiver: Receiver) -> None:
    """Pass a call's messages to its receiver, each after the answers to earlier ones were taken."""
    try:
        while not call.closed:
            message = await context.read()
            if message is grpc.aio.EOF:
                await asyncio.sleep(_CANCELLATION_S)  # a cancellation would arrive within this time
                call.said_all = True
                receiver.ended(whole=True)
                return
            receiver.received(message)
            await call.room()
    except Exception:  # an outer edge: the client gets an error, and the log the traceback
        telemetry.failed("grpc")
        call.close(Status.INTERNAL, "unexpected error")


class _Ending(Struct, frozen=True):
    """The end of a call with one answer."""

    message: bytes = b""
    status: int = Status.OK
    why: str = ""


class _UnaryCall:
    """A call with one message and one answer."""

    def __init__(self, ending: asyncio.Future[_Ending]) -> None:
        self.ending = ending

    def left(self) -> bool:
        return self.ending.done()

    def send(self, message: bytes) -> bool:
        return self.answer(message)

    def answer(self, message: bytes) -> bool:
        return self._end(_Ending(message))

    def close(self, status: int = Status.OK, why: str = "") -> bool:
        return self._end(_Ending(status=status, why=why))

    def _end(self, ending: _Ending) -> bool:
        if self.ending.done():
            return False
        self.ending.set_result(ending)
        return True


class _StreamingCall:
    """A call with any number of messages.

    `said_all`: the client has finished. `closed`: we have ended it. `over`: nobody waits any more.
    """

    def __init__(self) -> None:
        self.said_all = self.closed = self.over = False
        self.status: int = Status.OK
        self.why = ""
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    def left(self) -> bool:
        return self.over

    def send(self, message: bytes) -> bool:
        if self.over or self.closed:
            return False
        self._unsent.append(message)
        self._unsent_bytes += len(message)
        self._changed.set()
        return True

    def answer(self, message: bytes) -> bool:
        return self.send(message) and self.close()

    def close(self, status: int = Status.OK, why: str = "") -> bool:
        if self.over or self.closed:
            return False
        self.closed, self.status, self.why = True, status, why
        self._changed.set()
        return True

    async def next(self) -> bytes | None:
        """Return the next answer to send; None after the last one."""
        while not self._unsent:
            if self.closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._unsent.popleft()
        self._unsent_bytes -= len(message)
        self._taken.set()
        return message

    async def room(self) -> None:
        """Wait until few answers are unsent."""
        while self._unsent_bytes > _MOST_UNSENT_BYTES:
            self._taken.clear()
            await self._taken.wait()
