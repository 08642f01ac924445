"""Requests that only holds refuse: who waits, who asks, and who goes."""

from __future__ import annotations

import asyncio

import pytest
from tests.desk import Desk, People, admission, refusal
from tests.fakes import FixedClock, MemoryCounters
from tests.make import (
    TEAM,
    account_of,
    budget,
    limit_set,
    parallel,
    reservation,
    settlement,
    tokens,
)

from tollgate.admission import hold_waits
from tollgate.admission.hold_waits import HoldWaits
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Standing

LONG_S = 60.0


def stays() -> bool:
    return False


class Counting(MemoryCounters):
    """Counters that say how often they were asked."""

    asked = 0

    async def reserve(self, reservation: Reservation) -> Standing:
        self.asked += 1
        return await super().reserve(reservation)


class Stage:
    """A store, and who waits for it."""

    def __init__(self, longest_s: float = LONG_S) -> None:
        self.counters = Counting(FixedClock())
        self.waits = HoldWaits(self.counters, longest_s)

    async def ask(self, call: Reservation) -> Standing:
        standing = await self.counters.reserve(call)
        return await self.waits.ask_again(call, standing, stays) if standing.only_held else standing

    async def settle(self, call: Reservation, used_tokens: int = 1) -> None:
        await self.counters.settle(call, settlement(tokens=used_tokens, cost=1))
        self.waits.settled(call)


async def settled_by_another(stage: Stage, call: Reservation) -> None:
    """Another process settles: nobody here is told."""
    await stage.counters.settle(call, settlement(tokens=1, cost=1))


