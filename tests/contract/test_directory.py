"""What workers see of entities: resolved, remembered, and never older than the last proof that
changes are heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.make import limit_set
from tests.unit.memory_registry import MemoryRegistry

from tollgate.adapters.valkey.entities.cache import Kept, size_bytes
from tollgate.adapters.valkey.entities.directory import CachedDirectory
from tollgate.core.entities import Budget, Customer, Key, Member, ModelLimits, Team
from tollgate.ports import E, Registry, Stored, Write


class Clock:
    """Seconds that pass when told to."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class CountingRegistry(MemoryRegistry):
    """A registry that knows how often it was read, and can be made to wait."""

    reads = 0
    gate: asyncio.Event | None = None

    async def get(self, kind: type[E], identities: Sequence[str]) -> list[Stored[E] | None]:
        """Read as it stands now, then wait at the gate."""
        self.reads += 1
        found = await super().get(kind, identities)
        if self.gate is not None:
            await self.gate.wait()
        return found


@pytest.fixture
def clock() -> Clock:
    """The directory's clock."""
    return Clock()


@pytest.fixture
def registry() -> CountingRegistry:
    """Where entities are."""
    return CountingRegistry()


@pytest.fixture
def directory(registry: CountingRegistry, clock: Clock) -> CachedDirectory:
    """A directory that has just heard that it knows all changes."""
    # Room for three keys, and for two ids that nobody has.
    key, nobody = size_bytes("key:h0", Kept(Key("h0", ""))), size_bytes("key:wrong0", Kept(None))
    directory = CachedDirectory(
        registry, most_found_bytes=3 * key + 100, most_missing_bytes=2 * nobody + 100, clock_s=clock
    )
    directory.started()
    directory.fresh_until(clock.now_s + 1)
    return directory


def without_suspending(awaitable: object) -> object:
    """The result of a coroutine that never waits for anything."""
    with pytest.raises(StopIteration) as result:
        awaitable.send(None)  # type: ignore[attr-defined]
    return result.value.value


async def change(registry: Registry, kind: type[E], identity: str, edit: Callable[[E], E]) -> None:
    """Edit one entity that exists."""
    (stored,) = await registry.get(kind, [identity])
    assert stored is not None
    await registry.write(Write(stored, edit(stored.entity)))


