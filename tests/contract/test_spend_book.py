"""Corrections of spend: memory and a real Valkey."""

from __future__ import annotations

import pytest
from tests.fakes import FixedClock, MemoryCounters
from tests.make import KEY, account_of, reservation, settlement
from tests.unit.management_fixtures import MemorySpendBook
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.counters.spend_book import ValkeySpendBook
from tollgate.adapters.valkey.keys import CHANGES_CHANNEL
from tollgate.core.limits.accounts import Account, Period, Scope, ScopeKind
from tollgate.ports import Counters, SpendBook, Succession

NEVER = Account(Scope(ScopeKind.KEY, "h"))
# A period around any present time.
NOW = Account(Scope(ScopeKind.KEY, "h"), period=Period(1, 2, 2**52))


@pytest.fixture(params=["memory", "valkey"])
async def books(
    request: pytest.FixtureRequest, store: Valkey, pipe: Pipe
) -> tuple[Counters, SpendBook]:
    """Counters, and the book that corrects them."""
    if request.param == "memory":
        counters = MemoryCounters(FixedClock())
        return counters, MemorySpendBook(counters)
    return ValkeyCounters(store, pipe, 60_000_000, 60_000_000), ValkeySpendBook(store)


@pytest.mark.parametrize("nanousd", [7, 2**53 + 1, 12 * 10**15 + 3])
@pytest.mark.parametrize("account", [NEVER, NOW])
async def test_spend_is_what_it_was_said_to_be(
    books: tuple[Counters, SpendBook], account: Account, nanousd: int
) -> None:
    """In the current period; the total of all time stays."""
    counters, book = books
    await book.set_spend("default", account, nanousd)
    (spend,) = await counters.spend("default", (account,))
    assert (spend.used_nanousd, spend.total_nanousd) == (nanousd, 0)


@pytest.mark.parametrize("before", [NEVER.period, NOW.period])
async def test_what_is_spent_stays_spent_in_the_period_that_takes_over(
    books: tuple[Counters, SpendBook], before: Period
) -> None:
    """It has its whole length from then on, and a later one starts anew."""
    counters, book = books
    await book.set_spend("default", Account(NEVER.scope, period=before), 2**53 + 1)
    after = Period(2, 3, 2**52)
    await book.carry("default", [Succession(NEVER.scope, before, after)])
    later = Period(3, 4, 2**52)
    found = [
        (await counters.spend("default", (Account(NEVER.scope, period=each),)))[0].used_nanousd
        for each in (after, before, later)
    ]
    assert found == [2**53 + 1, 2**53 + 1, 0]


async def test_what_an_ended_period_spent_is_not_carried(books: tuple[Counters, SpendBook]) -> None:
    """The current one has spent nothing yet."""
    counters, book = books
    await book.set_spend("default", NOW, 7)
    ended, after = Period(3, 4, 2**52), Period(5, 6, 2**52)
    await book.carry("default", [Succession(NOW.scope, ended, after)])
    (spend,) = await counters.spend("default", (Account(NOW.scope, period=after),))
    assert spend.used_nanousd == 0


async def test_nothing_is_left_of_what_is_forgotten(store: Valkey, pipe: Pipe) -> None:
    """Neither spend nor buckets nor calls in flight; a call that ends afterwards owes nothing to a
    new one.
    """
    counters, book = ValkeyCounters(store, pipe, 60_000_000, 60_000_000), ValkeySpendBook(store)
    limited = account_of(KEY, rpm=5, tpm=100, parallel=2, budget_nanousd=100)
    before, after = reservation("before", limited, cost=60), reservation("after", limited, cost=60)
    await counters.reserve(before)
    await book.forget("default", [KEY])
    assert [name async for name in store.scan_iter("*key:*")] == []
    assert (await counters.reserve(after)).refused is None
    await counters.settle(before, settlement(3, 1))
    await counters.settle(after, settlement(3, 1))
    (spend,) = await counters.spend("default", (limited,))
    assert (spend.used_nanousd, spend.held_nanousd) == (2, 0)


async def test_workers_hear_of_a_correction(store: Valkey) -> None:
    """Who is known to have spent too much may not have, from then on."""
    async with store.pubsub() as heard:
        await heard.subscribe(CHANGES_CHANNEL)
        await ValkeySpendBook(store).set_spend("default", NEVER, 1)
        told = None
        while told is None or told["type"] != "message":
            told = await heard.get_message(timeout=5)
            assert told is not None
    assert told["data"] == b"spend"
