"""Carry many concurrent calls over one connection; calls of one loop turn leave in one write.

Used for the two calls that every request makes. The client library takes 113 us of CPU for a call
(its pool, locks and timers; 27 in pipelines of sixteen), this takes 40, and 10 when sixteen come
together. Everything else except notifications of changes (changes.py) uses the library.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, Final

from tollgate.adapters.valkey.connection.address import Command, StoreAddress, packed, why
from tollgate.adapters.valkey.connection.pipe import Heard, ReplyError
from tollgate.adapters.valkey.connection.store_connection import StoreConnection
from tollgate.background import Background
from tollgate.core.errors import StoreSilent, StoreUnavailable

Locate = Callable[[], Awaitable[StoreAddress]]
"""Returns the server to connect to. Raises StoreUnavailable."""

_SCANNED_KEYS = 1000


class ServerPipe:
    """Calls over one connection, opened when needed and reopened when lost.

    If calls wait and nothing arrives for `timeout_s`, all of them fail with an unknown outcome. A
    store that is slow under load, but answers, is not considered down.
    """

    is_cluster: Final = False

    def __init__(
        self, locate: Locate, timeout_s: float, connect_timeout_s: float | None = None
    ) -> None:
        """Prepare a pipe to the server that `locate` returns whenever a connection is opened.

        `connect_timeout_s`: None means `timeout_s`.
        """
        self._locate = locate
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s or timeout_s
        self._connection: _CallConnection | None = None
        self._connecting: asyncio.Task[_CallConnection] | None = None
        self._late = Background()

    @classmethod
    def to(cls, address: StoreAddress, timeout_s: float) -> ServerPipe:
        """Return a pipe to one server; a timeout in its URL takes precedence."""

        async def locate() -> StoreAddress:
            return address

        return cls(locate, address.timeout_s or timeout_s, address.connect_timeout_s)

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Run one command.

        Raises StoreUnavailable (StoreSilent, once it was sent), or ReplyError if the store refuses
        it.
        """
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connect()
        return await connection.call(arguments)

    def start(self, command: Command, heard: Heard, before: Command | None = None) -> None:
        """Run a command and pass its reply to `heard`, without a future.

        For commands that have already waited in a batch: sent immediately if there is a connection,
        and no task is woken. `before`: a command that has to be the one before it on the
        connection, and whose reply is ignored.
        """
        connection = self._connection
        if connection is None or connection.lost:
            self._late.start(self._start_late(command, heard, before))
        else:
            connection.send_now(command, heard, before)

    async def everywhere(self, *arguments: str | bytes | int) -> list[Any]:
        """Run a command on the one server."""
        return [await self.call(*arguments)]

    async def keys(self, pattern: bytes) -> AsyncIterator[bytes]:
        """Yield every key that matches, each at least once."""
        cursor = b"0"
        while True:
            cursor, keys = await self.call(
                b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _SCANNED_KEYS
            )
            for key in keys:
                yield key
            if cursor == b"0":
                return

    def drop(self, reason: str) -> None:
        """Close the connection, whose waiting calls fail; the next call opens another one."""
        if self._connection is not None:
            self._connection.end(reason)

    async def aclose(self) -> None:
        """Close the connection; waiting calls fail."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        if self._connection is not None:
            self._connection.end("closed")
            await self._connection.closed.wait()

    async def _start_late(self, command: Command, heard: Heard, before: Command | None) -> None:
        try:
            connection = await self._connect()
        except StoreUnavailable as error:
            heard(error)
        else:
            connection.send_now(command, heard, before)

    async def _connect(self) -> _CallConnection:
        """Return the connection, opening it once for all who wait.

        A task that was started without one may run only after it was opened.
        """
        if self._connection is not None and not self._connection.lost:
            return self._connection
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._opened)
        # A cancelled caller must not take the connection away from the others.
        return await asyncio.shield(self._connecting)

    def _opened(self, task: asyncio.Task[_CallConnection]) -> None:
        self._connecting = None
        # The waiting callers have been told; if none is left, the exception still counts as
        # retrieved.
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _open(self) -> _CallConnection:
        connection = None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                address = await self._locate()
                connection = await address.dial(lambda: _CallConnection(self._timeout_s))
                for command in address.login:
                    await connection.call(command)
        except asyncio.CancelledError:
            if connection is not None:
                connection.end("closed")
                await connection.closed.wait()
            raise
        except (OSError, ReplyError) as error:
            if connection is not None:
                connection.end("not let in")
            told = str(error) if isinstance(error, ReplyError) else why(error)
            raise StoreUnavailable(f"cannot connect: {told}") from error
        return connection


class _CallConnection(StoreConnection):
    """A connection for calls: commands out, and each reply to whoever asked first."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(ReplyError)
        self.lost = False
        self.closed = asyncio.Event()
        self._timeout_s = timeout_s
        self._out: list[bytes] = []
        self._waiting: deque[tuple[float, Heard]] = deque()
        self._watching = False

    def call(self, command: Command) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.loop.create_future()
        if not self._out:
            self.loop.call_soon(self.flush)
        self.ask(command, partial(tell, future))
        return future

    def ask(self, command: Command, heard: Heard) -> None:
        """Queue a command for the next `flush`."""
        self._out.append(packed(command))
        self._waiting.append((monotonic(), heard))
        if not self._watching:
            self._watching = True
            self.loop.call_later(self._timeout_s, self._watch)

    def send_now(self, command: Command, heard: Heard, before: Command | None) -> None:
        """Send a command at once, behind another one if that is given."""
        if before is not None:
            self.ask(before, _ignore)
        self.ask(command, heard)
        self.flush()

    def take(self, reply: Any) -> None:
        self._waiting.popleft()[1](reply)
        if type(reply) is ReplyError and reply.demoted:
            self.end("the server is no primary any more")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.closed.set()

    def end(self, why: str) -> None:
        """Close the connection and fail all calls that wait for it."""
        self.lost = True
        super().end(why)
        while self._waiting:
            self._waiting.popleft()[1](StoreSilent(why))

    def flush(self) -> None:
        """Send the queued commands."""
        out, self._out = self._out, []
        if out and not self.lost:
            self.send(b"".join(out) if len(out) > 1 else out[0])

    def _watch(self) -> None:
        """Check for silence by one timer per connection, which runs only while calls wait.

        A timer for each call would cost more; silence is detected at most half a timeout late.
        """
        self._watching = bool(self._waiting)
        if not self._waiting:
            return
        if max(self.heard_s, self._waiting[0][0]) + self._timeout_s < monotonic():
            self.end(f"no answer within {self._timeout_s:g} s")
        else:
            self.loop.call_later(self._timeout_s / 2, self._watch)


def tell(future: asyncio.Future[Any], reply: Any) -> None:
    """Settle a future by a reply, which may be an error."""
    if future.done():  # its caller was cancelled
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _ignore(_: Any) -> None:
    """Take a reply that says nothing."""