async def test_what_was_read_once_comes_without_suspending(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """The second look-up of a key asks nobody and lets nothing else run."""
    await registry.write(Write(None, Key("h", "")))
    first = await directory.find_key("h")
    assert without_suspending(directory.find_key("h")) is first
    assert registry.reads == 1


async def test_that_there_is_none_is_remembered_too(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """A wrong key that comes again does not reach the store."""
    assert [await directory.find_key("wrong"), await directory.find_key("wrong")] == [None, None]
    assert registry.reads == 1


async def test_without_a_proof_every_look_up_reads(
    directory: CachedDirectory, registry: CountingRegistry, clock: Clock
) -> None:
    """A second after the last proof nothing that is kept is used."""
    await directory.find_key("h")
    await registry.write(Write(None, Key("h", "")))
    clock.now_s += 1
    assert await directory.find_key("h") == Key("h", "")


async def test_a_change_that_is_announced_is_seen(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """What was kept of an entity is dropped when it changes."""
    await registry.write(Write(None, Key("h", "")))
    await directory.find_key("h")
    await change(registry, Key, "h", lambda key: replace(key, blocked=True))
    directory.changed("key:h")
    found = await directory.find_key("h")
    assert found is not None
    assert found.blocked


async def test_an_alias_finds_its_key_until_the_key_changes(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """A renamed or deleted key is not found by its former alias; a new owner of it is."""
    await registry.write(Write(None, Key("h", "", alias="app")))
    first = await directory.find_key_of_alias("app")
    assert first == Key("h", "", alias="app")
    assert without_suspending(directory.find_key_of_alias("app")) is first
    await change(registry, Key, "h", lambda key: replace(key, alias="other"))
    directory.changed("key:h")
    assert await directory.find_key_of_alias("app") is None
    await registry.write(Write(None, Key("i", "", alias="app")))
    assert await directory.find_key_of_alias("app") == Key("i", "", alias="app")


async def test_a_change_during_a_look_up_is_not_kept_out(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """A look-up that read the old state just before the announcement is answered, but not
    remembered.
    """
    registry.gate = asyncio.Event()
    look_up = asyncio.create_task(directory.find_key("h"))
    await asyncio.sleep(0)
    directory.changed("key:h")
    registry.gate.set()
    assert await look_up is None
    await registry.write(Write(None, Key("h", "")))
    assert await directory.find_key("h") == Key("h", "")


async def test_a_look_up_across_a_new_subscription_is_not_kept(
    directory: CachedDirectory, registry: CountingRegistry, clock: Clock
) -> None:
    """What was read before changes were heard again may have missed one."""
    registry.gate = asyncio.Event()
    look_up = asyncio.create_task(directory.find_key("h"))
    await asyncio.sleep(0)
    directory.started()
    directory.fresh_until(clock.now_s + 1)
    registry.gate.set()
    await look_up
    await directory.find_key("h")
    assert registry.reads == 2


async def test_a_new_subscription_starts_with_nothing(
    directory: CachedDirectory, registry: CountingRegistry, clock: Clock
) -> None:
    """Changes while nobody listened were not heard, so nothing from before is used."""
    await directory.find_key("h")
    directory.started()
    directory.fresh_until(clock.now_s + 1)
    await directory.find_key("h")
    assert registry.reads == 2


async def test_ids_that_are_made_up_displace_only_each_other(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """However many wrong keys come, a right one stays remembered."""
    await registry.write(Write(None, Key("h", "")))
    await directory.find_key("h")
    for number in range(10):
        await directory.find_key(f"wrong{number}")
    without_suspending(directory.find_key("h"))
    reads = registry.reads
    await directory.find_key("wrong0")
    assert registry.reads == reads + 1


async def test_what_was_used_longest_ago_is_forgotten_first(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """The memory is bounded; what is in use stays."""
    for number in range(4):
        await registry.write(Write(None, Key(f"h{number}", "")))
    for name in ("h0", "h1", "h2", "h0", "h3"):
        await directory.find_key(name)
    without_suspending(directory.find_key("h0"))
    reads = registry.reads
    await directory.find_key("h1")
    assert registry.reads == reads + 1


async def test_a_key_has_the_limits_of_its_budget_where_it_has_none(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """The key's own limit wins; a budget brings its own duration, counted from the
    key's creation.
    """
    budget = Budget(
        "b",
        limit_set(rpm=1, tpm=5, max_budget_nanousd=9, budget_duration="1d", budget_since_us=1),
        (ModelLimits("m", limit_set(rpm=1)),),
        soft_budget_nanousd=8,
    )
    key = Key(
        "h", "", budget_id="b", limits=limit_set(rpm=2, budget_duration="30d", budget_since_us=7)
    )
    await registry.write(Write(None, budget), Write(None, key))
    found = await directory.find_key("h")
    assert found is not None
    assert found.limits == limit_set(
        rpm=2, tpm=5, max_budget_nanousd=9, budget_duration="1d", budget_since_us=7
    )
    assert found.model_limits == budget.model_limits
    assert found.soft_budget_nanousd == 8


async def test_a_budget_that_changes_reaches_what_uses_it(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """A customer's limits follow the budget at once."""
    await registry.write(Write(None, Budget("free")), Write(None, Customer("c", budget_id="free")))
    assert await directory.find_customer("c") == Customer("c", budget_id="free")
    await change(registry, Budget, "free", lambda budget: replace(budget, limits=limit_set(tpm=5)))
    directory.changed("budget:free")
    found = await directory.find_customer("c")
    assert found is not None
    assert found.limits.amount("tpm_limit") == 5


async def test_a_member_has_the_limits_that_the_team_gives(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """A member's own limits win; the team's apply to the rest, and to users whom nobody made a
    member.
    """
    team = Team("t", member_limits=limit_set(rpm=1, tpm=2), created_us=3)
    await registry.write(Write(None, team), Write(None, Member("t", "u", limits=limit_set(rpm=9))))
    found = [await directory.find_member("t", user) for user in ("u", "stranger")]
    assert [each and each.limits for each in found] == [
        limit_set(rpm=9, tpm=2),
        limit_set(rpm=1, tpm=2, budget_since_us=3),
    ]


async def test_a_stranger_to_a_team_without_member_limits_is_nobody(
    directory: CachedDirectory, registry: CountingRegistry
) -> None:
    """There is no member where nothing is said about members."""
    await registry.write(Write(None, Team("t")))
    assert await directory.find_member("t", "stranger") is None


def test_a_generation_ends_with_every_change_and_with_the_proof_that_changes_are_heard(
    directory: CachedDirectory, clock: Clock
) -> None:
    """What was made of several entities holds as long as it is the same."""
    first = directory.generation
    assert directory.generation == first is not None
    directory.changed("team:t1")
    second = directory.generation
    directory.started()
    assert directory.generation is None
    directory.fresh_until(clock.now_s + 1)
    assert len({first, second, directory.generation}) == 3
    clock.now_s += 1
    assert directory.generation is None
