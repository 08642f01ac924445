"""Limits that are split over parts, by random histories: never exceeded in all, and no call is
refused that a part has room for.
"""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import KEY, account_of, reservation, settlement

from tollgate.admission.hold_waits import HoldWaits
from tollgate.admission.holding import Holding
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Enforcement, Meter, Quota, Scope, ScopeKind
from tollgate.core.limits.algorithms import algorithm_of
from tollgate.core.limits.limit_parts import expanded, folded, in_part, place_in

ACME = Scope(ScopeKind.ORGANIZATION, "acme")
STRICT = Enforcement(strict=True)
STEPS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(1, 40), st.booleans(), st.integers(0, 30)),
    max_size=60,
)
"""Of each step the place of a call, what it asks for, whether an older one ends first, and how many
seconds pass.
"""


def whole_of(requests: int, calls: int, tokens: int, nanousd: int) -> Account:
    """Every kind of limit; those of amounts are strict, so that what is held is what is used."""
    limits = (
        Quota(Meter.REQUESTS, requests, 60),
        Quota(Meter.TOKENS, tokens, duration="1d", enforcement=STRICT),
        Quota(Meter.CALLS, calls),
        Quota(Meter.USD, nanousd, enforcement=STRICT),
    )
    return Account(ACME, limits)


class World:
    """An organization in parts, and callers in each of its places."""

    def __init__(self, whole: Account) -> None:
        self.whole, self.clock = whole, FixedClock()
        self.counters = MemoryCounters(self.clock)
        self.holding = Holding(HoldWaits(self.counters, 0), lambda _: None)
        self.running: list[Reservation] = []

    async def call(self, number: int, place: int, asked: int) -> None:
        """Ask for a call; admitted, it runs. Refused, no part may have had room for it."""
        own = place_in("acme", place % self.whole.parts)
        account = in_part(self.whole, "acme", place % self.whole.parts, self.whole.parts, own)
        key = account_of(KEY, rpm=10**6)
        one = structs.replace(
            reservation(f"c{number}", account, key, tokens=asked, cost=asked),
            organization=own,
            admitted_us=self.clock.us,
        )
        free = await self.parts_with_room(one)
        held = await self.holding.hold(one, lambda: False)
        if held.standing.refused is None:
            self.running.append(held.reservation)
        else:
            assert not free
        assert (held.standing.refused is None) == bool(free)

    async def parts_with_room(self, one: Reservation) -> list[int]:
        """Return the parts whose every limit a call fits."""
        every = expanded([self.whole], "acme")
        standing = await self.counters.peek("acme", every)
        return [
            number
            for number, (account, balance) in enumerate(zip(every, standing.balances, strict=True))
            if all(
                algorithm_of(quota).fits(quota, used, held, one.asked(quota))
                for quota, used, held in zip(
                    account.limits, balance.used, balance.held, strict=True
                )
            )
        ]

    async def end_oldest(self) -> None:
        if self.running:
            one = self.running.pop(0)
            used = settlement(one.input_tokens + one.output_tokens, one.cost_nanousd)
            assert await self.counters.settle(one, used) is not None

    async def check(self) -> None:
        """No limit is exceeded in all."""
        standing = await self.counters.peek("acme", expanded([self.whole], "acme"))
        (balance,) = folded([self.whole], standing.balances)
        for quota, used, held in zip(self.whole.limits, balance.used, balance.held, strict=True):
            ticks = quota.seconds * 1000 if quota.seconds else 1
            within = used if quota.seconds or quota.meter is Meter.CALLS else used + held
            assert within <= quota.amount * ticks, quota


@given(
    st.integers(1, 8),
    st.builds(
        whole_of,
        st.integers(0, 30),
        st.integers(0, 12),
        st.integers(0, 600),
        st.integers(0, 600),
    ),
    STEPS,
)
def test_split_limits_are_exact_and_refuse_only_when_no_part_has_room(
    parts: int, whole: Account, steps: list[tuple[int, int, bool, int]]
) -> None:
    """Of requests, tokens, calls at once and dollars, together."""

    async def play() -> None:
        world = World(structs.replace(whole, parts=parts))
        for number, (place, asked, ends, seconds) in enumerate(steps):
            if ends:
                await world.end_oldest()
            world.clock.us += seconds * 1_000_000
            await world.call(number, place, asked)
            await world.check()

    asyncio.run(play())
