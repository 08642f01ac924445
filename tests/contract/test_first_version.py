"""Counters of former versions: what they wrote, byte for byte, and what becomes of it."""

from __future__ import annotations

import asyncio

from msgspec import structs
from tests.contract.conftest import LEASE_US
from tests.make import account_of, refused_by, reservation, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.core.entities import Key
from tollgate.core.limits.accounts import Account, Meter, Period, Scope, ScopeKind
from tollgate.ports import Write

NOW_US = 1_800_000_000_000_000
# One call was settled, of 50 tokens and 100 nano-dollars; another is held, of 100 tokens and 120.
SCOPES = {
    b"tollgate:{proxy}:scope:proxy:proxy": (
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\ngpt-4o=00000000"
        b"00000000000000100"
    ),
    b"tollgate:{default}:scope:team:t1": (
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00d\x00\x00\x00\x00\x00\x00\x00x\x00\x00\x00\x00\x00\x00\x00"
        b"\x00\x80\x98(\x17e\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\ngpt-4o=00000000"
        b"00000000000000100"
    ),
    b"tollgate:{default}:scope:key:k1": (
        b"\xc0\xd4\x01\x00\x00\x00\x00\x00@T\x89\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00d\x00\x00\x00\x00\x00\x00\x00x\x00\x00\x00\x00\x00\x00\x00"
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00P\\\x18\xa3\x01\x00\x00\x00P\\\x18\xa3\x01\x00\x00\ngpt-4o=00000000"
        b"00000000000000100"
    ),
}
HELD = {
    b"held": (
        b'\x00\x07,,\x17e\x06\x00\x02\x00x\x00\x00\x00\x00\x00\x00\x00x\x00\x00\x00\x00\x00\x00\x00["held","defau'
        b'lt",[[["team","t1"],null,null,null,10000'
        b"00000,[1799999000000000,1800000000000000"
        b',1800001000000000]],[["key","k1"],10,100'
        b'0,3,500],[["proxy","proxy"]]],1800000000'
        b'000000,"openai.chat","gpt-4o","gpt-4o",2'
        b'0,80,120,false,false,false,""]'
    ),
}
TEAM = Account(
    Scope(ScopeKind.TEAM, "t1"),
    account_of(Scope(ScopeKind.TEAM, "t1"), budget_nanousd=10**9).limits,
    Period(NOW_US - 10**9, NOW_US, NOW_US + 10**9),
)
KEY = account_of(Scope(ScopeKind.KEY, "k1"), rpm=10, tpm=1000, parallel=3, budget_nanousd=500)


async def first_version(store: Valkey) -> None:
    for key, value in SCOPES.items():
        await store.set(key, value)
    await store.pexpire(next(iter(SCOPES)), 1_000_000)
    await store.hset("tollgate:{default}:reservations", mapping=HELD)
    await store.zadd("tollgate:{default}:slots:key:k1", {"held": NOW_US + LEASE_US})
    await store.delete(keys.LAYOUT)


async def test_what_version_0_1_counted_counts(store: Valkey, pipe: Pipe) -> None:
    """Buckets, budgets, holds, calls in flight and sums; whatever has a time to live keeps it."""
    await first_version(store)
    counters = ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US)
    await asyncio.gather(*(counters.meet_store() for _ in range(3)))

    standing = await counters.peek("default", (TEAM, KEY))
    team, key = standing.balances
    assert (team.used, team.held) == ((100,), (120,))
    assert (key.used, key.held) == ((2 * 60_000, 150 * 60_000, 1, 100), (0, 0, 1, 120))
    for spend in await counters.spend("default", (TEAM, KEY)):
        assert (spend.total_nanousd, spend.by_model_nanousd) == (100, {"gpt-4o": 100})
    found = [name async for name in store.scan_iter("*")]
    assert not [name for name in found if keys.FIRST_SCOPE in name or keys.FIRST_HOLDS in name]
    lives = [await store.pttl(name) for name in found if keys.SECOND_SCOPE in name]
    assert len([each for each in lives if each > 0]) == 1


