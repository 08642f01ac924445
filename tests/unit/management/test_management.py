"""The use cases of management over memory, where HTTP does not reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.make import limit_set
from tests.unit.management_fixtures import World

from tollgate.core.callers.inherit import find_member_of, with_budget
from tollgate.core.entities import Budget, Customer, Key, LimitSet, Member, Team
from tollgate.core.errors import BadRequest, Conflict, NotFound
from tollgate.core.money.dollars import dollars_of, nanousd_of
from tollgate.management.collection import Collection
from tollgate.management.virtual_keys import KeyQuery, as_hash
from tollgate.ports import Write

BUDGET = LimitSet(max_budget_nanousd=5, budget_duration="1d")


def same(key: Key, _: int) -> Key:
    """No change."""
    return key


async def test_another_duration_starts_a_period_of_its_own(world: World) -> None:
    """It begins when it is given; the same duration changes nothing."""
    made = await world.management.keys.create(same)
    created_us = world.clock.us
    world.clock.us += 10

    def daily(key: Key, _: int) -> Key:
        return replace(key, limits=replace(key.limits, budget_duration="1d"))

    first = await world.management.keys.update(made.secret, daily)
    world.clock.us += 10
    second = await world.management.keys.update(made.secret, daily)
    since = [live.entity.limits.budget_since_us for live in (made.live, first, second)]
    assert since == [created_us, created_us + 10, created_us + 10]


async def test_a_key_counts_in_its_teams_organization(world: World) -> None:
    """And another is refused."""
    await world.registry.write(Write(None, Team("t", organization="acme")))

    def of(organization: str) -> Callable[[Key, int], Key]:
        return lambda key, _: replace(key, team_id="t", organization=organization)

    made = await world.management.keys.create(of("default"))
    assert made.live.entity.organization == "acme"
    with pytest.raises(BadRequest, match="another organization"):
        await world.management.keys.create(of("other"))


async def test_a_regenerated_key_is_counted_under_its_first_hash(world: World) -> None:
    """However often the secret changes."""
    made = await world.management.keys.create(same)
    again = await world.management.keys.regenerate(made.secret, same)
    third = await world.management.keys.regenerate(again.secret, same)
    assert third.live.entity.id == as_hash(made.secret)
    assert third.live.entity.hash == as_hash(third.secret)


async def test_a_list_is_read_in_parts_to_its_end(world: World) -> None:
    """More than one part's worth is found whole, in its order."""
    await world.registry.write(
        *(Write(None, Budget(f"b{number}", created_us=number)) for number in range(1001))
    )
    found = await world.management.budgets.entities.all()
    assert [each.created_us for each in found] == list(reversed(range(1001)))


async def test_a_filtered_page_is_a_part_of_what_fits(world: World) -> None:
    """The total is of what fits, too."""
    for number in range(4):
        await world.management.keys.create(
            lambda key, _, n=number: replace(key, alias=f"{'even' if n % 2 == 0 else 'odd'}{n}")
        )
    page = await world.management.keys.page(KeyQuery(search="even"), 1, 5)
    assert (len(page.entities), page.total) == (1, 2)


async def test_a_writer_that_never_gets_through_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else changes the entity before each try."""
    await world.registry.write(Write(None, Team("t")))
    write = world.registry.write

    async def raced(*writes: Write) -> None:
        (stored,) = await world.registry.get(Team, ["t"])
        await write(Write(stored, replace(stored.entity, alias="x")))  # type: ignore[union-attr]
        await write(*writes)

    monkeypatch.setattr(world.registry, "write", raced)
    with pytest.raises(Conflict, match="changed by others all the time"):
        await Collection(world.registry, Team, "{}").change(
            "t", lambda team: replace(team, blocked=True)
        )


async def test_an_entity_that_is_deleted_meanwhile_is_not_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of it does not bring it back."""
    await world.registry.write(Write(None, Team("t")))
    write = world.registry.write

    async def raced(*writes: Write) -> None:
        (stored,) = await world.registry.get(Team, ["t"])
        if stored is not None:
            await write(Write(stored, None))
        await write(*writes)

    monkeypatch.setattr(world.registry, "write", raced)
    with pytest.raises(NotFound, match="no team t"):
        await Collection(world.registry, Team, "no team {}").change(
            "t", lambda team: replace(team, blocked=True)
        )


async def test_the_period_of_a_key_is_that_of_its_budget(world: World) -> None:
    """Where the budget is what limits it."""
    await world.registry.write(Write(None, Budget("b", BUDGET)))
    made = await world.management.keys.create(lambda key, _: replace(key, budget_id="b"))
    assert made.live.reset_us == world.clock.us + 86_400_000_000


def test_a_budget_fills_in_what_is_not_limited() -> None:
    """An own limit wins; a budget that is gone leaves the entity as it is."""
    customer = Customer("c", limits=limit_set(rpm=1, budget_since_us=7))
    assert with_budget(
        customer, Budget("b", BUDGET.with_amount("rpm_limit", 9).with_amount("tpm_limit", 2))
    ).limits == limit_set(
        rpm=1, tpm=2, max_budget_nanousd=5, budget_duration="1d", budget_since_us=7
    )
    assert with_budget(customer, None) is customer


def test_an_own_budget_comes_with_its_own_duration() -> None:
    """$1 for ever is not $1 a day, though the shared budget is by the day."""
    own = LimitSet(max_budget_nanousd=1).or_else(BUDGET)
    assert (own.max_budget_nanousd, own.budget_duration) == (1, None)


def test_who_is_in_no_team_is_no_member() -> None:
    """A team that nobody made has no members, and gives nobody limits."""
    assert find_member_of(None, None, "u") is None
    assert find_member_of(Team("t"), Member("t", "u"), "u") == Member("t", "u")


def test_money_is_exact() -> None:
    """What a float cannot hold, an integer does; a fraction of a nano-dollar counts as one."""
    assert [nanousd_of(Decimal(text)) for text in ("10.1", "0.1", "1e-12", "0")] == [
        10_100_000_000,
        10**8,
        1,
        0,
    ]
    assert dollars_of(72_000) == 7.2e-05
