"""Corrections of spend: memory and a real Valkey."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes import FixedClock, MemoryCounters
from tests.make import KEY, account_of, reservation, settlement
from tests.unit.management_fixtures import MemorySpendBook
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of, spend_book_of
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.spend_book import TOMBSTONE_MS
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.adapters.valkey.keys import scope_key
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
    return counters_of(store, pipe, 60_000_000, 60_000_000), spend_book_of(store, pipe)


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
    counters, book = counters_of(store, pipe, 60_000_000, 60_000_000), spend_book_of(store, pipe)
    limited = account_of(KEY, rpm=5, tpm=100, parallel=2, budget_nanousd=100)
    before, after = reservation("before", limited, cost=60), reservation("after", limited, cost=60)
    await counters.reserve(before)
    await book.forget("default", [KEY])
    assert [name async for name in store.scan_iter("*slots:key:*")] == []
    (spend,) = await counters.spend("default", (limited,))
    assert (spend.used_nanousd, spend.held_nanousd, spend.total_nanousd) == (0, 0, 0)
    assert (await counters.reserve(after)).refused is None
    await counters.settle(before, settlement(3, 1))
    await counters.settle(after, settlement(3, 2))
    (spend,) = await counters.spend("default", (limited,))
    assert (spend.used_nanousd, spend.held_nanousd) == (2, 0)


async def test_workers_hear_of_a_correction(store: Valkey, pipe: Pipe, valkey_url: str) -> None:
    """Who is known to have spent too much may not have, from then on."""
    heard = Heard()
    following = asyncio.create_task(follow(valkey_url, heard))
    await asyncio.wait_for(heard.subscribed.wait(), 10)
    await spend_book_of(store, pipe).set_spend("default", NEVER, 1)
    assert await asyncio.wait_for(heard.references.get(), 10) == "spend"
    following.cancel()


async def test_a_call_in_flight_whose_key_is_deleted_leaves_no_counter(
    books: tuple[Counters, SpendBook],
) -> None:
    """Its end does not write anew what was removed, and neither does a sign of life."""
    counters, book = books
    account = account_of(KEY, rpm=5, tpm=1000, parallel=2, budget_nanousd=100)
    call = reservation("call", account)
    assert (await counters.reserve(call)).refused is None
    await book.forget("default", [KEY])
    assert await counters.renew(call)
    assert await counters.settle(call, settlement(tokens=9, cost=7)) is not None
    (spend,) = await counters.spend("default", (account,))
    assert (spend.used_nanousd, spend.held_nanousd, spend.total_nanousd) == (0, 0, 0)
    (balance,) = (await counters.peek("default", (account,))).balances
    assert (balance.used, balance.held) == ((0, 0, 0, 0), (0, 0, 0, 0))


async def test_calls_of_an_entity_made_again_under_a_deleted_name_count(
    books: tuple[Counters, SpendBook],
) -> None:
    """Whether it is limited or not; a call of the deleted one ends without a trace meanwhile."""
    counters, book = books
    limited, free = account_of(KEY, tpm=1000, budget_nanousd=100), Account(NEVER.scope)
    before, after = (reservation(name, limited, free) for name in ("before", "after"))
    await counters.reserve(before)
    await book.forget("default", [KEY, NEVER.scope])
    await book.set_spend("default", limited, 0)
    if isinstance(counters, MemoryCounters):
        counters.clock.us += 1
    await counters.reserve(after)
    await counters.settle(before, settlement(tokens=9, cost=7))
    await counters.settle(after, settlement(tokens=5, cost=3))
    for spend in await counters.spend("default", (limited, free)):
        assert spend.total_nanousd == 3


async def test_what_is_left_of_a_deleted_scope_goes_in_time(store: Valkey, pipe: Pipe) -> None:
    """A tombstone expires; state that takes its place does not expire with it."""
    counters, book = counters_of(store, pipe, 60_000_000, 60_000_000), spend_book_of(store, pipe)
    call, place = reservation("call", account_of(KEY, parallel=2)), scope_key("default", KEY)
    await counters.reserve(call)
    await book.forget("default", [KEY])
    await counters.renew(call)
    await counters.settle(call, settlement(cost=7))
    assert 0 < await store.pttl(place) <= TOMBSTONE_MS
    assert [name async for name in store.scan_iter("*:slots:*")] == []
    await book.set_spend("default", Account(KEY), 5)
    assert await store.pttl(place) == -1


class Heard:
    """What a subscription tells."""

    def __init__(self) -> None:
        self.subscribed = asyncio.Event()
        self.references: asyncio.Queue[str] = asyncio.Queue()

    def started(self) -> None:
        self.subscribed.set()

    def changed(self, reference: str) -> None:
        self.references.put_nowait(reference)

    def fresh_until(self, instant_s: float) -> None:
        pass