async def soon() -> None:
    """Let everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("limited", [parallel(1), tokens(40), budget(50)])
async def test_whoever_only_a_hold_refuses_passes_when_it_is_settled(limited: Account) -> None:
    """A slot, tokens held above what was used, money held above what was spent."""
    stage = Stage()
    first, second = reservation("first", limited), reservation("second", limited)
    await stage.ask(first)
    waiting = asyncio.create_task(stage.ask(second))
    await soon()
    assert not waiting.done()
    await stage.settle(first)
    assert (await waiting).refused is None


@pytest.mark.parametrize("limited", [parallel(1), tokens(40), budget(50)])
async def test_what_another_process_settles_is_found_by_asking(limited: Account) -> None:
    """Nobody says so there."""
    stage = Stage()
    first = reservation("first", limited)
    await stage.ask(first)
    waiting = asyncio.create_task(stage.ask(reservation("second", limited)))
    await soon()
    await settled_by_another(stage, first)
    assert (await waiting).refused is None


async def test_who_waits_holds_nothing() -> None:
    """Not even at the scopes that would let it pass."""
    stage = Stage()
    accounts = (account_of(TEAM, rpm=9, tpm=1000, budget_nanousd=1000), parallel(1))
    await stage.ask(reservation("first", *accounts))
    before = await stage.counters.peek("default", accounts)
    waiting = asyncio.create_task(stage.ask(reservation("second", *accounts)))
    await soon()
    assert before == await stage.counters.peek("default", accounts)
    waiting.cancel()


async def test_after_the_time_it_is_refused() -> None:
    """As what it is: refused by holds. It has asked once more at the end."""
    stage = Stage(longest_s=0.01)
    await stage.ask(reservation("first", parallel(1)))
    standing = await stage.ask(reservation("second", parallel(1)))
    assert (standing.refused, standing.only_held) == (0, True)
    assert stage.counters.asked > 2


async def test_what_was_used_is_not_waited_for() -> None:
    """The end of the calls in flight leaves too little, so it is refused for good then."""
    stage = Stage()
    first = reservation("first", tokens(40))
    await stage.ask(first)
    waiting = asyncio.create_task(stage.ask(reservation("second", tokens(40))))
    await soon()
    await stage.settle(first, used_tokens=1000)
    standing = await waiting
    assert (standing.refused, standing.only_held) == (0, False)


async def test_of_a_crowd_only_the_first_asks_and_each_end_lets_one_pass() -> None:
    """In the order in which they came; nobody is woken for nothing but the next in line."""
    stage = Stage()
    calls = [reservation(f"r{n}", parallel(1)) for n in range(40)]
    await stage.ask(calls[0])
    waiting = [asyncio.create_task(stage.ask(call)) for call in calls[1:]]
    await soon()
    stage.counters.asked = 0
    for before, (call, task) in zip(calls, zip(calls[1:], waiting, strict=True), strict=False):
        await stage.settle(before)
        assert (await task).refused is None, call.id
    # Each that passed, and the one behind it that tried; the pauses of the first add what the
    # machine's pace adds.
    assert stage.counters.asked < 4 * len(waiting)


async def test_an_end_that_makes_room_for_several_lets_several_pass() -> None:
    """One call held all the tokens and used one of them."""
    stage = Stage()
    great = reservation("great", tokens(40), tokens=40)
    await stage.ask(great)
    small = [
        asyncio.create_task(stage.ask(reservation(f"s{n}", tokens(40), tokens=5))) for n in range(6)
    ]
    await soon()
    await stage.settle(great)
    assert [(await each).refused for each in small] == [None] * 6


async def test_an_end_while_the_question_is_under_way_is_not_missed() -> None:
    """The answer was given before that end, so it asks again at once."""
    stage = Stage()
    first = reservation("first", parallel(1))
    await stage.ask(first)
    ask, ended = stage.counters.reserve, False

    async def slow(call: Reservation) -> Standing:
        nonlocal ended
        standing = await ask(call)
        if call.id == "second" and not ended:
            ended = True
            await stage.settle(first)
        return standing

    second = reservation("second", parallel(1))
    refused = await stage.counters.reserve(second)
    stage.counters.reserve = slow  # type: ignore[method-assign]
    assert (await stage.waits.ask_again(second, refused, stays)).refused is None


async def test_a_client_that_leaves_gives_its_place_up() -> None:
    """First in line or not, it asks no more, and the next in line goes on."""
    stage = Stage()
    first = reservation("first", parallel(1))
    await stage.ask(first)
    gone: set[str] = set()

    def waiting(name: str) -> asyncio.Task[Standing]:
        call = reservation(name, parallel(1))
        refused = Standing(0, (), 0, 0, only_held=True)
        return asyncio.create_task(stage.waits.ask_again(call, refused, lambda: name in gone))

    left = [waiting("a"), waiting("b")]
    stays_on = waiting("c")
    await soon()
    gone.update("ab")
    for each in left:
        assert (await each).refused == 0
    await settled_by_another(stage, first)
    assert (await stays_on).refused is None


async def test_a_request_that_another_scope_holds_up_next_waits_there() -> None:
    """The team's slot is free, the key's is not yet."""
    stage = Stage()
    team, key = parallel(1, TEAM), parallel(1)
    of_team, of_key = reservation("team", team), reservation("key", key)
    await stage.ask(of_team)
    await stage.ask(of_key)
    waiting = asyncio.create_task(stage.ask(reservation("both", team, key)))
    await soon()
    await stage.settle(of_team)
    await soon()
    assert not waiting.done()
    await stage.settle(of_key)
    assert (await waiting).refused is None


async def test_so_many_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, and in all; the others are refused at once, and places are free again
    afterwards.
    """
    monkeypatch.setattr(hold_waits, "MOST_WAITING", 3)
    stage = Stage()
    stage.waits = HoldWaits(stage.counters, LONG_S, most_in_line=2)
    calls = [reservation("k", parallel(1)), reservation("t", parallel(1, TEAM))]
    for call in calls:
        await stage.ask(call)
    waiting = [asyncio.create_task(stage.ask(reservation(f"k{n}", parallel(1)))) for n in range(2)]
    await soon()
    assert (await stage.ask(reservation("k2", parallel(1)))).refused == 0
    waiting.append(asyncio.create_task(stage.ask(reservation("t0", parallel(1, TEAM)))))
    await soon()
    assert (await stage.ask(reservation("t1", parallel(1, TEAM)))).refused == 0
    for call in (*calls, reservation("k0", parallel(1))):
        await stage.settle(call)
        await soon()
    assert [(await each).refused for each in waiting] == [None] * 3


async def test_admission_waits_for_holds_and_only_for_them() -> None:
    """The second request passes when the first ends; one that has no requests left is told so at
    once.
    """
    desk = Desk(People(generation=1), hold_wait_s=LONG_S)
    desk.key(limits=limit_set(parallel=1, rpm=2))
    first = admission(await desk.ask()).reservation
    assert first is not None
    waiting = asyncio.create_task(desk.ask())
    await soon()
    assert not waiting.done()
    await desk.counters.settle(first, settlement())
    assert admission(await waiting).reservation is not None
    _, _, headers = refusal(await desk.ask())
    assert headers["retry-after"] == "30"


async def test_a_hold_is_waited_for_after_a_refusal_that_is_remembered() -> None:
    """What memory knows of a full bucket says nothing of the holds that refuse once it has
    refilled.
    """
    desk = Desk(People(generation=1), hold_wait_s=LONG_S)
    desk.key(limits=limit_set(parallel=1, rpm=1))
    first = admission(await desk.ask()).reservation
    assert first is not None
    refusal(await desk.ask())
    desk.clock.us += 30_000_000
    await desk.counters.renew(first)
    desk.clock.us += 30_000_000
    waiting = asyncio.create_task(desk.ask())
    await soon()
    assert not waiting.done()
    await desk.counters.settle(first, settlement())
    admission(await waiting)
