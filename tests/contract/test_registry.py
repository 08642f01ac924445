"""What every registry does: memory and a real Valkey."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.make import limit_set
from tests.unit.memory_registry import MemoryRegistry
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.entities.directory import CachedDirectory
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.core.entities import (
    Budget,
    Customer,
    Entity,
    Key,
    Member,
    MemberRole,
    ModelLimits,
    Role,
    Team,
    User,
)
from tollgate.core.errors import Conflict, StoreUnavailable
from tollgate.ports import Registry, Stored, Write

LIMITS = limit_set(
    rpm=2, tpm=0, parallel=1, max_budget_nanousd=5, budget_duration="30d", budget_since_us=7
)
EVERY_KIND: list[Entity] = [
    Key(
        "hash",
        "sk-...abcd",
        "alias",
        limits=LIMITS,
        model_limits=(ModelLimits("gpt-4", LIMITS),),
        metadata='{"ä": [1.5, null]}',
        model_aliases=(("a", "b"),),
        expires_us=2**52,
    ),
    User("u@x.com", email="u@x.com", role=Role.ADMIN, limits=LIMITS),
    Team("t", models=("gpt-4", "beta-models"), member_limits=LIMITS),
    Member("t", "u/1", MemberRole.ADMIN, limits=LIMITS),
    Customer("ишан:{}@", blocked=True),
    Budget("free-tier", LIMITS),
]


@pytest.fixture(params=["memory", "valkey"])
async def registry(request: pytest.FixtureRequest, store: Valkey) -> Registry:
    """Each implementation of the port."""
    return MemoryRegistry() if request.param == "memory" else ValkeyRegistry(store)


async def only(registry: Registry, kind: type, identity: str) -> Stored:
    """The one entity of that id, which must exist."""
    (stored,) = await registry.get(kind, [identity])
    assert stored is not None
    return stored


@pytest.mark.parametrize("entity", EVERY_KIND, ids=lambda each: type(each).__name__)
async def test_an_entity_is_read_as_it_was_written(registry: Registry, entity: Entity) -> None:
    """Every kind survives the way there and back, whatever its ids hold."""
    await registry.write(Write(None, entity))
    identity = entity.hash if isinstance(entity, Key) else entity.id
    assert (await only(registry, type(entity), identity)).entity == entity


async def test_several_are_read_in_their_order(registry: Registry) -> None:
    """What does not exist has its place too."""
    await registry.write(Write(None, Team("a")), Write(None, Team("b")))
    found = await registry.get(Team, ["b", "missing", "a"])
    assert [each and each.entity.id for each in found] == ["b", None, "a"]


async def test_an_entity_is_created_once(registry: Registry) -> None:
    """The second of two that create the same is told, in LiteLLM's words."""
    await registry.write(Write(None, Team("t", alias="first")))
    with pytest.raises(Conflict, match="Team id = t already exists"):
        await registry.write(Write(None, Team("t", alias="second")))
    assert (await only(registry, Team, "t")).entity.alias == "first"


async def test_an_entity_that_changed_meanwhile_is_not_overwritten(registry: Registry) -> None:
    """A writer with an old version changes nothing."""
    await registry.write(Write(None, Team("t")))
    old = await only(registry, Team, "t")
    await registry.write(Write(old, replace(old.entity, alias="first")))
    with pytest.raises(Conflict):
        await registry.write(Write(old, replace(old.entity, blocked=True)))
    assert (await only(registry, Team, "t")).entity == Team("t", alias="first")


async def test_a_version_does_not_come_back(registry: Registry) -> None:
    """What was deleted and made anew is not what it was before."""
    await registry.write(Write(None, Team("t")))
    old = await only(registry, Team, "t")
    await registry.write(Write(old, None))
    await registry.write(Write(None, Team("t")))
    with pytest.raises(Conflict):
        await registry.write(Write(old, None))


@pytest.mark.parametrize("user", [Key("h", "sk-...", budget_id="b"), Customer("c", budget_id="b")])
async def test_a_budget_in_use_is_not_removed(registry: Registry, user: Key | Customer) -> None:
    """What uses it would lose its limits; once nothing does, it goes."""
    await registry.write(Write(None, Budget("b")), Write(None, user))
    budget, stored = (
        await only(registry, Budget, "b"),
        await only(registry, type(user), getattr(user, "hash", "c")),
    )
    assert (await registry.page(type(user), Budget("b"), 0, 5)).entities == (user,)
    with pytest.raises(Conflict, match="budget b is in use"):
        await registry.write(Write(budget, None))
    await registry.write(Write(stored, replace(user, budget_id=None)))
    await registry.write(Write(budget, None))
    assert await registry.get(Budget, ["b"]) == [None]


async def test_a_budget_that_does_not_exist_is_not_given(registry: Registry) -> None:
    """Not even when it was deleted a moment ago."""
    with pytest.raises(Conflict, match="budget_id=b does not exist"):
        await registry.write(Write(None, Customer("c", budget_id="b")))
    assert await registry.get(Customer, ["c"]) == [None]


async def test_a_deleted_entity_is_gone_from_everywhere(registry: Registry) -> None:
    """By id, by name and from the lists."""
    key = Key("h", "sk-...", "alias", user_id="u", team_id="t")
    await registry.write(Write(None, key))
    await registry.write(Write(await only(registry, Key, "h"), None))
    assert await registry.get(Key, ["h"]) == [None]
    assert await registry.find_named(Key, "alias") is None
    assert (await registry.page(Key, User("u"), 0, 10)).total == 0


