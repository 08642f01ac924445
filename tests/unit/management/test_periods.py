"""Whoever changes how long a budget's period is gives nothing back by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.management_fixtures import World

from tollgate.core.callers.inherit import find_member_of, with_budget
from tollgate.core.entities import (
    Budget,
    Customer,
    Key,
    LimitSet,
    MemberRole,
    ModelLimits,
    Team,
    User,
)
from tollgate.core.limits.accounts import Account, Scope
from tollgate.core.limits.duration import period_at
from tollgate.management.members import NewMember
from tollgate.management.spending.periods import scope_of
from tollgate.ports import Write

DAY_US = 86_400_000_000
DURATIONS = (None, "1d", "30d", "60d", "1mo")


def lasting(duration: str | None) -> Callable[[Any, int], Any]:
    """The change to another duration."""
    return lambda entity, _: replace(
        entity, limits=replace(entity.limits, max_budget_nanousd=9, budget_duration=duration)
    )


async def spend(world: World, entity: Any, nanousd: int, model: str | None = None) -> None:
    """A call that cost so much of an entity's budget, under the limits that it has in effect."""
    limits = entity.limits
    if model is not None:
        limits = next(each.limits for each in entity.model_limits if each.model == model)
    period = period_at(limits.budget_duration, limits.budget_since_us, world.clock.us)
    await world.spend(narrowed_scope(entity, model), nanousd, period=period)


def narrowed_scope(entity: Any, model: str | None) -> Scope:
    """The scope of an entity's budget for one model."""
    scope = scope_of(entity)
    return Scope(scope.kind, scope.id, model)


@pytest.mark.parametrize("before", DURATIONS)
@pytest.mark.parametrize("after", DURATIONS)
async def test_a_change_of_the_duration_keeps_what_was_spent(
    world: World, before: str | None, after: str | None
) -> None:
    """From any to any other, of a key, a user, a team and a customer; the next period
    starts anew.
    """
    management = world.management
    made: list[tuple[Any, Any]] = [
        ((await management.keys.create(lasting(before))).live.entity, management.keys),
        ((await management.users.create(User("u"), lasting(before))).entity, management.users),
        ((await management.teams.create(Team("t"), lasting(before))).entity, management.teams),
        (
            (await management.customers.create(Customer("c"), lasting(before))).entity,
            management.customers,
        ),
    ]
    for entity, nouns in made:
        world.clock.us += 3 * DAY_US + 1
        await spend(world, entity, 5)
        name = entity.hash if isinstance(entity, Key) else entity.id
        changed = (await nouns.update(name, lasting(after))).entity
        assert await world.used(changed) == 5
        await spend(world, changed, 2)
        assert await world.used(changed) == 7
        if after is not None and after != before:
            world.clock.us += 70 * DAY_US
            assert await world.used(changed) == 0


async def test_what_a_period_that_has_ended_spent_does_not_come_back(world: World) -> None:
    """A new duration takes over what is spent now, which is nothing."""
    key = (await world.management.keys.create(lasting("1d"))).live.entity
    await spend(world, key, 5)
    world.clock.us += 2 * DAY_US
    changed = (await world.management.keys.update(key.hash, lasting("30d"))).entity
    assert await world.used(changed) == 0


async def test_a_change_of_a_shared_budget_keeps_what_everybody_spent(world: World) -> None:
    """Keys and customers that have their limits from it, each with periods of its own."""
    management = world.management
    await management.budgets.create(Budget("b"), lasting("60d"))
    key = (await management.keys.create(lambda key, _: replace(key, budget_id="b"))).live.entity
    customer = (
        await management.customers.create(
            Customer("c"), lambda each, _: replace(each, budget_id="b")
        )
    ).entity
    before = (await management.budgets.live_by_id("b")).entity
    world.clock.us += 40 * DAY_US
    for each in (key, customer):
        await spend(world, with_budget(each, before), 5)
    await management.budgets.update("b", lasting("30d"))
    assert [await world.used(key), await world.used(customer)] == [5, 5]


async def test_another_budget_keeps_what_was_spent(world: World) -> None:
    """A key that is given a budget with another duration."""
    management = world.management
    await management.budgets.create(Budget("short"), lasting("1d"))
    key = (await management.keys.create(lambda key, _: key)).live.entity
    world.clock.us += 3 * DAY_US
    await spend(world, key, 5)
    changed = (
        await management.keys.update(key.hash, lambda key, _: replace(key, budget_id="short"))
    ).entity
    assert await world.used(changed) == 5


async def test_a_change_of_a_teams_limits_for_members_keeps_what_they_spent(world: World) -> None:
    """Those that were made members, and users of the team's keys that nobody made one."""
    management = world.management
    team = (await management.teams.create(Team("t"), lambda team, _: team)).entity
    await management.keys.create(lambda key, _: replace(key, team_id="t", user_id="stranger"))
    await management.teams.members.add(
        "t", [NewMember(MemberRole.USER, "known")], lambda member, _: member
    )
    limits = LimitSet(max_budget_nanousd=9, budget_duration="60d", budget_since_us=world.clock.us)
    team = (
        await management.teams.update("t", lambda team, _: replace(team, member_limits=limits))
    ).entity
    world.clock.us += 40 * DAY_US
    registered = (await management.teams.members.entities.get("t/known")).entity
    people = {"stranger": None, "known": registered}
    for user_id, member in people.items():
        await spend(world, find_member_of(team, member, user_id), 5)
    shorter = replace(limits, budget_duration="30d")
    team = (
        await management.teams.update("t", lambda team, _: replace(team, member_limits=shorter))
    ).entity
    used = [
        await world.used(find_member_of(team, member, user_id), "default")
        for user_id, member in people.items()
    ]
    assert used == [5, 5]


async def test_a_budget_for_one_model_keeps_what_was_spent(world: World) -> None:
    """It has counters of its own."""
    management = world.management

    def narrowed(duration: str) -> Callable[[Key, int], Key]:
        limits = LimitSet(max_budget_nanousd=9, budget_duration=duration)
        return lambda key, now_us: replace(
            key, model_limits=(ModelLimits("m", replace(limits, budget_since_us=now_us)),)
        )

    key = (await management.keys.create(narrowed("60d"))).live.entity
    await spend(world, key, 5, "m")
    world.clock.us += DAY_US
    changed = (await management.keys.update(key.hash, narrowed("1d"))).entity
    limits = changed.model_limits[0].limits
    period = period_at(limits.budget_duration, limits.budget_since_us, world.clock.us)
    await world.spend(narrowed_scope(changed, "m"), 1, period=period)
    assert world.counters.scope("default", Account(narrowed_scope(changed, "m"))).used == 6


async def test_the_spend_is_kept_before_the_change_can_be_read(world: World) -> None:
    """A worker that read the new duration first would find a new period with nothing spent."""
    key = (await world.management.keys.create(lasting("60d"))).live.entity
    await spend(world, key, 5)
    carried: list[int] = []
    write = world.registry.write

    async def noting(*writes: Write) -> None:
        carried.append(world.counters.scope("default", Account(scope_of(key))).period_start_us)
        await write(*writes)

    world.registry.write = noting  # type: ignore[method-assign]
    world.clock.us += DAY_US
    await world.management.keys.update(key.hash, lasting("1d"))
    assert carried == [world.clock.us]
