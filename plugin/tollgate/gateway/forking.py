"""Start programs as forks of one process that has imported what they share (app/forks).

It is started before the first of them, and again when it has ended: its forks end with it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from tollgate.app.forks.fork_messages import REQUESTED, ForkNews, ForkRequest
from tollgate.app.forks.orphans import die_with_parent

_SERVER = (sys.executable, "-m", "tollgate.app.forks.fork_server")
_READ_BYTES = 1 << 16


class Forked:
    """A program that runs as a fork, with what asyncio.subprocess.Process has."""

    def __init__(self, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self.pid = 0
        self.stdout: asyncio.StreamReader | None = stdout
        self.stderr: asyncio.StreamReader | None = stderr
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    def end(self, code: int) -> None:
        """Note that it has ended; a negative code is that of a signal."""
        self.returncode = code
        self._ended.set()

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


class Forking:
    """The fork server, and what runs as forks of it."""

    def __init__(self, longest_line_bytes: int) -> None:
        self._longest_line_bytes = longest_line_bytes
        self._beginning = asyncio.Lock()
        self._server: asyncio.subprocess.Process | None = None
        self._channel: socket.socket | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._asked: deque[tuple[Forked, asyncio.Future[None]]] = deque()
        self._forks: dict[int, Forked] = {}

    async def begin(self, environment: Mapping[str, str]) -> None:
        """Start the server unless it runs. Requests wait while it imports.

        Raises OSError.
        """
        async with self._beginning:
            if self._channel is not None:
                return
            ours, theirs = socket.socketpair()
            ours.setblocking(False)  # noqa: FBT003 - the standard library's own
            parent = os.getpid()
            with theirs:
                self._server = await asyncio.create_subprocess_exec(
                    *_SERVER,
                    env=dict(environment),
                    stdin=theirs.fileno(),
                    start_new_session=True,
                    preexec_fn=lambda: die_with_parent(parent, signal.SIGKILL),
                )
            self._channel = ours
            self._hearing = asyncio.create_task(self._hear(ours))

    async def fork(
        self, arguments: Sequence[str], environment: Mapping[str, str], orphaned: int
    ) -> Forked:
        """Run a command of `tollgate.app`. `orphaned`: the signal that it gets when we are killed.

        Raises OSError.
        """
        await self.begin(environment)
        ends: list[int] = []
        try:
            forked = Forked(await self._reader(ends), await self._reader(ends))
            request = ForkRequest(tuple(arguments), dict(environment), orphaned)
            with tempfile.TemporaryFile() as file:
                file.write(msgspec.json.encode(request))
                file.seek(0)
                told = self._ask(forked, [file.fileno(), *ends])
        finally:
            for each in ends:
                os.close(each)
        await told
        return forked

    async def end(self) -> None:
        """End the server, and with it whatever still runs as a fork of it."""
        if self._server is not None and self._hearing is not None:
            with suppress(ProcessLookupError):
                self._server.kill()
            await self._server.wait()
            await self._hearing

    def _ask(self, forked: Forked, descriptors: list[int]) -> asyncio.Future[None]:
        if self._channel is None:
            raise _has_ended()
        socket.send_fds(self._channel, [REQUESTED], descriptors)
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append((forked, told))
        return told

    async def _reader(self, ends: list[int]) -> asyncio.StreamReader:
        """Return the reader of a new pipe, whose other end is added to `ends`."""
        readable, writable = os.pipe()
        ends.append(writable)
        reader = asyncio.StreamReader(self._longest_line_bytes)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb", 0)
        )
        return reader

    async def _hear(self, channel: socket.socket) -> None:
        """Take the server's news until it ends."""
        loop, rest = asyncio.get_running_loop(), b""
        with channel, suppress(ConnectionError):
            while piece := await loop.sock_recv(channel, _READ_BYTES):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._take(msgspec.json.decode(line, type=ForkNews))
        self._channel = None
        for _, told in self._asked:
            told.set_exception(_has_ended())
        self._asked.clear()
        for pid in list(self._forks):
            self._take(ForkNews(pid, -signal.SIGKILL))

    def _take(self, news: ForkNews) -> None:
        if news.code is None:
            forked, told = self._asked.popleft()
            forked.pid = news.pid
            self._forks[news.pid] = forked
            if not told.done():
                told.set_result(None)
        else:
            self._forks.pop(news.pid).end(news.code)


def _has_ended() -> OSError:
    return OSError(errno.EPIPE, "the process that forks others has ended")
