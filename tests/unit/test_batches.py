"""Which calls leave for the store together."""

from __future__ import annotations

import asyncio
import struct

import pytest
from tests.make import TEAM, parallel, requests

from tollgate.adapters.valkey.batches import (
    ENOUGH_CALLS,
    FEW_CALLS,
    FIRST_PAUSE_S,
    GATHER_S,
    MOST_CALLS,
    Batch,
    Batches,
    Keyed,
)
from tollgate.core.entities import Scope, ScopeKind

PROXY = Scope(ScopeKind.PROXY, "proxy")
_CALL = struct.Struct("<H")
_NOBODY = Keyed.of("default", ())


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


async def test_a_batch_with_enough_calls_waits_for_no_more_but_takes_the_rest_of_its_turn(sent: Sent) -> None:
    sent.add(2)
    await sent.next()
    sent.add(1)
    await asyncio.sleep(0)
    sent.add(ENOUGH_CALLS)
    await asyncio.sleep(0)
    assert sent.sizes == [2, ENOUGH_CALLS + 1]


class Time:
    """The loop's time, which passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    async def passes(self, seconds: float) -> None:
        self.now_s += seconds
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: made.now_s)
    return made


async def test_after_waiting_in_vain_none_waits_for_a_while_twice_as_long_each_time(time: Time, sent: Sent) -> None:
    """Clients who wait for their answers send nothing meanwhile, so a few of them would wait for each other for ever."""
    sent.add(2)
    await time.passes(0)
    for pause_s in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S):
        sent.sizes.clear()
        sent.add(FEW_CALLS)
        await time.passes(GATHER_S / 2)
        assert sent.sizes == []
        await time.passes(GATHER_S)
        assert sent.sizes == [FEW_CALLS]
        await time.passes(pause_s * 0.9)
        sent.add(FEW_CALLS)
        await time.passes(0)
        assert sent.sizes == [FEW_CALLS, FEW_CALLS]
        await time.passes(pause_s * 0.2)


async def test_waiting_for_more_than_a_few_is_not_in_vain(time: Time, sent: Sent) -> None:
    sent.add(2)
    await time.passes(0)
    for _ in range(3):
        sent.sizes.clear()
        sent.add(FEW_CALLS)
        await time.passes(GATHER_S / 2)
        sent.add(1)
        await time.passes(GATHER_S)
        assert sent.sizes == [FEW_CALLS + 1]


async def test_what_is_left_of_a_turn_after_a_full_batch_does_not_count_as_waiting_in_vain(
    time: Time, sent: Sent
) -> None:
    """It leaves with its turn, and nothing of it comes back later."""
    sent.add(2)
    await time.passes(0)
    sent.add(MOST_CALLS + 2)
    await time.passes(0)
    assert sent.sizes == [2, MOST_CALLS, 2]
    await time.passes(GATHER_S)
    sent.add(FEW_CALLS)
    await time.passes(GATHER_S / 2)
    assert sent.sizes == [2, MOST_CALLS, 2]


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


async def test_a_batch_names_each_key_of_its_callers_once_and_nobody_elses() -> None:
    """Callers that share a scope share its number; the next batch of the first caller knows nothing of the second."""
    first = Keyed.of("default", (requests(5, PROXY), parallel(1)))
    second = Keyed.of("default", (requests(5, PROXY), parallel(1, TEAM)))
    together, alone = Batch(), Batch()
    for keyed in (first, second, first):
        together.add(keyed, _CALL)
    alone.add(first, _CALL)
    assert (len(together.keys()), together.scope_count) == (5, 3)
    assert (alone.keys(), alone.scope_count) == ((*together.keys()[:2], together.keys()[3]), 2)
    # Two of each caller's arguments are its limits and its keys: of scopes and slots, by number.
    numbers = [struct.unpack("<4H", each) for each in together.arguments()[2:5:2] if isinstance(each, bytes)]
    assert numbers == [(1, 0, 2, 1), (1, 0, 3, 2)]
