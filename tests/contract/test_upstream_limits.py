"""What every store of counters does with limits of deployments and providers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from itertools import cycle

import pytest
from msgspec import structs
from tests.contract.conftest import LEASE_US, LEDGER_US, Bench
from tests.fakes import FixedClock
from tests.make import KEY, reservation, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Meter, Quota, Scope, ScopeKind
from tollgate.core.limits.bucket import units
from tollgate.core.limits.shares import Shares

AZURE = Scope(ScopeKind.PROVIDER, "azure")
EAST = Scope(ScopeKind.DEPLOYMENT, "gpt-4o")


def limited(scope: Scope, meter: Meter, amount: int, seconds: int = 0) -> Account:
    duration = None if seconds or meter is Meter.CALLS else "ever"
    return Account(scope, (Quota(meter, amount, seconds, duration),))


@pytest.mark.parametrize("scope", [AZURE, EAST], ids=lambda each: each.kind)
async def test_they_span_organizations(bench: Bench, scope: Scope) -> None:
    """A provider counts an account's calls, whoever makes them."""
    account = limited(scope, Meter.REQUESTS, 2, seconds=60)
    calls = [
        structs.replace(reservation(f"r{n}", account, Account(KEY)), organization=f"org-{n}")
        for n in range(3)
    ]
    told = [await bench.counters.reserve(each) for each in calls]
    assert [each.refused for each in told] == [None, None, 0]


LIMITS = [
    limited(EAST, Meter.REQUESTS, 40, seconds=86_400),
    limited(EAST, Meter.CALLS, 40),
    limited(EAST, Meter.TOKENS, 80, seconds=86_400),
    limited(AZURE, Meter.USD, 80),
]


@pytest.mark.parametrize("account", LIMITS, ids=lambda each: each.limits[0].meter.value)
async def test_five_hundred_at_the_edge_of_a_deployments_limit_do_not_pass_it(
    bench: Bench, account: Account
) -> None:
    """Forty fit, however many come at once."""
    calls = [reservation(f"r{n}", account, tokens=2, cost=2) for n in range(500)]
    standings = await asyncio.gather(*map(bench.counters.reserve, calls))
    admitted = [call for call, found in zip(calls, standings, strict=True) if found.refused is None]
    assert len(admitted) == 40
    await bench.counters.settle_all([(each, settlement(2, 2)) for each in admitted])
    left = await bench.counters.reserve(reservation("last", account, tokens=2, cost=2))
    assert left.refused == (None if account.limits[0].meter is Meter.CALLS else 0)


SHARES = Shares((("a", 500), ("b", 250)))


def share_of(name: str, meter: Meter, amount: int) -> Account:
    """A deployment's limit, half of which is divided, and somebody's share of it."""
    whole = Quota(meter, amount, 86_400)
    share = structs.replace(whole, share=SHARES.of((name,), amount, units(whole.seconds)))
    return Account(EAST, (whole, share))


@pytest.mark.parametrize("meter", [Meter.REQUESTS, Meter.TOKENS])
async def test_five_hundred_at_the_edge_of_a_share_do_not_pass_it(
    bench: Bench, meter: Meter
) -> None:
    """Of 160 that fit, 80 are common; the others are for those who have shares, 40 and 20 of them
    for a and b, whoever comes first and however many.
    """
    size = 1 if meter is Meter.REQUESTS else 2
    by_name = {name: share_of(name, meter, 160 * size) for name in "abc"}

    async def pass_at_once(name: str, times: int) -> list[Reservation]:
        calls = [
            structs.replace(reservation(f"{name}{n}", by_name[name], tokens=2), organization=org)
            for n, org in zip(range(times), cycle(["one", "two"]), strict=False)
        ]
        found = await asyncio.gather(*map(bench.counters.reserve, calls))
        return [call for call, told in zip(calls, found, strict=True) if told.refused is None]

    common = await pass_at_once("c", 500)
    assert len(common) == 80
    passed = await asyncio.gather(pass_at_once("a", 250), pass_at_once("b", 250))
    assert [len(each) for each in passed] == [40, 20]
    everybody = [*common, *passed[0], *passed[1]]
    await bench.counters.settle_all([(each, settlement(2)) for each in everybody])
    told = await bench.counters.reserve(reservation("last", by_name["a"], tokens=2))
    assert (told.refused, told.by) == (0, 1)


async def test_a_call_that_another_limit_refuses_leaves_its_share_as_it_was(bench: Bench) -> None:
    """All or nothing, in whichever place the other limit is counted."""
    full = Account(KEY, (Quota(Meter.CALLS, 0),))
    account = share_of("a", Meter.TOKENS, 40)
    for number in range(3):
        assert (
            await bench.counters.reserve(reservation(f"r{number}", account, tokens=6))
        ).refused is None
    before = await bench.counters.peek("default", (account,))
    for accounts in ((account, full), (full, account)):
        told = await bench.counters.reserve(reservation("no", *accounts, tokens=2))
        assert told.refused is not None
    assert (await bench.counters.peek("default", (account,))).balances == before.balances


@dataclass(frozen=True)
class Store:
    """A store, and a client of it."""

    url: str
    client: Valkey


@pytest.fixture(params=["valkey", "cluster"])
def shared_store(request: pytest.FixtureRequest) -> Store:
    """An empty server, or cluster."""
    if request.param == "valkey":
        return Store(request.getfixturevalue("valkey_url"), request.getfixturevalue("store"))
    request.getfixturevalue("cluster_pipe")
    return Store(request.getfixturevalue("cluster_url"), request.getfixturevalue("cluster_client"))


async def test_eight_processes_hand_out_no_share_twice(shared_store: Store) -> None:
    """Four workers of each of two replicas: 500 callers at the edge, and not one too many."""
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(8):
            pipe = await stack.enter_async_context(aclosing(open_pipe(shared_store.url, 5)))
            now_us = FixedClock().us
            processes.append(counters_of(shared_store.client, pipe, LEASE_US, LEDGER_US, now_us))
        by_name = {name: share_of(name, Meter.TOKENS, 320) for name in "abc"}

        async def passed(name: str, times: int) -> int:
            calls = (reservation(f"{name}{n}", by_name[name], tokens=2) for n in range(times))
            found = await asyncio.gather(
                *(each.reserve(call) for each, call in zip(cycle(processes), calls, strict=False))
            )
            return sum(each.refused is None for each in found)

        assert await passed("c", 100) == 80
        assert await asyncio.gather(passed("a", 200), passed("b", 200)) == [40, 20]
