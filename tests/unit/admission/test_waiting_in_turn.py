"""Calls that wait for room in a limit that says so: in which order, how many, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.desk import Desk, admission, refusal
from tests.fakes import FixedClock, MemoryCounters
from tests.make import KEY, limit_set, reservation, settlement

from tollgate.admission.hold_waits import HoldWaits
from tollgate.admission.holding import Holding
from tollgate.core.calls.decision import Admission
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Enforcement, Meter, Quota
from tollgate.core.limits.limit import Bucket, Limit

PATIENT = Enforcement(max_wait_ms=20_000)
# One call fits each ten milliseconds, and one at a time.
RATE = Account(KEY, (Quota(Meter.REQUESTS, 1, 1, enforcement=PATIENT),))
ONE_US = 1_000_000


def stays() -> bool:
    return False


class Line:
    """A store, and calls that wait for it."""

    def __init__(self, most_in_line: int = 128) -> None:
        self.counters = MemoryCounters(FixedClock())
        self.waits = HoldWaits(self.counters, 0, 30, most_in_line)
        self.holding = Holding(self.waits, lambda _: None)
        self.admitted: list[str] = []

    async def ask(
        self, identity: str, account: Account = RATE, left: Callable[[], bool] = stays
    ) -> bool:
        held = await self.holding.hold(self._call(identity, account), left)
        if held.standing.refused is None:
            self.admitted.append(identity)
        return held.standing.refused is None

    def wait(self, identity: str, account: Account = RATE) -> asyncio.Task[bool]:
        return asyncio.create_task(self.ask(identity, account))

    def _call(self, identity: str, account: Account) -> Reservation:
        return reservation(identity, account)

    async def second(self) -> None:
        """Let time make room for one call more, as the store counts it."""
        self.counters.clock.us += ONE_US
        self.waits.settled(reservation("wakes the first", RATE))
        await soon()


async def soon() -> None:
    """Let everything that can run do so."""
    for _ in range(30):
        await asyncio.sleep(0)


async def test_calls_are_admitted_in_order_of_arrival() -> None:
    """One that comes when there is room waits behind those that have waited."""
    line = Line()
    await line.ask("first")
    waiting = [line.wait(name) for name in ("second", "third")]
    await soon()
    line.counters.clock.us += ONE_US
    waiting.append(line.wait("last"))
    await soon()
    for _ in range(3):
        await line.second()
    await asyncio.gather(*waiting)
    assert line.admitted == ["first", "second", "third", "last"]


async def test_a_call_that_no_wait_helps_is_refused_at_once() -> None:
    """Room comes in a minute, and it would wait 20 seconds."""
    line = Line()
    slow = Account(KEY, (Quota(Meter.REQUESTS, 1, 60, enforcement=PATIENT),))
    assert [await line.ask("first", slow), await line.ask("second", slow)] == [True, False]


async def test_the_queue_of_a_scope_is_bounded() -> None:
    """More are refused, even where there would be room: others wait for it."""
    line = Line(most_in_line=2)
    await line.ask("first")
    waiting = [line.wait(name) for name in ("second", "third")]
    await soon()
    line.counters.clock.us += ONE_US
    assert not await line.ask("too many")
    await line.second()
    await line.second()
    await asyncio.gather(*waiting)
    assert line.admitted == ["first", "second", "third"]


async def test_whoever_leaves_makes_way() -> None:
    """The next one in the queue asks then."""
    line = Line()
    gone = False
    await line.ask("first")
    leaving = asyncio.create_task(line.ask("leaves", left=lambda: gone))
    await soon()
    patient = line.wait("stays")
    await soon()
    gone = True
    line.waits.settled(reservation("wakes the first", RATE))
    assert not await leaving
    await line.second()
    assert await patient
    assert line.admitted == ["first", "stays"]


async def test_a_place_in_flight_is_waited_for() -> None:
    """Longer than for other holds, if the limit says so."""
    line = Line()
    one = Account(KEY, (Quota(Meter.CALLS, 1, enforcement=PATIENT),))
    first = reservation("first", one)
    await line.holding.hold(first, stays)
    waiting = line.wait("second", one)
    await soon()
    assert not waiting.done()
    await line.counters.settle(first, settlement())
    line.waits.settled(first)
    assert await waiting


@pytest.mark.parametrize("longest_s", [0.0, 5.0])
async def test_the_configuration_bounds_what_a_limit_may_ask_for(longest_s: float) -> None:
    """Envoy waits no longer than that for a decision."""
    desk = Desk(longest_wait_s=longest_s)
    desk.key(limits=limit_set(Limit(Meter.REQUESTS, 1, Bucket(10), PATIENT)))
    assert isinstance(await desk.ask(), Admission)
    assert refusal(await desk.ask())[0] == 429


async def test_a_caller_who_is_known_to_be_refused_waits_as_well() -> None:
    """The head of the request does not decide what time may change."""
    desk = Desk(longest_wait_s=30)
    desk.key(limits=limit_set(Limit(Meter.REQUESTS, 1, Bucket(1), PATIENT)))
    admission(await desk.ask())
    waiting = [asyncio.create_task(desk.ask()) for _ in range(2)]
    await soon()
    assert await desk.ask_head() is None
    for _ in range(2):
        desk.clock.us += ONE_US
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [isinstance(await each, Admission) for each in waiting] == [True, True]
