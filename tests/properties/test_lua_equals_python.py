"""The scripts and their Python twins agree, to the unit, on random histories."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import KEY, TEAM, reservation
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters, limited
from tollgate.adapters.valkey.counters.spend_book import ValkeySpendBook
from tollgate.core.calls.reservation import Reservation, Settlement, WorstCase
from tollgate.core.calls.usage import Usage
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import (
    ENFORCED,
    MAX_EXACT,
    Account,
    Enforcement,
    Meter,
    Period,
    Quota,
    Scope,
    ScopeKind,
)
from tollgate.core.limits.limit import EVER
from tollgate.core.limits.shares import Shares
from tollgate.ports import Counters

START_US = 1_800_000_000_000_000
LEASE_US = 60_000_000
SCOPES = (KEY, TEAM, Scope(ScopeKind.KEY, "k1", "gpt-4o"), Scope(ScopeKind.PROXY, "proxy"))


RATES = [meter for meter in Meter if meter not in (Meter.CALLS, Meter.USD)]
# The period of a counter depends on its duration, so that limits of one counter agree.
PERIODS = {
    duration: Period(START_US - 1_000_000 * length, START_US, START_US + 1_000_000 * length)
    for duration, length in (("7s", 7), ("61s", 61))
} | {EVER: Period()}


HOW = [
    ENFORCED,
    ENFORCED,
    Enforcement(strict=True),
    Enforcement(shadow=True),
    Enforcement(shadow=True, strict=True),
]


def quotas() -> st.SearchStrategy[tuple[Quota, ...]]:
    """Limits of every kind and window, several of a meter, each with a counter of its own."""
    # Mostly room for several calls, so that they meet.
    amount = st.one_of(st.integers(0, 12), st.integers(60, 400), st.just(10**6))
    counted = st.sampled_from([*RATES, Meter.USD])
    how = st.sampled_from(HOW)
    one = st.one_of(
        st.builds(
            Quota,
            st.sampled_from(RATES),
            amount,
            st.sampled_from([1, 60, 3601, 86_400]),
            enforcement=how,
        ),
        st.builds(Quota, st.just(Meter.CALLS), amount),
        st.builds(Quota, st.just(Meter.USD), amount, enforcement=how),
        st.builds(
            lambda meter, amount, duration, how, rollover: Quota(
                meter,
                amount,
                0,
                duration,
                PERIODS[duration],
                how,
                rollover=rollover if PERIODS[duration].end_us else None,
            ),
            counted,
            amount,
            st.sampled_from(list(PERIODS)),
            how,
            st.sampled_from([None, 0, 7, 90, 10**6]),
        ),
    )
    unique = st.lists(
        one,
        max_size=4,
        unique_by=lambda each: structs.astuple(each)[0:1] + structs.astuple(each)[2:4],
    )
    shares = st.sampled_from([None, None, *SHARES])
    names = st.sampled_from(["a", "b", "c"])
    return st.tuples(unique, shares, names).map(lambda found: divided(*found))


SHARES = [
    Shares((("a", 600), ("b", 400))),
    Shares((("a", 250), ("*", 100)), 900),
    Shares((("b", 1000),), 0),
]


def divided(quotas: list[Quota], shares: Shares | None, name: str) -> tuple[Quota, ...]:
    """The limits, and behind each rate that can be divided the share of a caller."""
    found = []
    for quota in quotas:
        found.append(quota)
        if shares is not None and quota.seconds and not quota.enforcement.strict:
            share = shares.of((name,), quota.amount, bucket.units(quota.seconds))
            found.append(structs.replace(quota, share=share))
    return tuple(found)


def accounts() -> st.SearchStrategy[tuple[Account, ...]]:
    """Up to one account of each scope, limited ones first, as admission builds them."""
    seconds = st.integers(1, 90)
    period = seconds.map(
        lambda s: Period(START_US - s * 1_000_000, START_US, START_US + s * 1_000_000)
    )
    one = st.builds(
        Account, st.sampled_from(SCOPES), quotas(), st.one_of(st.just(Period()), period)
    )
    several = st.lists(one, max_size=3, unique_by=lambda each: each.scope)
    return several.map(lambda found: tuple(sorted(found, key=lambda each: not each.limited)))


EVERYTHING = tuple(
    Account(
        scope,
        (
            *(Quota(meter, 5, seconds) for meter in RATES for seconds in (1, 60, 3601, 86_400)),
            Quota(Meter.CALLS, 5),
            Quota(Meter.USD, 5),
            *(
                Quota(meter, 5, 0, duration, period)
                for meter in (*RATES, Meter.USD)
                for duration, period in PERIODS.items()
            ),
        ),
    )
    for scope in SCOPES
)
"""Each counter that there may be."""


class OnValkey(ValkeyCounters):
    """The scripts, and the client that the spend book corrects them by."""

    def __init__(self, client: Valkey, pipe: Pipe, now_us: int) -> None:
        super().__init__(client, pipe, LEASE_US, LEASE_US, now_us)
        self.client = client


Step = Callable[[Counters, FixedClock, dict[str, Reservation]], Coroutine[object, object, object]]


def reserve(name: str, held: tuple[Account, ...], tokens: int, cost: int, guessed: bool) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        if name in known:
            return None
        call = reservation(name, *held, tokens=tokens, cost=cost)
        # What is held in the worst case differs from the estimate.
        most = WorstCase(call.input_tokens, 2 * call.output_tokens, 2 * cost)
        call = structs.replace(call, guessed=guessed, worst=most)
        standing = await counters.reserve(call)
        if standing.refused is None:
            known[name] = call
        return standing

    return step


def reserve_together(held: tuple[Account, ...], cost: int) -> Step:
    """Calls that come up at once are one run of the script: later ones meet what
    earlier ones took.
    """

    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        calls = [
            reservation(f"{clock.us}-{len(known)}-{n}", *held[n % 2 :], cost=cost) for n in range(3)
        ]
        standings = await asyncio.gather(*map(counters.reserve, calls))
        known |= {
            call.id: call
            for call, found in zip(calls, standings, strict=True)
            if found.refused is None
        }
        if isinstance(counters, ValkeyCounters):
            # All are told where things stand after all of them; the twin takes one after the other.
            for call, found in zip(calls, standings, strict=True):
                then = await counters.peek("default", limited(call.accounts))
                assert found.balances == then.balances
        return [(found.refused, found.by) for found in standings], await look(
            counters, clock, known
        )

    return step


def settled(used: int, cost: int) -> Settlement:
    """A call that used so many tokens: some output, and some of its input from a cache."""
    usage = Usage(used - used // 3, used // 3, used // 4)
    return Settlement(usage, cost, 200, "test")


def settle(name: str, used: int, cost: int) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        return await counters.settle(known[name], settled(used, cost)) if name in known else None

    return step


def settle_all(used: int, cost: int) -> Step:
    """All that was ever admitted, some of it twice."""

    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        calls = [*known.values(), *list(known.values())[:1]]
        return await counters.settle_all([(each, settled(used, cost)) for each in calls])

    return step


async def look(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
    """Where everything stands, and what was spent."""
    return await counters.peek("default", EVERYTHING), await counters.spend("default", EVERYTHING)


def look_at(held: tuple[Account, ...]) -> Step:
    """Where a caller's own limits stand, with what they carry over."""

    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        return await counters.peek("default", held)

    return step


