"""Calls that are limited in several places of a cluster: all or nothing, whatever crashes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs
from tests.contract.conftest import LEASE_US, LEDGER_US
from tests.make import (
    KEY,
    TEAM,
    account_of,
    budget,
    parallel,
    refused_by,
    requests,
    reservation,
    settlement,
    tokens,
)
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.cluster_counters import ClusterCounters
from tollgate.adapters.valkey.cluster.cluster_spend_book import ClusterSpendBook
from tollgate.adapters.valkey.connection.address import Command
from tollgate.adapters.valkey.connection.pipe import Heard, Pipe
from tollgate.adapters.valkey.counters.ledger import ValkeyLedger
from tollgate.adapters.valkey.counters.spend_book import TOMBSTONE_MS
from tollgate.core.calls.records import request_id
from tollgate.core.calls.reservation import Reservation, WorstCase
from tollgate.core.calls.usage import Certainty
from tollgate.core.limits.accounts import (
    Account,
    Enforcement,
    Meter,
    Period,
    Quota,
    Scope,
    ScopeKind,
)
from tollgate.ports import LedgerQuery, Succession

PROXY = Scope(ScopeKind.PROXY, "proxy")
USER = Scope(ScopeKind.USER, "u1")
OWN = "acme"
"""The organization of the calls. What spans organizations is counted in another place."""
NOW_US = time.time_ns() // 1000  # the ledger's stream is dated by the servers


class Tap:
    """A pipe that tells what passes, and loses what it is told to lose, as a crash does."""

    is_cluster = True

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.started: list[Command] = []
        self.loses: Callable[[Command], bool] = lambda _: False

    def start(self, command: Command, heard: Heard) -> None:
        self.started.append(command)
        if not self.loses(command):
            self.pipe.start(command, heard)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)


class Desk:
    """Counters in a cluster, whose clock a test moves."""

    def __init__(self, client: Valkey, pipe: Pipe) -> None:
        self.tap, self.client = Tap(pipe), client
        self.counters = ClusterCounters(client, self.tap, LEASE_US, LEDGER_US, NOW_US)

    def advance(self, seconds: int) -> None:
        assert self.counters.now_us is not None
        self.counters.now_us += seconds * 1_000_000

    async def at(self, *accounts: Account, organization: str = OWN) -> list[Any]:
        standing = await self.counters.peek(organization, accounts)
        return [(each.used, each.held) for each in standing.balances]


@pytest.fixture
def desk(cluster_client: Valkey, cluster_pipe: Pipe) -> Desk:
    return Desk(cluster_client, cluster_pipe)


def call(number: int, *accounts: Account, organization: str = OWN, cost: int = 50) -> Any:
    found = reservation(request_id(NOW_US, number), *accounts, cost=cost)
    return structs.replace(found, organization=organization)


EVERY_KIND = {"rpm": 5, "tpm": 1000, "parallel": 3, "budget_nanousd": 200}


@pytest.mark.parametrize("refusing", [PROXY, KEY])
@pytest.mark.parametrize("kind", ["rpm", "tpm", "parallel", "budget_nanousd"])
async def test_a_refusal_in_one_place_leaves_every_other_as_it_was(
    desk: Desk, refusing: Scope, kind: str
) -> None:
    """Requests, tokens, slots and money, whichever place refuses."""
    accounts = tuple(
        account_of(scope, **{**EVERY_KIND, **({kind: 0} if scope == refusing else {})})
        for scope in (PROXY, USER, TEAM, KEY)
    )
    before = await desk.at(*accounts)
    refused = await desk.counters.reserve(call(1, *accounts))
    number = [each.scope for each in accounts].index(refusing)
    assert refused.refused == number
    assert await desk.at(*accounts) == before
    assert [(each.used, each.held) for each in refused.balances] == before
    assert [key async for key in desk.tap.keys(b"*held")] == []
    assert [key async for key in desk.tap.keys(b"*guests")] == []


async def test_the_first_scope_that_refuses_is_named_wherever_it_is(desk: Desk) -> None:
    """In the order of scopes, not in that of places."""
    accounts = (requests(9, PROXY), parallel(0, USER), requests(0, TEAM))
    standing = await desk.counters.reserve(call(1, *accounts))
    assert refused_by(standing, *accounts) == (1, Meter.CALLS)
    assert not standing.only_held
    held = call(2, parallel(1, PROXY), tokens(40))
    assert (await desk.counters.reserve(held)).refused is None
    standing = await desk.counters.reserve(call(3, *held.accounts))
    assert (standing.refused, standing.only_held) == (0, True)


async def test_a_limit_of_all_organizations_is_exact_however_many_come(desk: Desk) -> None:
    """Fifty of three organizations at once on a limit of ten."""
    accounts = (requests(10, PROXY), requests(100, KEY))
    standings = await asyncio.gather(
        *(desk.counters.reserve(call(n, *accounts, organization=f"o{n % 3}")) for n in range(50))
    )
    assert sum(each.refused is None for each in standings) == 10
    used = [await desk.at(*accounts, organization=f"o{n}") for n in range(3)]
    assert {each[0] for each in used} == {((10 * 60_000,), (0,))}
    assert sum(each[1][0][0] for each in used) == 10 * 60_000


async def test_a_call_is_charged_in_every_place_once_and_written_once(desk: Desk) -> None:
    accounts = tuple(account_of(scope, **EVERY_KIND) for scope in (PROXY, USER, TEAM, KEY))
    calls = [call(n, *accounts) for n in range(3)]
    for each in calls:
        assert (await desk.counters.reserve(each)).refused is None
    assert await desk.counters.settle(calls[0], settlement(4, 7)) is not None
    assert await desk.counters.settle(calls[0], settlement(9, 9)) is None
    ended = [(each, settlement(4, 7)) for each in (*calls, calls[1])]
    assert await desk.counters.settle_all(ended) == [False, True, True, False]
    for used, held in await desk.at(*accounts):
        assert (used, held) == ((180_000, 720_000, 0, 21), (0, 0, 0, 0))
    spends = await desk.counters.spend(OWN, accounts)
    assert [each.total_nanousd for each in spends] == [21] * 4
    records = (await ValkeyLedger(desk.client).page(LedgerQuery(), 10)).records
    assert sorted(each.record.id for each in records) == sorted(each.id for each in calls)


async def test_another_place_keeps_the_reservation_and_no_name_of_its_stream(desk: Desk) -> None:
    """Streams are looked up in the call's own place, where its name goes with the call."""
    named = structs.replace(call(1, requests(9, PROXY)), stream_id="7-1")
    await desk.counters.reserve(named)
    (guests,) = [key async for key in desk.tap.keys(b"*guests")]
    assert await desk.tap.call(b"HKEYS", guests) == [named.id.encode()]
    assert await desk.counters.open(OWN, {"7-1"}) == [named]
    await desk.counters.settle(named, settlement())
    assert await desk.counters.open(OWN, {"7-1"}) == []
    assert [key async for key in desk.tap.keys(b"*guests")] == []