async def test_all_changes_happen_or_none(registry: Registry) -> None:
    """One change that does not fit undoes those beside it."""
    await registry.write(Write(None, Team("taken")))
    with pytest.raises(Conflict):
        await registry.write(Write(None, User("u")), Write(None, Team("taken")))
    assert await registry.get(User, ["u"]) == [None]


async def test_a_unique_name_is_given_once(registry: Registry) -> None:
    """Two keys cannot have one alias."""
    await registry.write(Write(None, Key("h1", "", "alias")))
    with pytest.raises(Conflict, match="Key with alias 'alias' already exists"):
        await registry.write(Write(None, Key("h2", "", "alias")))
    assert await registry.get(Key, ["h2"]) == [None]


async def test_a_name_follows_its_entity(registry: Registry) -> None:
    """A new name is found, the old one is free."""
    await registry.write(Write(None, Key("h1", "", "old")))
    stored = await only(registry, Key, "h1")
    await registry.write(Write(stored, replace(stored.entity, alias="new")))
    await registry.write(Write(None, Key("h2", "", "old")))
    found = [await registry.find_named(Key, name) for name in ("new", "old", "other")]
    assert [each and each.entity.hash for each in found] == ["h1", "h2", None]


async def test_a_name_can_be_handed_over_in_one_change(registry: Registry) -> None:
    """A regenerated key keeps the alias: the old document goes and the new one comes together."""
    await registry.write(Write(None, Key("old", "", "alias")))
    await registry.write(
        Write(await only(registry, Key, "old"), None), Write(None, Key("new", "", "alias"))
    )
    named = await registry.find_named(Key, "alias")
    assert named is not None
    assert named.entity.hash == "new"


async def test_lists_are_newest_first_and_in_parts(registry: Registry) -> None:
    """A page is a part of the whole list."""
    for number in range(5):
        await registry.write(Write(None, Budget(f"b{number}", created_us=number)))
    page = await registry.page(Budget, None, 1, 2)
    assert ([each.id for each in page.entities], page.total) == (["b3", "b2"], 5)


async def test_keys_are_listed_by_owner_and_move_with_it(registry: Registry) -> None:
    """A key is found under its user and its team, those that it has now."""
    await registry.write(
        Write(None, Key("h", "", user_id="u", team_id="t1")), Write(None, Key("other", ""))
    )
    stored = await only(registry, Key, "h")
    await registry.write(Write(stored, replace(stored.entity, team_id="t2")))
    totals = [
        (await registry.page(Key, owner, 0, 9)).total
        for owner in (User("u"), Team("t1"), Team("t2"), None)
    ]
    assert totals == [1, 0, 1, 2]


async def test_many_writers_at_once_do_not_lose_each_others_change(registry: Registry) -> None:
    """Of writers with the same version exactly one is let through."""
    await registry.write(Write(None, Team("t")))
    stored = await only(registry, Team, "t")
    writes = (
        registry.write(Write(stored, replace(stored.entity, alias=str(n)))) for n in range(10)
    )
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(result is None for result in results) == 1


async def test_a_store_that_is_away_is_unavailable() -> None:
    """The client library's errors do not come through."""
    client = connect("unix:///nonexistent/valkey.sock", timeout_s=0.05)
    with pytest.raises(StoreUnavailable):
        await ValkeyRegistry(client).get(Key, ["h"])
    await client.aclose()


async def test_a_regenerated_key_is_found_by_the_id_that_it_keeps(registry: Registry) -> None:
    """However often, with a former secret beside it or without; until it is deleted."""
    other = Key("other", "sk-...5678")
    await registry.write(Write(None, Key("first", "sk-...1234", "alias")), Write(None, other))
    present, former = await only(registry, Key, "first"), None
    for name, grace in (("second", False), ("third", True), ("fourth", False)):
        after = replace(present.entity, hash=name, first_hash="first")
        retired = replace(after, hash=present.entity.hash, alias=None, replaced_by=name)
        writes = [Write(present, retired if grace else None), Write(None, after)]
        if former is not None:
            writes.append(Write(former, None))
        await registry.write(*writes)
        former = await only(registry, Key, present.entity.hash) if grace else None
        present = await only(registry, Key, name)
        found = await registry.keys_of_ids(["first", "other", "nobody", name])
        assert [each and each.entity.hash for each in found[:3]] == [name, "other", None]
    await registry.write(Write(present, None))
    assert await registry.keys_of_ids(["first"]) == [None]
    assert await registry.keys_of_ids([]) == []


async def test_the_id_of_a_regenerated_key_is_remembered_until_it_changes(
    registry: Registry,
) -> None:
    """By workers, as long as they hear of changes."""
    directory = CachedDirectory(registry, clock_s=lambda: 0.0)
    directory.fresh_until(1)
    await registry.write(Write(None, Key("i", "", first_hash="gone")))
    for _ in range(2):
        found = await directory.find_key_of_id("gone")
        assert found is not None
        assert (found.hash, found.blocked) == ("i", False)
    stored = await only(registry, Key, "i")
    await registry.write(Write(stored, replace(stored.entity, blocked=True)))
    directory.changed("key:i")
    found = await directory.find_key_of_id("gone")
    assert found is not None
    assert found.blocked
