"""What a limit would have done to calls that were made."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import KEY, reservation, settlement

from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Meter
from tollgate.core.limits.limit import Bucket, Forever, InFlight, Limit, Recurring
from tollgate.core.limits.replay import CallMade, Verdict, replay

START_US = 1_800_000_000_000_000
SECOND_US = 1_000_000


def call(second: float, amount: int = 1, lasts_s: float = 0, cost: int = 0) -> CallMade:
    begin_us = START_US + round(second * SECOND_US)
    return CallMade(begin_us, begin_us + round(lasts_s * SECOND_US), amount, cost)


@pytest.mark.parametrize(
    ("limit", "calls", "refused"),
    [
        (Limit(Meter.REQUESTS, 2, Bucket(60)), [call(0), call(1), call(2), call(31)], 1),
        (Limit(Meter.TOKENS, 100, Bucket(60)), [call(0, 80), call(1, 30), call(7, 30)], 1),
        (Limit(Meter.USD, 10, Recurring("1h")), [call(0, 10), call(9, 1), call(3600, 1)], 1),
        (Limit(Meter.TOKENS, 10, Forever()), [call(0, 9), call(1, 9), call(2, 1)], 1),
        (Limit(Meter.CALLS, 1, InFlight()), [call(0, lasts_s=5), call(4), call(5)], 1),
        (Limit(Meter.REQUESTS, 0, Bucket(60)), [call(0), call(100)], 2),
        (Limit(Meter.USD, 10, Recurring("1h"), rollover=5), [call(0, 2), call(3600, 14)], 0),
    ],
)
def test_a_limit_is_replayed_as_it_would_have_decided(
    limit: Limit, calls: list[CallMade], refused: int
) -> None:
    """Every kind of window, with calls that overlap."""
    assert replay(limit, calls, START_US).refused == refused


def test_a_verdict_says_what_was_refused_and_since_when() -> None:
    """The dollars are those that the calls had cost."""
    calls = [call(0, cost=5), call(1, cost=7), call(2, cost=9)]
    verdict = replay(Limit(Meter.REQUESTS, 1, Bucket(600)), calls, START_US)
    assert verdict == Verdict(3, 2, 16, START_US + SECOND_US)


LIMITS = st.builds(
    Limit,
    st.sampled_from([Meter.REQUESTS, Meter.INPUT_TOKENS]),
    st.integers(0, 60),
    st.one_of(
        st.builds(Bucket, st.sampled_from([5, 7200])),
        st.builds(Recurring, st.sampled_from(["7s", "1m"])),
        st.just(Forever()),
    ),
    rollover=st.none(),
)
CALLS = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 30), st.integers(0, 9000)), max_size=30
)


@settings(max_examples=200, deadline=None)
@given(limit=LIMITS, made=CALLS)
def test_a_replay_agrees_with_the_counters(limit: Limit, made: list[tuple[int, int, int]]) -> None:
    """Calls that are estimated at what they use, decided one after the other."""
    calls, now_us = [], START_US
    for pause_ms, amount, lasts_ms in made:
        now_us += pause_ms * 1000 + 1
        used = 1 if limit.meter is Meter.REQUESTS else amount
        calls.append(CallMade(now_us, now_us + lasts_ms * 1000, used, 0))
    assert replay(limit, calls, START_US).refused == asyncio.run(decided(limit, calls))


async def decided(limit: Limit, calls: list[CallMade]) -> int:
    """How many of the calls counters in memory refuse."""
    clock, refused = FixedClock(START_US), 0
    counters = MemoryCounters(clock)
    running: list[tuple[int, int, Reservation, int]] = []
    for number, each in enumerate(calls):
        while running and min(running)[0] <= each.admitted_us:
            ended = min(running)
            running.remove(ended)
            clock.us = ended[0]
            await counters.settle(ended[2], settlement(ended[3]))
        clock.us = each.admitted_us
        account = Account(KEY, (limit.in_force(START_US, clock.us),))
        asked = reservation(f"r{number}", account, tokens=each.amount)
        held = structs.replace(asked, input_tokens=each.amount, output_tokens=0)
        if (await counters.reserve(held)).refused is None:
            running.append((each.ended_us, number, held, each.amount))
        else:
            refused += 1
    return refused
