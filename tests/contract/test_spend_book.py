"""Corrections of spend: memory and a real Valkey."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from tests.fakes import FixedClock, MemoryCounters
from tests.unit.management_fixtures import MemorySpendBook

from tollgate.adapters.valkey.counters import ValkeyCounters
from tollgate.adapters.valkey.pipe import Pipe
from tollgate.adapters.valkey.spend_book import ValkeySpendBook
from tollgate.core.entities import Account, Period, Scope, ScopeKind
from tollgate.ports import Counters, SpendBook

NEVER = Account(Scope(ScopeKind.KEY, "h"))
# A period around any present time.
NOW = Account(Scope(ScopeKind.KEY, "h"), period=Period(1, 2, 2**52))


@pytest.fixture(params=["memory", "valkey"])
async def books(request: pytest.FixtureRequest, store: Redis, pipe: Pipe) -> tuple[Counters, SpendBook]:
    """Counters, and the book that corrects them."""
    if request.param == "memory":
        counters = MemoryCounters(FixedClock())
        return counters, MemorySpendBook(counters)
    return ValkeyCounters(store, pipe, 60_000_000, 60_000_000), ValkeySpendBook(store)


@pytest.mark.parametrize("account", [NEVER, NOW])
async def test_spend_is_what_it_was_said_to_be(books: tuple[Counters, SpendBook], account: Account) -> None:
    """In the current period; the total of all time stays."""
    counters, book = books
    await book.set_spend("default", account, 7)
    (spend,) = await counters.spend("default", (account,))
    assert (spend.used_nanousd, spend.total_nanousd) == (7, 0)