def renew(name: str) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        return await counters.renew(known[name]) if name in known else None

    return step


async def expired(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
    return sorted(await counters.expired("default"), key=lambda each: each.id)


def forget(place: Scope) -> Step:
    """A scope is deleted, perhaps while calls of it are in flight."""

    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        await wait(1)(counters, clock, known)
        if isinstance(counters, MemoryCounters):
            counters.forget("default", [place])
        elif isinstance(counters, OnValkey):
            await ValkeySpendBook(counters.client, clock.us).forget("default", [place])
        await wait(1)(counters, clock, known)
        return await look(counters, clock, known)

    return step


def wait(us: int) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        clock.us += us
        if isinstance(counters, ValkeyCounters):
            counters.now_us = clock.us
        return None

    return step


def steps(held: st.SearchStrategy[tuple[Account, ...]]) -> st.SearchStrategy[Step]:
    """One operation, or the passing of time; reservations have few ids, so that they are settled,
    renewed and repeated.
    """
    identity = st.sampled_from([f"r{n}" for n in range(6)])
    amount = st.integers(0, 60)
    # Sums above 2^53 stay exact.
    cost = st.one_of(amount, st.sampled_from([3 * 10**15 + 1, MAX_EXACT, 10**15 - 1]))
    return st.one_of(
        st.builds(reserve, identity, held, amount, amount, st.booleans()),
        st.builds(reserve_together, held, amount),
        st.builds(settle, identity, amount, cost),
        st.builds(settle_all, amount, cost),
        st.just(look),
        st.builds(renew, identity),
        st.just(expired),
        st.builds(forget, st.sampled_from(SCOPES)),
        st.builds(wait, st.integers(-3_000_000, 40_000_000)),
    )


def histories() -> st.SearchStrategy[list[Step]]:
    """Few callers, so that calls meet what others left."""
    callers = st.lists(accounts(), min_size=1, max_size=3)
    return callers.flatmap(lambda few: st.lists(steps(st.sampled_from(few)), max_size=25))


def periods_in_turn() -> st.SearchStrategy[list[Step]]:
    """Calls of one counter that carries over, in periods that follow each other: they end in the
    one of their admission or later, and some periods pass without any.
    """
    limit = st.builds(
        lambda meter, amount, how, cap, counts_on: Quota(
            meter, amount, 0, "7s", PERIODS["7s"], how, rollover=cap, counts_on=counts_on
        ),
        st.sampled_from([Meter.REQUESTS, Meter.TOKENS, Meter.USD]),
        st.integers(1, 60),
        st.sampled_from(HOW),
        st.sampled_from([0, 7, 90, 10**6]),
        st.sampled_from([False, False, True]),
    )
    identity = st.sampled_from([f"r{n}" for n in range(12)])
    amount = st.integers(1, 60)

    def steps_of(quota: Quota) -> st.SearchStrategy[list[Step]]:
        held = (Account(KEY, (quota,)),)
        one = st.one_of(
            st.builds(reserve, identity, st.just(held), amount, amount, st.booleans()),
            st.builds(settle, identity, amount, amount),
            st.builds(wait, st.sampled_from([1_000_000, 7_000_000, 13_000_000, 21_000_000])),
            st.just(look_at(held)),
        )
        return st.lists(one, min_size=6, max_size=25)

    return limit.flatmap(steps_of)


async def _history(counters: Counters, clock: FixedClock, history: list[Step]) -> list[object]:
    known: dict[str, Reservation] = {}
    return [await step(counters, clock, known) for step in history]


async def on_valkey(url: str, history: list[Step]) -> list[object]:
    clock = FixedClock(START_US)
    async with Valkey.from_url(url) as client:
        await client.flushall()
        pipe = open_pipe(url, timeout_s=5)
        counters = OnValkey(client, pipe, clock.us)
        try:
            await counters.meet_store()
            return await _history(counters, clock, history)
        finally:
            await pipe.aclose()


async def in_memory(history: list[Step]) -> list[object]:
    clock = FixedClock(START_US)
    return await _history(MemoryCounters(clock, LEASE_US), clock, history)


ON_ONE_STORE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(ON_ONE_STORE, max_examples=200)
@given(history=histories())
def test_lua_and_python_agree_on_any_history(valkey_url: str, history: list[Step]) -> None:
    """Every answer of counters.lua equals that of the twin built on core's arithmetic."""
    assert asyncio.run(in_memory(history)) == asyncio.run(on_valkey(valkey_url, history))


@settings(ON_ONE_STORE, max_examples=150)
@given(history=periods_in_turn())
def test_they_agree_on_what_periods_leave_to_those_that_follow(
    valkey_url: str, history: list[Step]
) -> None:
    """Calls of one limit, so that most of them meet what the periods before left."""
    assert asyncio.run(in_memory(history)) == asyncio.run(on_valkey(valkey_url, history))
