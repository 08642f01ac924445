"""Reading the ledger: what settlement wrote is found again."""

from __future__ import annotations

from redis.asyncio import Redis

from tollgate.adapters.valkey.counters import ValkeyCounters
from tollgate.adapters.valkey.ledger import ValkeyLedger
from tollgate.adapters.valkey.pipe import Pipe
from tollgate.core.entities import Account, Reservation, Scope, ScopeKind, Settlement, Usage

ACCOUNT = Account(Scope(ScopeKind.KEY, "h"))
EVER = (0, 2**52)


async def settled(store: Redis, pipe: Pipe, *identities: str) -> None:
    """Calls that were settled one after the other, now."""
    counters = ValkeyCounters(store, pipe, 60_000_000, 2**52)
    for number, identity in enumerate(identities, 1):
        reservation = Reservation(identity, "acme", (ACCOUNT,), 1, "openai.chat", "gpt-4o", "d", 1, 1)
        await counters.reserve(reservation)
        await counters.settle(reservation, Settlement(Usage(input_tokens=3), number, 200, "test"))


async def test_records_are_read_newest_first(store: Redis, pipe: Pipe) -> None:
    """As many as are asked for."""
    await settled(store, pipe, "a", "b", "c")
    found = await ValkeyLedger(store).records("acme", *EVER, 2)
    assert [(each.record.id, each.record.cost_nanousd, each.record.input_tokens) for each in found] == [
        ("c", 3, 3),
        ("b", 2, 3),
    ]


async def test_records_of_another_time_or_organization_are_not(store: Redis, pipe: Pipe) -> None:
    """Bounds are on when a record was written, ends included."""
    await settled(store, pipe, "a")
    ledger = ValkeyLedger(store)
    (only,) = await ledger.records("acme", *EVER, 10)
    at = only.settled_us
    answers = [
        await ledger.records("acme", at, at, 10),
        await ledger.records("acme", 0, at - 1000, 10),
        await ledger.records("acme", at + 1000, 2**52, 10),
        await ledger.records("default", *EVER, 10),
    ]
    assert [len(each) for each in answers] == [1, 0, 0, 0]
