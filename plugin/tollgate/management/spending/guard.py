"""What a change of limits has to respect before it is written: nobody raises their own limits, and
a limit names only what can work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tollgate.core.audit import Change
from tollgate.core.entities import (
    NO_LIMITS,
    Budget,
    Entity,
    Key,
    LimitSet,
    Member,
    Organization,
    OrganizationMember,
    Team,
    User,
)
from tollgate.core.errors import BadRequest
from tollgate.core.limits.limit import Limit
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.endpoints import wires_of
from tollgate.management.administrators import Denied
from tollgate.ports import E, Page, Registry, Stored, Write


@dataclass(frozen=True, slots=True)
class LimitGuard:
    """The rules. Without a `catalog` the models that limits name are not checked.

    `longest_wait_ms`: the longest wait that the configuration lets a limit ask for. `sessions`:
    whether requests tell theirs.
    """

    catalog: Catalog | None = None
    longest_wait_ms: int = 30_000
    sessions: bool = True

    def check(self, before: Entity | None, after: Entity, own: Key | None) -> None:
        """Check a change by the owner of a key; None: by the master.

        Raises Denied or BadRequest.
        """
        limits = after.session_limits if isinstance(after, Key | Team) else NO_LIMITS
        if limits.limited and not self.sessions:
            raise BadRequest(
                "Limits of each session need the dimension: set tollgate.dimensions.session to"
                " true",
                "max_iterations" if limits.limits else "max_budget_per_session",
            )
        known = set() if before is None else {*_limits(before)}
        for model, limit in _limits(after):
            if (model, limit) not in known:
                self._check_limit(model, limit)
        if own is not None and _is_own(after, own) and _raises(after) - _raises(before):
            raise Denied(
                "Nobody raises their own limits: ask another administrator, or use the master key.",
                status=403,
            )

    def _check_limit(self, model: str | None, limit: Limit) -> None:
        how = limit.enforcement
        if how.max_wait_ms > self.longest_wait_ms:
            raise BadRequest(
                f"max_wait_ms is at most {self.longest_wait_ms} here: raise"
                " tollgate.longest_wait_ms first",
                "limits",
            )
        if how.fallback_model is None or self.catalog is None:
            return
        if self.catalog.model(how.fallback_model) is None:
            raise BadRequest(
                f"on_exceeded names the model {how.fallback_model!r}, which is not served here;"
                " GET /v1/models lists those that are",
                "limits",
            )
        wires = [
            {wire for each in self.catalog.deployments(name) for wire in wires_of(each)}
            for name in (model or "", how.fallback_model)
        ]
        if wires[0] and not wires[0] & wires[1]:
            raise BadRequest(
                f"on_exceeded names the model {how.fallback_model!r}, which speaks another API than"
                f" {model!r}",
                "limits",
            )


UNCHECKED = LimitGuard()
"""Checks raises alone."""


class GuardedRegistry:
    """The port `Registry`, each write of which is checked. `own`: the key of whoever writes."""

    def __init__(self, registry: Registry, guard: LimitGuard, own: Key | None) -> None:
        self._registry = registry
        self._guard = guard
        self._own = own

    async def get(self, kind: type[E], identities: Sequence[str]) -> list[Stored[E] | None]:
        return await self._registry.get(kind, identities)

    async def find_named(self, kind: type[E], name: str) -> Stored[E] | None:
        return await self._registry.find_named(kind, name)

    async def keys_of_ids(self, key_ids: Sequence[str]) -> list[Stored[Key] | None]:
        return await self._registry.keys_of_ids(key_ids)

    async def page(
        self,
        kind: type[E],
        owner: User | Team | Budget | Organization | None,
        offset: int,
        count: int,
    ) -> Page[E]:
        return await self._registry.page(kind, owner, offset, count)

    async def search(
        self, kind: type[E], part: str, offset: int, count: int, most: int | None = None
    ) -> Page[E]:
        return await self._registry.search(kind, part, offset, count, most)

    async def write(self, *writes: Write) -> None:
        """Write, if every change may be made. Raises Denied or BadRequest as well."""
        for each in writes:
            if each.after is not None:
                before = None if each.before is None else each.before.entity
                self._guard.check(before, each.after, self._own)
        await self._registry.write(*writes)

    def acting_as(self, by: str) -> GuardedRegistry:
        return GuardedRegistry(self._registry.acting_as(by), self._guard, self._own)

    async def note(self, change: Change) -> None:
        await self._registry.note(change)


def _limits(entity: Any) -> Iterator[tuple[str | None, Limit]]:
    """Yield the limits of an entity, each with the model that it is for."""
    for model, limits in _sets(entity):
        yield from ((model, each) for each in limits.limits)


def _sets(entity: Any) -> Iterator[tuple[str | None, LimitSet]]:
    yield None, entity.limits
    for each in getattr(entity, "model_limits", ()):
        yield each.model, each.limits


def _raises(entity: Entity | None) -> set[object]:
    """Return the raises of an entity's limits."""
    if entity is None:
        return set()
    found: set[object] = {
        (model, limit.counter, limit.increase)
        for model, limit in _limits(entity)
        if limit.increase is not None
    }
    found |= {
        (model, limits.budget_increase)
        for model, limits in _sets(entity)
        if limits.budget_increase is not None
    }
    return found


def _is_own(entity: Entity, own: Key) -> bool:
    """Whether an entity's limits are those of a key's owner."""
    match entity:
        case Key():
            return entity.id == own.id
        case User():
            return entity.id == own.user_id
        case Member() | OrganizationMember():
            return entity.user_id == own.user_id
        case Organization():
            return entity.id == own.organization
        case Team():
            return entity.id == own.team_id
        case _:
            return False
