"""The port `Registry` in memory, with the same rules: for tests that need no store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tollgate.adapters.valkey.entities.documents import KINDS, reference
from tollgate.core.entities import Budget, Customer, Entity, Key, Team, User
from tollgate.core.errors import Conflict
from tollgate.ports import E, Page, Stored, Write


class MemoryRegistry:
    """Entities in a dictionary, by reference."""

    def __init__(self) -> None:
        self.entities: dict[str, Stored[Any]] = {}
        self._version = 0

    async def get(self, kind: type[E], identities: Sequence[str]) -> list[Stored[E] | None]:
        """What there is of those ids."""
        return [self.entities.get(f"{KINDS[kind].name}:{identity}") for identity in identities]

    async def find_named(self, kind: type[E], name: str) -> Stored[E] | None:
        """The one entity of that unique name."""
        return self._named(kind, name)

    async def page(
        self, kind: type[E], owner: User | Team | Budget | None, offset: int, count: int
    ) -> Page[E]:
        """A part of a list, newest first."""
        found = [each.entity for each in self.entities.values() if isinstance(each.entity, kind)]
        if owner is not None:
            field = {User: "user_id", Team: "team_id", Budget: "budget_id"}[type(owner)]
            found = [each for each in found if getattr(each, field) == owner.id]
        found.sort(key=lambda each: (each.created_us, KINDS[kind].identity(each)), reverse=True)
        return Page(tuple(found[offset : offset + count]), len(found))

    async def write(self, *writes: Write) -> None:
        """Do all of these, or none."""
        before, version = dict(self.entities), self._version
        try:
            for write in writes:
                self._change(write)
        except Conflict:
            self.entities, self._version = before, version
            raise

    def _change(self, write: Write) -> None:
        entity: Any = write.after or (write.before.entity if write.before else None)
        kind, name = KINDS[type(entity)], reference(entity)
        stored = self.entities.get(name)
        if (stored.version if stored else 0) != (write.before.version if write.before else 0):
            identity = kind.identity(entity)
            raise Conflict(
                kind.exists.format(identity)
                if write.before is None
                else f"{kind.name} {identity} has changed"
            )
        if write.after is None:
            if isinstance(entity, Budget) and any(
                self._uses(each.entity, entity.id) for each in self.entities.values()
            ):
                raise Conflict(f"budget {entity.id} is in use")
            del self.entities[name]
            return
        self._check_budget(write.before.entity if write.before else None, write.after)
        unique = kind.unique_name(write.after)
        owner = None if unique is None else self._named(type(write.after), unique)
        if owner is not None and reference(owner.entity) != name:
            raise Conflict(kind.taken.format(unique))
        self._version += 1
        self.entities[name] = Stored(write.after, self._version)

    def _check_budget(self, before: Any, after: Any) -> None:
        budget_id = getattr(after, "budget_id", None)
        if (
            budget_id not in (None, getattr(before, "budget_id", None))
            and f"budget:{budget_id}" not in self.entities
        ):
            raise Conflict(f"budget_id={budget_id} does not exist; make it with /budget/new")

    def _uses(self, entity: Any, budget_id: str) -> bool:
        return isinstance(entity, Key | Customer) and entity.budget_id == budget_id

    def _named(self, kind: type[Entity], name: str) -> Stored[Any] | None:
        return next(
            (
                each
                for each in self.entities.values()
                if isinstance(each.entity, kind) and KINDS[kind].unique_name(each.entity) == name
            ),
            None,
        )