async def test_a_call_without_limits_elsewhere_runs_one_script(desk: Desk) -> None:
    """Its spend is added up by whoever reads it, over all organizations."""
    accounts = (requests(9, KEY), Account(PROXY), Account(USER))
    for number, organization in enumerate(("a", "b", "b")):
        one = call(number, *accounts, organization=organization)
        desk.tap.started.clear()
        await desk.counters.reserve(one)
        await desk.counters.settle(one, settlement(3, 10))
        # A script may be loaded first.
        assert len({each[1] for each in desk.tap.started}) == len(desk.tap.started) == 2
    _, proxy, user = await desk.counters.spend("a", accounts)
    assert (proxy.total_nanousd, user.used_nanousd) == (30, 30)
    assert user.by_model_nanousd == {"gpt-4o": 30}


async def test_a_call_without_an_organization_runs_one_script(desk: Desk) -> None:
    """Callers without an organization share a place with what spans organizations."""
    accounts = tuple(account_of(scope, **EVERY_KIND) for scope in (PROXY, USER, TEAM, KEY))
    one, unlimited = call(1, *accounts, organization="default"), Account(Scope("customer", "c1"))
    one = structs.replace(one, accounts=(*accounts, unlimited))
    await desk.counters.reserve(one)  # lists the place, and loads the script
    await desk.counters.settle(one, settlement(3, 10))
    other = structs.replace(one, id=request_id(NOW_US, 2))
    desk.tap.started.clear()
    await desk.counters.reserve(other)
    await desk.counters.settle(other, settlement(3, 10))
    assert len(desk.tap.started) == 2
    spends = await desk.counters.spend(OWN, one.accounts[:2])
    assert [each.total_nanousd for each in spends] == [20, 20]


async def test_shares_are_corrected_carried_over_and_forgotten(desk: Desk) -> None:
    """As the one counter of a single server is."""
    before = Period(NOW_US - 20, NOW_US - 10, NOW_US * 2)
    after = Period(NOW_US - 40, NOW_US - 5, NOW_US * 2)
    user = Account(USER, period=before)
    for number, organization in enumerate("ab"):
        one = call(number, user, organization=organization)
        await desk.counters.reserve(one)
        await desk.counters.settle(one, settlement(3, 10))
    book = ClusterSpendBook(desk.client)
    await book.carry("a", [Succession(USER, before, after)])
    carried = structs.replace(user, period=after)
    assert [each.used_nanousd for each in await desk.counters.spend("a", (carried,))] == [20]
    await book.set_spend("a", carried, 3)
    (spend,) = await desk.counters.spend("b", (carried,))
    assert (spend.used_nanousd, spend.total_nanousd) == (3, 20)
    await book.forget("a", [USER])
    (spend,) = await desk.counters.spend("b", (carried,))
    assert (spend.used_nanousd, spend.total_nanousd) == (0, 0)
    left = [key async for key in desk.tap.keys(b"*user*")]
    lives = [await desk.tap.call(b"PTTL", key) for key in left]
    assert [each for each in lives if not 0 < each <= TOMBSTONE_MS] == []


