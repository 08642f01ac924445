"""The judge of `make chaos`, over what the counters really keep."""

from __future__ import annotations

from tests.chaos.books import read, store_at
from tests.make import KEY, TEAM, reservation, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.core.limits.accounts import Account

MINUTE_US = 60_000_000


async def test_scopes_that_spent_what_the_ledger_says_are_in_order(
    store: Valkey, pipe: Pipe, valkey_url: str
) -> None:
    """And so is one whose calls cost nothing, of which nothing is kept."""
    counters = counters_of(store, pipe, MINUTE_US, MINUTE_US)
    for name, scope, cost in (("r1", KEY, 7), ("r2", KEY, 5), ("r3", TEAM, 0)):
        call = reservation(name, Account(scope))
        await counters.reserve(call)
        await counters.settle(call, settlement(3, cost))
    with store_at(valkey_url) as plain:
        books = read(plain)
        assert (len(books.records), books.faults, books.left) == (3, (), 0)
        plain.delete(keys.scope_key("default", KEY))
        assert read(plain).faults == (
            "1 scopes have not spent what the ledger says, key:k1 among them",
        )
