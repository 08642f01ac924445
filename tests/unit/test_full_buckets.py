"""Refusals from memory: exactly those that the store would give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.desk import Desk, People, admission, refusal
from tests.fakes import FixedClock, MemoryCounters

from tollgate.core.entities import Refusal, Reservation, Standing
from tollgate.core.people import LimitSet


class _Counting(MemoryCounters):
    asked = 0

    async def reserve(self, reservation: Reservation) -> Standing:
        self.asked += 1
        return await super().reserve(reservation)


def desk_of(limits: LimitSet) -> tuple[Desk, _Counting]:
    clock = FixedClock()
    counters = _Counting(clock)
    desk = Desk(People(generation=1), clock=clock, counters=counters)
    desk.key(limits=limits)
    return desk, counters


async def test_a_caller_without_requests_left_is_refused_without_asking_the_store() -> None:
    """Until the first refill, which the store decides about again; the words and the wait are those that it would give."""
    desk, counters = desk_of(LimitSet(rpm=2))
    for _ in range(2):
        admission(await desk.ask())
    _, first, headers = refusal(await desk.ask())
    assert counters.asked == 3
    desk.clock.us += 10_000_000
    _, again, later = refusal(await desk.ask())
    assert counters.asked == 3
    assert (headers["retry-after"], later["retry-after"]) == ("30", "20")
    assert again["error"]["message"] == first["error"]["message"].replace("30s", "20s")
    desk.clock.us += 20_000_000
    admission(await desk.ask())
    assert counters.asked == 4


async def test_a_limit_that_was_raised_counts_at_once() -> None:
    """Who was changed has other accounts."""
    desk, _ = desk_of(LimitSet(rpm=1))
    admission(await desk.ask())
    refusal(await desk.ask())
    desk.key(limits=LimitSet(rpm=2))
    admission(await desk.ask())


async def test_what_settlements_give_back_is_not_refused_from_memory() -> None:
    """Tokens, calls at once and budgets: another call's end may make room at any moment."""
    for limits in (LimitSet(tpm=1), LimitSet(parallel=1), LimitSet(max_budget_nanousd=1)):
        desk, counters = desk_of(limits)
        admission(await desk.ask())
        for _ in range(2):
            refusal(await desk.ask())
        assert counters.asked == 3


async def test_a_clock_that_was_set_back_refuses_nobody() -> None:
    """What was remembered says nothing about an earlier time."""
    desk, counters = desk_of(LimitSet(rpm=1))
    admission(await desk.ask())
    refusal(await desk.ask())
    desk.clock.us -= 1_000_000
    refusal(await desk.ask())
    assert counters.asked == 3


@given(rpm=st.integers(0, 600), waits_us=st.lists(st.integers(0, 400_000), max_size=60))
async def test_memory_refuses_nobody_whom_the_store_would_let_pass(rpm: int, waits_us: list[int]) -> None:
    """At any pace: the same calls pass as with a worker that remembers nothing."""
    remembering, forgetful = desk_of(LimitSet(rpm=rpm))[0], desk_of(LimitSet(rpm=rpm))[0]
    for wait_us in waits_us:
        decisions = []
        for desk in (remembering, forgetful):
            desk.clock.us += wait_us
            decisions.append(await desk.ask())
        forgetful.forget()
        assert isinstance(decisions[0], Refusal) == isinstance(decisions[1], Refusal)