async def test_what_version_0_1_held_is_settled(store: Valkey, pipe: Pipe) -> None:
    """A call that was in flight is found by its lease, and charged once."""
    await first_version(store)
    counters = ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US + LEASE_US)
    await counters.meet_store()
    (held,) = await counters.expired("default")
    assert (held.id, held.model, held.accounts[:2]) == ("held", "gpt-4o", (TEAM, KEY))
    standing = await counters.settle(held, settlement(tokens=10, cost=7))
    assert standing is not None
    assert [(each.spent_nanousd, each.held_nanousd) for each in standing.balances][:2] == [
        (107, 0)
    ] * 2
    assert standing.balances[1].held == (0, 0, 0, 0)
    assert await counters.settle(held, settlement(tokens=10, cost=7)) is None


async def test_a_store_that_comes_late_is_converted_before_anything_is_held(
    store: Valkey, pipe: Pipe
) -> None:
    """A worker that was started while it was away has not met it."""
    await first_version(store)
    counters = ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US)
    used_up = account_of(KEY.scope, budget_nanousd=100)
    refused = await counters.reserve(reservation("next", used_up))
    assert refused_by(refused, used_up) == (0, Meter.USD)


async def test_users_and_customers_of_version_0_2_span_organizations(
    store: Valkey, pipe: Pipe
) -> None:
    """What their calls used in the place of an organization counts for the calls of all, like what
    the proxy's used in a place of its own.
    """
    user, team = Scope(ScopeKind.USER, "u"), Scope(ScopeKind.TEAM, "t")
    proxy = Scope(ScopeKind.PROXY, "proxy")
    limited = tuple(account_of(each, budget_nanousd=500) for each in (proxy, user, team))
    counters = ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US)
    for number, organization in enumerate(("acme", "globex")):
        call = structs.replace(reservation(f"c{number}", *limited), organization=organization)
        await counters.reserve(call)
        await counters.settle(call, settlement(cost=100))
    # As version 0.2 named it.
    for scope, place in ((user, "{acme}"), (proxy, "{proxy}")):
        shared = keys.scope_key("acme", scope)
        await store.rename(shared, shared.replace("{default}", place))
    await store.set(keys.LAYOUT, "2")
    await ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US).meet_store()
    spent = {
        scope: [spend.total_nanousd]
        for scope in (proxy, user, team)
        for spend in await counters.spend("globex", (Account(scope),))
    }
    assert spent == {proxy: [200], user: [200], team: [100]}


async def test_a_key_that_was_regenerated_under_version_0_2_is_found_by_its_first_id(
    store: Valkey, pipe: Pipe
) -> None:
    """Its counters are known by that id: alerts of it were told to nobody until it was changed."""
    registry = ValkeyRegistry(store)
    regenerated, plain = Key("second", "sk-...2", first_hash="first"), Key("plain", "sk-...3")
    retired = Key("second-old", "sk-...1", first_hash="first", replaced_by="second")
    for each in (regenerated, plain, retired):
        await registry.write(Write(None, each))
    await store.delete(keys.former_id_key("key", "first"))
    assert await registry.keys_of_ids(["first"]) == [None]
    await store.set(keys.LAYOUT, "2")
    await ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US).meet_store()
    found = await registry.keys_of_ids(["first", "plain"])
    assert [each and each.entity for each in found] == [regenerated, plain]


async def test_what_version_0_2_held_is_settled(store: Valkey, pipe: Pipe) -> None:
    """Its reservations did not say when they were admitted: that is told by the calls."""
    limited = account_of(Scope(ScopeKind.KEY, "k"), tpm=1000, budget_nanousd=500)
    call = reservation("call", limited)
    counters = ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US)
    await counters.reserve(call)
    [now] = [name async for name in store.scan_iter(b"*" + keys.THIRD_HOLDS)]
    value = await store.hget(now, "call")
    assert value is not None
    then = now.replace(keys.THIRD_HOLDS, keys.SECOND_HOLDS)
    await store.hset(then, "call", value[:8] + value[16:])
    await store.delete(now)
    await store.set(keys.LAYOUT, "2")

    later = ValkeyCounters(store, pipe, LEASE_US, LEASE_US, NOW_US + LEASE_US)
    await later.meet_store()
    assert await store.exists(then) == 0
    [held] = await later.expired("default")
    assert held == call
    standing = await later.settle(held, settlement(tokens=10, cost=7))
    assert standing is not None
    [balance] = standing.balances
    assert (balance.spent_nanousd, balance.held) == (7, (0, 0))
