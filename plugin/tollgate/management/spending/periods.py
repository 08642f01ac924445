"""Budget periods that change: what was spent in the current one stays spent in the one that takes
its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any

from tollgate.core.callers.inherit import find_member_of, with_budget
from tollgate.core.callers.scopes import Limited, scope_of
from tollgate.core.entities import (
    BUDGETED,
    Budget,
    Entity,
    Key,
    LimitSet,
    Member,
    Organization,
    Team,
)
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.limits.limit import Limit, Recurring
from tollgate.core.limits.limit_parts import place_in
from tollgate.management.collection import Collection
from tollgate.ports import Clock, E, Registry, SpendBook, Succession, entity_of

_Change = tuple[str, Limited, Limited]
"""An organization, and one of its entities with the limits that it has in effect,
before and after.
"""


class Periods:
    """Follows changes of limits, from the entity that is changed to all whose periods change with
    it.
    """

    def __init__(self, registry: Registry, book: SpendBook, clock: Clock) -> None:
        self._registry = registry
        self._book = book
        self._clock = clock

    async def carry(self, before: Entity, after: Entity) -> None:
        """Keep what is spent, before the change is written."""
        now_us = self._clock.now_us()
        found: defaultdict[str, list[Succession]] = defaultdict(list)
        async for organization, old, new in self._changes(before, after):
            successions = list(_successions(old, new, now_us))
            parts = old.shards if isinstance(old, Organization) else 1
            for number in range(parts):
                place = place_in(organization, number)
                found[place] += successions
        for organization, successions in found.items():
            if successions:
                await self._book.carry(organization, successions)

    async def _changes(self, before: Any, after: Any) -> AsyncIterator[_Change]:
        if isinstance(before, Budget):
            for each in await self._of_budget(before, after):
                yield each
        elif isinstance(before, Member):
            team = entity_of((await self._registry.get(Team, [before.team_id]))[0])
            if change := _member_change(before.user_id, (before, after), (team, team)):
                yield change
        elif isinstance(before, BUDGETED):
            old, new = [await self._with_budget(each) for each in (before, after)]
            yield before.place, old, new
        else:
            yield before.place, before, after
        if isinstance(before, Team) and before.member_limits != after.member_limits:
            for user_id, member in (await self._members(before)).items():
                if change := _member_change(user_id, (member, member), (before, after)):
                    yield change

    async def _with_budget(self, entity: Any) -> Any:
        if entity.budget_id is None:
            return entity
        (stored,) = await self._registry.get(Budget, [entity.budget_id])
        return with_budget(entity, entity_of(stored))

    async def _of_budget(self, before: Budget, after: Budget) -> list[_Change]:
        """Everybody who uses a budget, if its periods change."""
        if before.limits == after.limits and before.model_limits == after.model_limits:
            return []
        kind: Any
        found: list[_Change] = []
        for kind in BUDGETED:
            users: list[Any] = await self._all(kind, before)
            found += [
                (each.place, with_budget(each, before), with_budget(each, after)) for each in users
            ]
        return found

    async def _members(self, team: Team) -> dict[str, Member | None]:
        """Return a team's members by user, and None for its keys' users whom nobody made one.

        The team limits those as well.
        """
        members: dict[str, Member | None] = dict.fromkeys(
            each.user_id for each in await self._all(Key, team) if each.user_id is not None
        )
        members.update({each.user_id: each for each in await self._all(Member, team)})
        return members

    async def _all(self, kind: type[E], owner: Team | Budget) -> list[E]:
        return await Collection(self._registry, kind, "").all(owner)


def _member_change(
    user_id: str,
    members: tuple[Member | None, Member | None],
    teams: tuple[Team | None, Team | None],
) -> _Change | None:
    """Return the change of a member's limits; None: there are none before or after."""
    old, new = (
        find_member_of(team, member, user_id) for team, member in zip(teams, members, strict=True)
    )
    if old is None or new is None:
        return None
    return DEFAULT_ORGANIZATION if teams[0] is None else teams[0].place, old, new


def _successions(before: Limited, after: Limited, now_us: int) -> Iterable[Succession]:
    scope = scope_of(before)
    limits: dict[str | None, tuple[LimitSet, LimitSet]] = {None: (before.limits, after.limits)}
    new = {each.model: each.limits for each in after.model_limits}
    limits |= {
        each.model: (each.limits, new[each.model])
        for each in before.model_limits
        if each.model in new
    }
    for model, (old, follower) in limits.items():
        narrowed = scope if model is None else scope.narrowed(model)
        if _changed(old, follower):
            yield Succession(narrowed, old.spend_period(now_us), follower.spend_period(now_us))
        following = _recurring(follower)
        for counter, limit in _recurring(old).items():
            other = following.get(counter)
            if other is not None and other.window != limit.window:
                began = limit.in_force(old.budget_since_us, now_us)
                begins = other.in_force(follower.budget_since_us, now_us)
                yield Succession(narrowed, began.period, begins.period, begins)


def _recurring(limits: LimitSet) -> dict[str, Limit]:
    """Return the limits that have periods of their own, by counter."""
    return {each.counter: each for each in limits.limits if isinstance(each.window, Recurring)}


def _changed(before: LimitSet, after: LimitSet) -> bool:
    """Return whether periods of the budget may begin at other times."""
    return any(
        getattr(before, name) != getattr(after, name)
        for name in ("budget_duration", "budget_since_us", "calendar_timezone")
    )
