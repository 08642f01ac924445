"""The scripts and their Python twins agree, to the unit, on random histories (design: invariants)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from tests.fakes import FixedClock, MemoryCounters
from tests.make import KEY, TEAM, budget, parallel, requests, reservation, settlement, tokens

from tollgate.adapters.valkey.counters import ValkeyCounters
from tollgate.adapters.valkey.pipe import Pipe
from tollgate.core.entities import Charge, Period, Reservation, Scope, ScopeKind
from tollgate.ports import Counters

START_US = 1_800_000_000_000_000
LEASE_US = 60_000_000
SCOPES = (KEY, TEAM, Scope(ScopeKind.KEY, "k1", "gpt-4o"), Scope(ScopeKind.PROXY, "proxy"))


def charges() -> st.SearchStrategy[tuple[Charge, ...]]:
    """Up to one charge of each kind and scope, limited ones first, as admission builds them."""
    scope = st.sampled_from(SCOPES)
    limit = st.integers(0, 12)
    amount = st.integers(0, 40)
    seconds = st.integers(1, 90)
    period = seconds.map(lambda s: Period(START_US - s * 1_000_000, START_US, START_US + s * 1_000_000))
    one = st.one_of(
        st.builds(requests, limit, scope),
        st.builds(tokens, limit, amount, scope),
        st.builds(parallel, limit, scope),
        st.builds(budget, st.one_of(st.none(), limit), amount, scope, st.one_of(st.just(Period()), period)),
    )
    several = st.lists(one, max_size=6, unique_by=lambda c: (c.kind, c.scope))
    return several.map(lambda found: tuple(sorted(found, key=lambda c: c.limit is None)))


Step = Callable[[Counters, FixedClock, dict[str, Reservation]], Coroutine[object, object, object]]


def reserve(name: str, held: tuple[Charge, ...]) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        if name in known:
            return None
        call = reservation(name, *held)
        standing = await counters.reserve(call)
        if standing.refused is None:
            known[name] = call
        return standing

    return step


def settle(name: str, used: int, cost: int) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        return await counters.settle(known[name], settlement(used, cost)) if name in known else None

    return step


def renew(name: str) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        return await counters.renew(known[name]) if name in known else None

    return step


async def expired(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
    return sorted(await counters.expired("default"), key=lambda each: each.id)


def wait(us: int) -> Step:
    async def step(counters: Counters, clock: FixedClock, known: dict[str, Reservation]) -> object:
        clock.us += us
        if isinstance(counters, ValkeyCounters):
            counters.now_us = clock.us
        return None

    return step


def steps() -> st.SearchStrategy[Step]:
    """One operation, or the passing of time; reservations have few ids, so that they are settled, renewed and repeated."""
    identity = st.sampled_from([f"r{n}" for n in range(6)])
    return st.one_of(
        st.builds(reserve, identity, charges()),
        st.builds(settle, identity, st.integers(0, 60), st.integers(0, 60)),
        st.builds(renew, identity),
        st.just(expired),
        st.builds(wait, st.integers(-3_000_000, 40_000_000)),
    )


async def _history(counters: Counters, clock: FixedClock, history: list[Step]) -> list[object]:
    known: dict[str, Reservation] = {}
    return [await step(counters, clock, known) for step in history]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps(), max_size=25))
def test_lua_and_python_agree_on_any_history(valkey_url: str, history: list[Step]) -> None:
    """Every answer of counters.lua equals that of the twin built on core.bucket and core.budget."""
    with redis.Redis.from_url(valkey_url) as plain:
        plain.flushall()

    async def on_valkey() -> list[object]:
        clock = FixedClock(START_US)
        async with Redis.from_url(valkey_url) as client:
            pipe = Pipe(valkey_url, timeout_s=5)
            counters = ValkeyCounters(client, pipe, LEASE_US, LEASE_US, clock.us)
            try:
                return await _history(counters, clock, history)
            finally:
                await pipe.aclose()

    async def in_memory() -> list[object]:
        clock = FixedClock(START_US)
        return await _history(MemoryCounters(clock, LEASE_US), clock, history)

    assert asyncio.run(in_memory()) == asyncio.run(on_valkey())
