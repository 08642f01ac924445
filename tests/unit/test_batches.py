"""Which calls leave for the store together."""

from __future__ import annotations

import asyncio
import struct

import pytest

from tollgate.adapters.valkey.batches import MOST_CALLS, Batch, Batches, Keyed

_CALL = struct.Struct("<H")
_NOBODY = Keyed((), (), (), b"")


class Sent:
    """The batches that left, by how many calls were in each."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._some = asyncio.Event()
        self.batches = Batches(self._send)

    def add(self, count: int) -> None:
        for _ in range(count):
            self.batches.of("default").add(_NOBODY, _CALL)

    async def next(self) -> int:
        await self._some.wait()
        self._some.clear()
        return self.sizes[-1]

    def _send(self, organization: str, batch: Batch) -> None:
        self.sizes.append(len(batch.arguments()) - 3)  # how many callers there are, and the one with its two arguments
        self._some.set()


@pytest.fixture
async def sent() -> Sent:
    return Sent()


async def test_a_call_alone_leaves_at_the_end_of_its_turn(sent: Sent) -> None:
    for _ in range(3):
        sent.add(1)
        await asyncio.sleep(0)
    assert sent.sizes == [1, 1, 1]


async def test_calls_of_one_turn_leave_together(sent: Sent) -> None:
    sent.add(2)
    await asyncio.sleep(0)
    assert sent.sizes == [2]


async def test_after_a_crowd_calls_of_several_turns_leave_together(sent: Sent) -> None:
    sent.add(2)
    await sent.next()
    sent.add(1)
    await asyncio.sleep(0)
    sent.add(1)
    assert await sent.next() == 2


async def test_once_the_crowd_is_gone_a_call_leaves_at_the_end_of_its_turn(sent: Sent) -> None:
    sent.add(2)
    await sent.next()
    sent.add(1)
    assert await sent.next() == 1
    sent.add(1)
    await asyncio.sleep(0)
    assert sent.sizes == [2, 1, 1]


async def test_a_full_batch_waits_for_nobody(sent: Sent) -> None:
    sent.add(2)
    await sent.next()
    sent.add(MOST_CALLS + 1)
    assert sent.sizes == [2, MOST_CALLS]
