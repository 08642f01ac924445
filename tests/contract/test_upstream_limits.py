"""What every store of counters does with limits of deployments and providers."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs
from tests.contract.conftest import Bench
from tests.make import KEY, reservation, settlement

from tollgate.core.limits.accounts import Account, Meter, Quota, Scope, ScopeKind

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
