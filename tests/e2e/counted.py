"""A door before the gateway that counts the calls of one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Counted:
    """Where the client calls, and how often it has."""

    url: str
    calls: int = 0


@asynccontextmanager
async def counted(gateway_url: str) -> AsyncIterator[Counted]:
    """Pass every byte on, both ways, and count requests that POST.

    Their bodies say no such thing.
    """
    parts = urlsplit(gateway_url)
    found = Counted("")

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_gateway = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            async with asyncio.TaskGroup() as both:
                back = both.create_task(_pass_on(upstream, writer, lambda _: None))
                await _pass_on(reader, to_gateway, count)
                back.cancel()
        except* ConnectionError:
            pass  # one of the two has hung up
        finally:
            to_gateway.close()
            writer.close()

    def count(piece: bytes) -> None:
        found.calls += piece.count(b"POST /")

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Callable[[bytes], None]
) -> None:
    while piece := await reader.read(65536):
        seen(piece)
        writer.write(piece)
