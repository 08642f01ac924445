"""Leases that have run out, over every store of counters."""

from __future__ import annotations

import asyncio

from tests.contract.conftest import Bench
from tests.make import KEY, account_of, reservation, settlement


async def test_every_expired_lease_is_found_among_many_calls(bench: Bench) -> None:
    """An Envoy that dies leaves all its calls at once; those of another still run."""
    calls = [reservation(f"r{n}", account_of(KEY, tpm=10**6), tokens=1) for n in range(700)]
    await asyncio.gather(*map(bench.counters.reserve, calls))
    bench.advance(50)
    assert all(await asyncio.gather(*map(bench.counters.renew, calls[::7])))
    bench.advance(50)
    found = list[str]()
    while expired := await bench.counters.expired("default"):
        found += [each.id for each in expired]
        await asyncio.gather(*(bench.counters.settle(each, settlement(cost=1)) for each in expired))
    assert sorted(found) == sorted({each.id for each in calls} - {each.id for each in calls[::7]})
