"""Import entities from another system, including what they have spent.

An entity is created if it does not exist, and otherwise left alone. An import can therefore be run
again: earlier results and local changes stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from tollgate.core.callers.inherit import find_member_of
from tollgate.core.entities import Budget, Entity, Key, LimitSet, Member, ModelLimits, Team
from tollgate.core.errors import Conflict
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.management.lookups import home_in, imply_teams
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Registry, Write, entity_of


class Outcome(StrEnum):
    """The outcome for one entity.

    `differs`: an entity with this id exists and is different; it was left alone.
    """

    CREATED = "created"
    UNCHANGED = "unchanged"
    DIFFERS = "differs"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EntityToImport:
    """An entity from elsewhere with its spend in the current period, in total and
    per model budget.
    """

    entity: Entity
    spend_nanousd: int = 0
    model_spend_nanousd: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome for one entity, and the reason if it is not obvious."""

    outcome: Outcome
    message: str | None = None


class Imports:
    """The use case of an import."""

    def __init__(self, registry: Registry, spending: Spending) -> None:
        self._registry = registry
        self._spending = spending

    async def take(self, carried: EntityToImport, *, dry_run: bool) -> Imported:
        """Create the entity if it does not exist. `dry_run`: only report the outcome."""
        entity: Any = carried.entity
        (stored,) = await self._registry.get(
            type(entity), [entity.hash if isinstance(entity, Key) else entity.id]
        )
        if stored is not None:
            return _compared(stored.entity, entity)
        if dry_run:
            return Imported(Outcome.CREATED)
        if isinstance(entity, Team | Key):
            team_id = entity.team_id if isinstance(entity, Key) else None
            home = await home_in(self._registry, entity.organization, team_id or entity.id)
            entity = entity if home is None else replace(entity, home=home)
        # Spend is written first: if the import is cut between the two, the next run creates the
        # entity with its spend.
        if not isinstance(entity, Budget):
            await self._set_spend(entity, carried)
        try:
            await self._registry.write(Write(None, entity))
        except Conflict as conflict:
            return Imported(Outcome.FAILED, str(conflict))
        if isinstance(entity, Key):
            await imply_teams(
                self._registry, [entity.team_id], entity.organization, entity.updated_us
            )
        return Imported(Outcome.CREATED)

    async def _set_spend(self, entity: Any, carried: EntityToImport) -> None:
        organization = DEFAULT_ORGANIZATION
        if isinstance(entity, Member):
            (stored,) = await self._registry.get(Team, [entity.team_id])
            team = entity_of(stored)
            organization = organization if team is None else team.place
            # A member's period may be that of the limits which the team gives.
            entity = find_member_of(team, entity, entity.user_id) or entity
        else:
            organization = entity.place
        if carried.spend_nanousd:
            await self._spending.correct(Live(entity), carried.spend_nanousd, organization)
        if carried.model_spend_nanousd:
            await self._spending.correct_models(entity, carried.model_spend_nanousd, organization)


def _compared(here: Entity, there: Entity) -> Imported:
    one, other = _timeless(here), _timeless(there)
    names: Sequence[str] = [
        each.name for each in fields(one) if getattr(one, each.name) != getattr(other, each.name)
    ]
    if not names:
        return Imported(Outcome.UNCHANGED)
    return Imported(Outcome.DIFFERS, f"differs here in {', '.join(names)}; left as it is")


def _timeless(entity: Any) -> Any:
    """Return the entity without what another system does not know: its timestamps, and the file
    that declares it.
    """
    cleared: dict[str, Any] = {"created_us": 0, "updated_us": 0, "declared": None}
    for each in fields(entity):
        value = getattr(entity, each.name)
        if isinstance(value, LimitSet):
            cleared[each.name] = _without_beginnings(value)
        elif each.name == "model_limits":
            cleared[each.name] = tuple(
                sorted(
                    (
                        ModelLimits(limits.model, _without_beginnings(limits.limits))
                        for limits in value
                    ),
                    key=lambda one: one.model,
                )
            )
    return replace(entity, **cleared)


def _without_beginnings(limits: LimitSet) -> LimitSet:
    return replace(limits, limits=tuple(each.begun(0) for each in limits.limits), budget_since_us=0)
