"""Limits of an organization that is split over several slots, in memory, on one server, and on a
cluster of three.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import structs
from tests.contract.conftest import LEASE_US, LEDGER_US, Bench
from tests.make import KEY, account_of, requests, reservation, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.cluster_spend_book import ClusterSpendBook
from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.cluster_pipe import slot_of_key
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.keys import scope_key
from tollgate.admission.hold_waits import HoldWaits
from tollgate.admission.holding import Held, Holding
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Account, Scope, ScopeKind
from tollgate.core.limits.limit_parts import expanded, folded, in_part, place_in, whole_spend
from tollgate.ports import Counters

ACME = Scope(ScopeKind.ORGANIZATION, "acme")
PARTS = 4
EVERY_KIND = structs.replace(
    account_of(ACME, rpm=10, tpm=10_000, parallel=10, budget_nanousd=5_000), parts=PARTS
)


def call(number: int, whole: Account, place: int) -> Reservation:
    """A call of a key in one of the places, which asks for 50 nano-dollars."""
    own = place_in("acme", place)
    accounts = in_part(whole, "acme", place, PARTS, own), requests(1000, KEY)
    return structs.replace(reservation(f"c{number}", *accounts), organization=own)


def holding(counters: Counters) -> Holding:
    return Holding(HoldWaits(counters, 0), lambda _: None)


async def ask(counters: Counters, calls: Sequence[Reservation]) -> list[Held]:
    """Ask for all at once, and return those that were admitted."""
    desk = holding(counters)
    found = await asyncio.gather(*(desk.hold(each, lambda: False) for each in calls))
    return [each for each in found if each.standing.refused is None]


async def stands(counters: Counters, whole: Account) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what is used and held of the whole."""
    standing = await counters.peek("acme", expanded([whole], "acme"))
    (balance,) = folded([whole], standing.balances)
    return balance.used, balance.held


async def test_a_split_limit_admits_as_many_as_a_whole_one(bench: Bench) -> None:
    """Sixty at once from every place on a limit of ten."""
    calls = [call(number, EVERY_KIND, number % PARTS) for number in range(60)]
    admitted = await ask(bench.counters, calls)
    assert len(admitted) == 10
    used, held = await stands(bench.counters, EVERY_KIND)
    assert (used[0], used[2], held[3]) == (10 * 60_000, 10, 500)


async def test_a_call_finds_room_in_whichever_part_has_it(bench: Bench) -> None:
    """All come from one place, whose part is for three of the ten."""
    admitted = await ask(bench.counters, [call(number, EVERY_KIND, 1) for number in range(12)])
    assert len(admitted) == 10
    homes = {each.reservation.accounts[0].scope.home or "acme/1" for each in admitted}
    assert homes == {"acme", "acme/1", "acme/2", "acme/3"}


async def test_a_call_is_settled_in_the_part_that_held_it(bench: Bench) -> None:
    """To the nano-dollar, and once; nothing stays held in any of them."""
    admitted = await ask(bench.counters, [call(number, EVERY_KIND, 1) for number in range(12)])
    for each in admitted:
        assert await bench.counters.settle(each.reservation, settlement(4, 7)) is not None
        assert await bench.counters.settle(each.reservation, settlement(9, 9)) is None
    used, held = await stands(bench.counters, EVERY_KIND)
    assert (used[2], used[3], held) == (0, 70, (0, 0, 0, 0))
    parts = [place_in("acme", number) for number in range(PARTS)]
    spends = [(await bench.counters.spend(each, (Account(ACME),)))[0] for each in parts]
    assert whole_spend(spends).total_nanousd == 70


async def test_a_refusal_by_every_part_changes_nothing(bench: Bench) -> None:
    await ask(bench.counters, [call(number, EVERY_KIND, number % PARTS) for number in range(10)])
    before = await stands(bench.counters, EVERY_KIND)
    (refused,) = [
        await holding(bench.counters).hold(call(99, EVERY_KIND, 2), lambda: False),
    ]
    assert refused.standing.refused == 0
    assert await stands(bench.counters, EVERY_KIND) == before


async def test_parts_are_on_several_nodes(cluster_client: Valkey, cluster_pipe: Pipe) -> None:
    """One script admits a call that its own place has room for, and one settles it."""
    counters = counters_of(cluster_client, cluster_pipe, LEASE_US, LEDGER_US)
    calls = [call(number, EVERY_KIND, number) for number in range(PARTS)]
    assert len(await ask(counters, calls)) == PARTS
    keys = [scope_key(place_in("acme", number), ACME) for number in range(PARTS)]
    assert len({slot_of_key(each) for each in keys}) == PARTS
    assert [bool(await cluster_pipe.call(b"EXISTS", each)) for each in keys] == [True] * PARTS
    assert [key async for key in cluster_pipe.keys(b"*guests")] == []


async def test_unlimited_spend_of_parts_is_counted_once(
    cluster_client: Valkey, cluster_pipe: Pipe
) -> None:
    """Shares that other organizations keep are those of the first part."""
    counters = counters_of(cluster_client, cluster_pipe, LEASE_US, LEDGER_US)
    whole = Account(ACME, parts=PARTS)
    calls = [call(number, whole, number) for number in range(PARTS)]
    moved = structs.replace(
        reservation("moved", in_part(whole, "acme", 0, PARTS, "globex")), organization="globex"
    )
    for each in (*calls, moved):
        await counters.reserve(each)
        await counters.settle(each, settlement(1, 10))
    places = [place_in("acme", number) for number in range(PARTS)]
    spends = [(await counters.spend(each, (Account(ACME),)))[0] for each in places]
    assert [each.total_nanousd for each in spends] == [20, 10, 10, 10]
    book = ClusterSpendBook(cluster_client)
    for each in places:
        await book.forget(each, [ACME])
    spends = [(await counters.spend(each, (Account(ACME),)))[0] for each in places]
    assert [each.total_nanousd for each in spends] == [0] * PARTS
