"""The store stays as small as what is alive: whatever passes through it goes again."""

from __future__ import annotations

import asyncio
import time

from msgspec import structs
from tests.make import account_of, reservation, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of, spend_book_of
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Scope, ScopeKind

# A day of the ledger's ten is a fiftieth of a second here.
DAY_S = 0.02
LEDGER_DAYS = 10
LEDGER_US = round(LEDGER_DAYS * DAY_S * 1_000_000)
REGISTERED = account_of(Scope(ScopeKind.KEY, "k"), rpm=10**9, parallel=10**6)
PROXY = Account(Scope(ScopeKind.PROXY, "proxy"))


def calls_of_a_day(day: int, count: int) -> list[Reservation]:
    """One call of each of the day's customers, none of whom comes back."""
    found = []
    for number in range(count):
        customer = Account(Scope(ScopeKind.CUSTOMER, f"c{day}-{number}"), passing=True)
        call = reservation(f"r{day}-{number}", REGISTERED, customer, PROXY)
        found.append(structs.replace(call, stream_id=f"{day}-{number}"))
    return found


async def serve(counters: ValkeyCounters, calls: list[Reservation]) -> None:
    await asyncio.gather(*(counters.reserve(each) for each in calls))
    settled = await counters.settle_all([(each, settlement(3, 7)) for each in calls])
    assert all(settled)


async def lives(pipe: Pipe) -> dict[str, int]:
    """Every key, and how many milliseconds it has to live (-1: it has no end)."""
    names = list({name async for name in pipe.keys(b"tollgate:*")})
    ends = await asyncio.gather(*(pipe.call(b"PTTL", name) for name in names))
    return {name.decode(): end for name, end in zip(names, ends, strict=True) if end != -2}


async def test_customers_who_do_not_come_back_leave_nothing(store: Valkey, pipe: Pipe) -> None:
    """A thousand over fifty days: there are never more than those of the last ten, and what is
    left in the end is what is registered.
    """
    counters = counters_of(store, pipe, 60_000_000, LEDGER_US)
    most = 0
    for day in range(50):
        began_s = time.monotonic()
        await serve(counters, calls_of_a_day(day, 20))
        if day % 10 == 9:
            most = max(most, len(await lives(pipe)))
        await asyncio.sleep(max(0.0, began_s + DAY_S - time.monotonic()))
    # Each day took at least DAY_S.
    assert most <= 20 * (LEDGER_DAYS + 1) + 20
    left = await lives(pipe)
    while any("customer" in name for name in left):
        left = await lives(pipe)
    assert set(left.values()) == {-1}
    assert {name.rpartition("}:")[2].partition(":")[0] for name in left} <= {
        *("counters", "shares", "ledger", "tollgate"),
    }
    assert len(left) <= 6


async def test_deleted_entities_leave_nothing_that_has_no_end(store: Valkey, pipe: Pipe) -> None:
    """Whether their calls have ended or not."""
    counters, book = counters_of(store, pipe, 60_000_000, LEDGER_US), spend_book_of(store, pipe)
    for number in range(20):
        scopes = [Scope(ScopeKind.KEY, f"k{number}"), Scope(ScopeKind.USER, f"u{number}")]
        accounts = [account_of(each, rpm=9, parallel=9, budget_nanousd=999) for each in scopes]
        ended, running = (reservation(f"{name}{number}", *accounts) for name in ("e", "r"))
        await serve(counters, [ended])
        await counters.reserve(running)
        await book.forget("default", scopes)
        await counters.settle(running, settlement(3, 7))
    endless = [name for name, end in (await lives(pipe)).items() if end == -1]
    assert [name for name in endless if ":key:" in name or ":user:" in name] == []
