"""What a share of a limit promises, whatever the others do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import reservation, settlement

from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import Account, Meter, Quota, Scope, ScopeKind
from tollgate.core.limits.shares import Share, Shares

WINDOW_S = 60
NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Call:
    """A call of somebody, and what it will have used of what it held, in percent."""

    wait_ms: int
    name: str
    tokens: int
    used_percent: int
    ends_after: int


@dataclass
class OwnBucket:
    """All that one caller used, against a bucket of the caller's alone: exact fractions."""

    capacity: Fraction
    rate: Fraction
    used: Fraction = Fraction(0)
    at_ms: int = 0
    open: dict[int, int] = field(default_factory=dict)

    def drain(self, now_ms: int) -> None:
        self.used = max(Fraction(0), self.used - self.rate * (now_ms - self.at_ms))
        self.at_ms = now_ms


def own_bucket(share: Share) -> OwnBucket:
    ticks = WINDOW_S * 1000
    return OwnBucket(Fraction(share.reserve, ticks), Fraction(share.amount, ticks))


def calls() -> st.SearchStrategy[list[Call]]:
    call = st.builds(
        Call,
        wait_ms=st.one_of(st.integers(0, 50), st.integers(0, 5000)),
        name=st.sampled_from(["a", "b", "b", "c", "c"]),
        tokens=st.integers(1, 30),
        used_percent=st.integers(0, 100),
        ends_after=st.integers(0, 6),
    )
    return st.lists(call, min_size=20, max_size=80)


def divisions() -> st.SearchStrategy[Shares]:
    """Shares of a and b; c has none, or that of all others."""
    return st.sampled_from(
        [
            Shares((("a", 600), ("b", 400))),
            Shares((("a", 300), ("b", 300), ("*", 300))),
            Shares((("a", 500), ("b", 100)), 800),
            Shares((("a", 700), ("b", 300)), 300),
        ]
    )


async def walk(shares: Shares, amount: int, meter: Meter, traffic: list[Call]) -> None:
    clock = FixedClock()
    counters = MemoryCounters(clock)
    whole = Quota(meter, amount, WINDOW_S)
    units = bucket.units(WINDOW_S)
    division = {each: shares.of((each,), amount, units) for each in NAMES}
    own = {each: own_bucket(division[each]) for each in NAMES}
    scope = Scope(ScopeKind.DEPLOYMENT, "d")
    running: list[tuple[int, Call, Reservation]] = []
    for number, call in enumerate(traffic):
        clock.us += call.wait_ms * 1000
        now_ms = clock.us // 1000
        for each in own.values():
            each.drain(now_ms)
        for ended in [each for each in running if each[0] + each[1].ends_after < number]:
            running.remove(ended)
            used = 1 if meter is Meter.REQUESTS else ended[1].tokens * ended[1].used_percent // 100
            await counters.settle(ended[2], settlement(used))
            theirs = own[ended[1].name]
            theirs.used = max(Fraction(0), theirs.used + used - theirs.open.pop(ended[0]))
        share = structs.replace(whole, share=division[call.name])
        account = Account(scope, (whole, share))
        asked = reservation(f"r{number}", account, tokens=call.tokens)
        hold = 1 if meter is Meter.REQUESTS else call.tokens
        standing = await counters.reserve(asked)
        mine = own[call.name]
        if mine.used + hold <= mine.capacity:
            assert standing.refused is None, "within its share, and refused"
        if standing.refused is None:
            mine.used += hold
            mine.open[number] = hold
            running.append((number, call, asked))
        (balance,) = (await counters.peek("default", (account,))).balances
        assert balance.used[0] <= amount * units, "more than the limit"


@settings(max_examples=60, deadline=None)
@given(
    shares=divisions(),
    amount=st.integers(100, 300),
    meter=st.sampled_from([Meter.REQUESTS, Meter.TOKENS]),
    traffic=calls(),
)
def test_who_stays_within_a_share_is_never_refused_because_of_others(
    shares: Shares, amount: int, meter: Meter, traffic: list[Call]
) -> None:
    """A caller's calls pass as long as a bucket of the share's own would let them, and all of them
    together never use more than the limit.
    """
    asyncio.run(walk(shares, amount, meter, traffic))
