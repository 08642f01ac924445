"""Keys are found by a part of what they are called: over memory and a real Valkey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
from tests.unit.memory_registry import MemoryRegistry
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.adapters.valkey.keys import texts_index
from tollgate.core.entities import Key, User
from tollgate.ports import Registry, Write


@pytest.fixture(params=["memory", "valkey"])
async def registry(request: pytest.FixtureRequest, store: Valkey) -> Registry:
    """Each implementation of the port."""
    return MemoryRegistry() if request.param == "memory" else ValkeyRegistry(store)


def key(number: int, alias: str | None) -> Key:
    """A key that was made at a second of its own."""
    name = sha256(str(number).encode()).hexdigest()
    return Key(name, f"sk-...{number}", alias=alias, created_us=1_800_000_000_000_000 + number)


async def make(registry: Registry, *aliases: str | None) -> list[Key]:
    made = [key(number, alias) for number, alias in enumerate(aliases)]
    for each in made:
        await registry.write(Write(None, each))
    return made


async def found(registry: Registry, part: str, offset: int = 0, count: int = 100) -> Sequence[Key]:
    return (await registry.search(Key, part, offset, count)).entities


async def change(registry: Registry, name: str, after: Key | None) -> None:
    (before,) = await registry.get(Key, [name])
    assert before is not None
    await registry.write(Write(before, after))


async def test_keys_are_found_by_a_part_of_their_alias_in_any_case(registry: Registry) -> None:
    """The newest first, in parts, with how many there are."""
    await make(registry, "Laptop of Bob", "ci", "bobs-laptop", None, "LAPTOP")
    assert [each.alias for each in await found(registry, "lapTOP")] == [
        "LAPTOP",
        "bobs-laptop",
        "Laptop of Bob",
    ]
    page = await registry.search(Key, "laptop", 1, 1)
    assert ([each.alias for each in page.entities], page.total) == (["bobs-laptop"], 3)
    assert await found(registry, "laptop", 3) == ()


async def test_a_search_that_is_counted_so_far_says_that_there_are_more(
    registry: Registry,
) -> None:
    """Its parts are those of the whole search; up to there the count is exact."""
    made = await make(registry, *[f"key-{number}" for number in range(6)])
    newest = tuple(reversed(made))
    for most, total in ((3, 4), (4, 5), (5, 6), (6, 6), (9, 6)):
        page = await registry.search(Key, "key", 2, 2, most)
        assert (page.entities, page.total) == (newest[2:4], total)
    page = await registry.search(Key, "key", 4, 2, 1)
    assert (page.entities, page.total) == (newest[4:], 2)


async def test_keys_are_found_by_a_part_of_their_hash(registry: Registry) -> None:
    """With or without an alias; a replaced secret is no key of its own."""
    plain, named, old = await make(registry, None, "named", None)
    await change(registry, old.hash, replace(old, replaced_by=named.hash))
    for each in (plain, named):
        assert await found(registry, each.hash[3:30]) == (each,)
    assert await found(registry, old.hash) == ()


@pytest.mark.parametrize("alias", ["a*b", "a?b", "a[x]b", "a\\\\b", "a^b", "a b", "ä€א", "{a}:b"])
async def test_every_character_stands_for_itself(registry: Registry, alias: str) -> None:
    """None is a pattern."""
    await make(registry, alias, "axb", "ab")
    assert [each.alias for each in await found(registry, alias)] == [alias]


async def test_a_change_is_found_as_it_is_now(registry: Registry) -> None:
    """By a new alias, no more by the old one; a deleted key by nothing."""
    renamed, gone = await make(registry, "before", "gone")
    await change(registry, renamed.hash, replace(renamed, alias="after"))
    await change(registry, gone.hash, None)
    assert await found(registry, "before") == ()
    assert [each.alias for each in await found(registry, "after")] == ["after"]
    assert await found(registry, "gone") == ()


async def test_nothing_is_asked_for_finds_all_keys(registry: Registry) -> None:
    """Of no other kind."""
    await make(registry, "a", None)
    await registry.write(Write(None, User("u")))
    assert len(await found(registry, "")) == 2


async def test_keys_of_an_older_version_are_found_once_they_are_taken_in(store: Valkey) -> None:
    """However many; doing that again changes nothing."""
    registry = ValkeyRegistry(store)
    made = [key(number, f"key-{number}") for number in range(1_200)]
    await registry.write(*(Write(None, each) for each in made))
    await store.delete(texts_index("key"))
    assert (await registry.search(Key, "key-1", 0, 1)).total == 0
    for _ in range(2):
        await registry.complete_search()
        page = await registry.search(Key, "key-11", 0, 200)
        assert (page.total, page.entities[0].alias) == (111, "key-1199")
        assert (await registry.search(Key, "", 0, 0)).total == 1_200


async def test_a_search_goes_on_beyond_what_the_store_looks_at_at_once(store: Valkey) -> None:
    """Each key once and in order, the oldest too."""
    registry = ValkeyRegistry(store)
    made = [key(number, f"key-{number:05}") for number in range(10_001)]
    for first in range(0, len(made), 1_000):
        await registry.write(*(Write(None, each) for each in made[first : first + 1_000]))
    page = await registry.search(Key, "key-", 9_990, 20)
    assert (page.total, page.entities) == (10_001, tuple(made[10::-1]))
    assert (await registry.search(Key, "key-00000", 0, 5, 100)).entities == (made[0],)
