"""The memory that a gateway takes while many streams are open: they are held open here, and the
PSS of its processes is read, which counts a page that several share once in all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.load.errors import BenchFailed
from tests.load.generators import Target, http_request
from tests.load.proc import Group, Groups, pss_bytes
from tests.load.programs import Tick

PACE_MS = 1000
"""A chunk a second for each stream: it is memory that is measured, not speed."""
CHUNKS = 600
"""More than are waited for: a stream ends when we close it."""

_OPENED_A_SECOND = 250
_OPEN_S = 60.0
# Long enough for a few chunks of each.
_HOLD_S = 3.0
_TICK_S = 0.2


@dataclass(frozen=True, slots=True)
class Memory:
    """The PSS of the processes of each group (bytes, one number a process): idle, and with
    `streams` open.
    """

    streams: int
    idle: Mapping[Group, tuple[int, ...]]
    open: Mapping[Group, tuple[int, ...]]


def measure_memory(groups: Groups, target: Target, streams: int, tick: Tick) -> Memory:
    """Open the streams, read, close.

    Raises BenchFailed unless all of them were open at the same time.
    """
    return asyncio.run(_measure(groups, target, streams, tick))


async def _measure(groups: Groups, target: Target, streams: int, tick: Tick) -> Memory:
    idle, request = _memory(groups), http_request(target)
    where = urlsplit(target.url)
    address = (str(where.hostname), where.port or 80)
    flowing: set[int] = set()
    ended: list[int] = []

    async def hold(number: int) -> None:
        await asyncio.sleep(number / _OPENED_A_SECOND)
        with suppress(OSError):
            await _read_stream(address, request, flowing, number)
        ended.append(number)

    holding = [asyncio.create_task(hold(number)) for number in range(streams)]
    try:
        await _until_all_flow(flowing, ended, streams, tick)
        await asyncio.sleep(_HOLD_S)
        found = Memory(streams, idle, _memory(groups))
    finally:
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)
    if ended:
        raise BenchFailed(f"{len(ended)} of {streams} open streams ended before they were to")
    return found


async def _read_stream(
    address: tuple[str, int], request: bytes, flowing: set[int], number: int
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            return
        while await reader.read(65_536):
            flowing.add(number)
    except asyncio.IncompleteReadError:
        return
    finally:
        writer.transport.abort()


async def _until_all_flow(flowing: set[int], ended: list[int], streams: int, tick: Tick) -> None:
    deadline = asyncio.get_running_loop().time() + streams / _OPENED_A_SECOND + _OPEN_S
    while len(flowing) < streams:
        tick()
        if ended or asyncio.get_running_loop().time() > deadline:
            raise BenchFailed(
                f"{len(flowing)} of {streams} streams could be opened, and {len(ended)} ended at"
                " once"
            )
        await asyncio.sleep(_TICK_S)


def _memory(groups: Groups) -> dict[Group, tuple[int, ...]]:
    return {group: pss_bytes(pids) for group, pids in groups.items()}
