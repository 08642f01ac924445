"""Valkey servers of a test's own, with options; and TLS before one."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.store_programs import server_program


def wait_until_it_listens(path: Path) -> None:
    """Wait for a server's Unix socket: its file is there a moment before it takes connections."""
    deadline = time.monotonic() + 10
    while True:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as trying:
            trying.connect(str(path))
            return
        assert time.monotonic() < deadline, f"nobody listens on {path}"
        time.sleep(0.01)


@contextmanager
def valkey_server(folder: Path, *options: str) -> Iterator[Path]:
    """A server that keeps nothing, and the path of its Unix socket."""
    folder.mkdir(exist_ok=True)
    path = folder / "v.sock"
    common = ("--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", "")
    with subprocess.Popen(
        [server_program(), *common, *options], stdout=subprocess.DEVNULL
    ) as server:
        wait_until_it_listens(path)
        try:
            yield path
        finally:
            server.kill()
    path.unlink(missing_ok=True)


@asynccontextmanager
async def tls_before(path: Path, context: ssl.SSLContext) -> AsyncIterator[int]:
    """TLS on a port of 127.0.0.1, in plain to a socket: the wheel's Valkey is built without it."""
    passing: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own_reader, own_writer = await asyncio.open_unix_connection(path)
        both = {
            asyncio.create_task(_pass(reader, own_writer)),
            asyncio.create_task(_pass(own_reader, writer)),
        }
        passing.update(both)
        await asyncio.wait(both)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
