"""One connection that carries many calls at once: what is asked in one turn of the loop leaves in
one write.

It exists for the two calls that every request makes. The client library takes 113 us of CPU for a
call (its pool, locks and timers; 27 in pipelines of sixteen), this takes 40, and 10 when sixteen
come together. Everything else but the news of changes (changes.py) goes through the library.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import hiredis

from tollgate.adapters.valkey.connection.address import Address, Command, packed, why
from tollgate.background import Background
from tollgate.core.errors import StoreSilent, StoreUnavailable


class ReplyError(Exception):
    """The store's own error: the first word of the message is its kind."""


def unavailable(error: Exception) -> StoreUnavailable:
    """A failed command as callers know it: in the store's own words, without the place in our
    script that it adds.
    """
    return (
        error
        if isinstance(error, StoreUnavailable)
        else StoreUnavailable(str(error).partition(" script: ")[0])
    )


Heard = Callable[[Any], None]
"""Takes a command's reply; a ReplyError where the store refused it, StoreUnavailable where nobody
can tell.
"""


class Pipe:
    """Calls over one connection, which is made when it is needed and made anew when it is lost.

    When calls wait and nothing comes for `timeout_s`, all have failed: nobody can tell what became
    of them. A store that is slow under load, but answers, is not down.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        """A pipe to the store of a URL; SettingsError when that is none.

        A timeout in the URL goes before.
        """
        self._address = Address.of(url)
        self._timeout_s = self._address.timeout_s or timeout_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._late = Background()

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Run one command.

        Raises StoreUnavailable (StoreSilent, once it was asked), or ReplyError when the store
        refuses the command.
        """
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connect()
        return await connection.call(arguments)

    def start(self, command: Command, heard: Heard) -> None:
        """As `call`, for what has waited for others already: it leaves at once where there is a
        connection, and nobody is woken to take the reply.
        """
        connection = self._connection
        if connection is None or connection.lost:
            self._late.start(self._start_late(command, heard))
        else:
            connection.ask(command, heard)
            connection.flush()

    async def aclose(self) -> None:
        """End the connection; calls that wait fail."""
        if self._connection is not None:
            self._connection.end("closed")
            await self._connection.closed.wait()

    async def _start_late(self, command: Command, heard: Heard) -> None:
        try:
            reply = await self.call(*command)
        except (ReplyError, StoreUnavailable) as error:
            reply = error
        heard(reply)

    async def _connect(self) -> _Connection:
        """The connection that all who wait for one share."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._opened)
        # A caller that is cancelled does not take the connection from the others.
        return await asyncio.shield(self._connecting)

    def _opened(self, task: asyncio.Task[_Connection]) -> None:
        self._connecting = None
        # Whoever waited has been told; with nobody left to wait the exception counts as seen too.
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _open(self) -> _Connection:
        connection = None
        try:
            async with asyncio.timeout(self._address.connect_timeout_s or self._timeout_s):
                connection = await self._address.dial(lambda: _Connection(self._timeout_s))
                for command in self._address.login:
                    await connection.call(command)
        except (OSError, ReplyError) as error:
            if connection is not None:
                connection.end("not let in")
            told = str(error) if isinstance(error, ReplyError) else why(error)
            raise StoreUnavailable(f"cannot connect: {told}") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection: commands out, replies in, in the same order."""

    def __init__(self, timeout_s: float) -> None:
        self.lost = False
        self.closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._heard_s = 0.0
        self._waiting: deque[tuple[float, Heard]] = deque()
        self._watching = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            asyncio.Transport, transport
        )  # uvloop's transports are none of asyncio's classes

    def call(self, command: Command) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self.flush)
        self.ask(command, partial(_tell, future))
        return future

    def ask(self, command: Command, heard: Heard) -> None:
        """Leave a command for the next `flush`."""
        self._out.append(packed(command))
        self._waiting.append((self._loop.time(), heard))
        if not self._watching:
            self._watching = True
            self._loop.call_later(self._timeout_s, self._watch)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._waiting.popleft()[1](reply)
        except hiredis.ProtocolError as error:
            self.end(f"it answered what is no reply: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(f"the connection was lost: {exc or 'closed by the store'}")
        self.closed.set()

    def end(self, why: str) -> None:
        """Give the connection up, and all that wait for it."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            self._waiting.popleft()[1](StoreSilent(why))

    def flush(self) -> None:
        """Send what has gathered."""
        out, self._out = self._out, []
        if out and not self.lost and self._transport is not None:
            self._transport.write(b"".join(out) if len(out) > 1 else out[0])

    def _watch(self) -> None:
        """One timer for the connection instead of one for each call, and none while nothing waits:
        silence is found half a timeout later at most.
        """
        self._watching = bool(self._waiting)
        if not self._waiting:
            return
        if max(self._heard_s, self._waiting[0][0]) + self._timeout_s < self._loop.time():
            self.end(f"no answer within {self._timeout_s:g} s")
        else:
            self._loop.call_later(self._timeout_s / 2, self._watch)


def _tell(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
