"""Resolve the limits of an entity: those of its budget, or of the team that it belongs to."""

from __future__ import annotations

from typing import Any

from tollgate.adapters.valkey.entities.cache import Kept
from tollgate.core.callers.inherit import find_member_of, with_budget
from tollgate.core.entities import BUDGETED, Budget, Member, Team
from tollgate.ports import E, Registry, entity_of


async def resolve(registry: Registry, kind: type[E], identity: str) -> Kept[Any]:
    """Return the entity, and the references (`KIND:ID`) of the others it was resolved from."""
    (stored,) = await registry.get(kind, [identity])
    entity: Any = None if stored is None else stored.entity
    if kind is Member:
        team_id, _, user_id = identity.partition("/")
        (team,) = await registry.get(Team, [team_id])
        return Kept(
            find_member_of(entity_of(team), entity, user_id), frozenset({f"team:{team_id}"})
        )
    if isinstance(entity, BUDGETED) and entity.budget_id is not None:
        (budget,) = await registry.get(Budget, [entity.budget_id])
        return Kept(
            with_budget(entity, entity_of(budget)), frozenset({f"budget:{entity.budget_id}"})
        )
    return Kept(entity)
