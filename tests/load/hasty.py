"""Clients that read while they send, as whoever is refused before the body does: each goes on with
a new connection once it has a status.

A program of its own: `python -m tests.load.hasty URL REQUEST_FILE CLIENTS SECONDS`, where the file
holds the bytes of one HTTP/1.1 request. It prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.load.stats import percentile

_PIECE_BYTES = 256 * 1024


async def in_pieces(request: bytes) -> AsyncIterator[bytes]:
    """Yield a request as fast as the connection takes it."""
    for at in range(0, len(request), _PIECE_BYTES):
        yield request[at : at + _PIECE_BYTES]


async def status_of(url: str, pieces: AsyncIterator[bytes], patience_s: float | None = None) -> int:
    """Send a request on a connection of its own until its status comes; return the status.

    0: the connection ended without one, or it took longer than the patience.
    """
    where = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
    except OSError:
        return 0
    sending = asyncio.create_task(_send(writer, pieces))
    try:
        async with asyncio.timeout(patience_s):
            line = await reader.readline()
        return int(line.split()[1]) if line else 0
    except (OSError, TimeoutError):
        return 0
    finally:
        sending.cancel()
        with suppress(OSError, asyncio.CancelledError):
            await sending
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        writer.write(piece)
        await writer.drain()


async def _run(url: str, request: bytes, clients: int, seconds: float) -> dict[str, float]:
    times_us: list[float] = []
    statuses: list[int] = []
    began_s = time.perf_counter()

    async def client() -> None:
        while (start_s := time.perf_counter()) < began_s + seconds:
            statuses.append(await status_of(url, in_pieces(request)))
            times_us.append((time.perf_counter() - start_s) * 1_000_000)

    await asyncio.gather(*(client() for _ in range(clients)))
    times_us.sort()
    return {
        "requests": len(statuses),
        "seconds": time.perf_counter() - began_s,
        "refused": sum(status >= 400 for status in statuses),
        "failed": statuses.count(0),
        **{f"p{rank}_us": percentile(times_us, rank) for rank in (50, 90, 99)},
    }


def main() -> None:
    """Read the arguments, run, print."""
    url, request_file, clients, seconds = sys.argv[1:]
    request = Path(request_file).read_bytes()
    print(json.dumps(asyncio.run(_run(url, request, int(clients), float(seconds)))))


if __name__ == "__main__":
    main()