async def test_a_poor_caller_locks_no_budget_of_all(desk: Desk) -> None:
    """A key with a cent left holds no more than a cent of it."""
    accounts = (budget(1_000, PROXY), budget(10, KEY))
    assert (await desk.counters.reserve(call(1, *accounts, cost=900))).refused is None
    assert await desk.at(*accounts) == [((0,), (10,)), ((0,), (10,))]


def of_guests(command: Command) -> bool:
    return any(isinstance(each, str) and each.endswith(":guests") for each in command)


async def crash(doing: Any) -> None:
    """Do something that waits for an answer that never comes."""
    task = asyncio.create_task(doing)
    await asyncio.wait([task], timeout=0.2)
    assert not task.done()
    task.cancel()


async def test_a_crash_before_every_place_holds_charges_nobody(desk: Desk) -> None:
    """The call never passed. Its lease ends, and nothing is left of it."""
    accounts = tuple(account_of(scope, **EVERY_KIND) for scope in (PROXY, KEY))
    before = await desk.at(*accounts)
    desk.tap.loses = of_guests
    await crash(desk.counters.reserve(call(1, *accounts)))
    desk.tap.loses = lambda _: False
    other = Desk(desk.client, desk.tap.pipe)
    other.advance(60)
    assert await other.counters.expired(OWN) == []
    await other.counters.settle_guests()
    assert [key async for key in desk.tap.keys(b"*held")] == []
    other.counters.now_us = desk.counters.now_us
    assert await other.at(*accounts) == [(used, held) for used, held in before]
    assert (await ValkeyLedger(desk.client).page(LedgerQuery(), 10)).records == ()


async def test_a_crash_before_every_place_is_settled_charges_them_alike(desk: Desk) -> None:
    """What the ledger says is charged where it is missing, to the nano-dollar."""
    accounts = tuple(account_of(scope, **EVERY_KIND) for scope in (PROXY, USER, KEY))
    one = call(1, *accounts)
    await desk.counters.reserve(one)
    desk.tap.loses = of_guests
    await crash(desk.counters.settle(one, settlement(4, 7)))
    other = Desk(desk.client, desk.tap.pipe)
    await other.counters.settle_guests()
    assert [key async for key in desk.tap.keys(b"*guests")] != []
    other.advance(66)
    await other.counters.settle_guests()
    assert [key async for key in desk.tap.keys(b"*guests")] == []
    proxy, user, key = await other.counters.spend(OWN, accounts)
    assert (proxy.used_nanousd, user.used_nanousd, key.used_nanousd) == (7, 7, 7)
    assert [held for _, held in await other.at(*accounts)] == [(0, 0, 0, 0)] * 3


@pytest.mark.parametrize("unanswered", [True, False])
async def test_a_crash_before_every_place_is_settled_keeps_the_worst_case(
    desk: Desk, unanswered: bool
) -> None:
    """A strict limit elsewhere counts what the provider may bill, as if nobody had crashed."""
    how = Enforcement(strict=True)
    strict = Account(USER, (Quota(Meter.TOKENS, 900, 0, "ever", enforcement=how),))
    one = structs.replace(call(1, strict, account_of(KEY)), worst=WorstCase(40, 50, 90))
    await desk.counters.reserve(one)
    desk.tap.loses = of_guests
    nothing = settlement(0, 0, Certainty.NONE)
    await crash(desk.counters.settle(one, structs.replace(nothing, unanswered=unanswered)))
    other = Desk(desk.client, desk.tap.pipe)
    other.advance(66)
    await other.counters.settle_guests()
    assert await other.at(strict) == [((90 if unanswered else 0,), (0,))]


async def test_a_call_that_runs_keeps_its_leases_everywhere(desk: Desk) -> None:
    accounts = (parallel(1, PROXY), parallel(1, KEY))
    one = call(1, *accounts)
    await desk.counters.reserve(one)
    desk.advance(40)
    assert await desk.counters.renew(one)
    desk.advance(40)
    refused = await desk.counters.reserve(call(2, *accounts))
    assert (refused.refused, refused.only_held) == (0, True)
    await desk.counters.settle_guests()
    assert await desk.counters.expired(OWN) == []
    desk.advance(60)
    (left,) = await desk.counters.expired(OWN)
    await desk.counters.settle(left, settlement(1, 5))
    assert (await desk.counters.reserve(call(3, *accounts))).refused is None
    assert isinstance(left, Reservation)
