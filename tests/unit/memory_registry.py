"""The port `Registry` in memory, with the same rules: for tests that need no store."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import count
from typing import Any

from tollgate.adapters.valkey.entities.documents import ENTITY_KINDS, reference, searched_text
from tollgate.core.audit import AuditEntry, Change, changes_of
from tollgate.core.entities import BUDGETED, Budget, Entity, Key
from tollgate.core.errors import Conflict
from tollgate.ports import E, Owner, Page, Stored, Write, entity_of
from tollgate.ports.audit_ports import AuditedAt, AuditPage, AuditQuery


class MemoryRegistry:
    """Entities in a dictionary, by reference."""

    def __init__(self) -> None:
        self.entities: dict[str, Stored[Any]] = {}
        self.audited: list[AuditEntry] = []
        self.by = ""
        self._versions = count(1)

    def acting_as(self, by: str) -> MemoryRegistry:
        """The same entities, changed by somebody."""
        acting = copy(self)
        acting.by = by
        return acting

    async def note(self, change: Change) -> None:
        """Put a change into the audit log."""
        self.audited.append(AuditEntry(change, self.by))

    async def get(self, kind: type[E], identities: Sequence[str]) -> list[Stored[E] | None]:
        """What there is of those ids."""
        return [
            self.entities.get(f"{ENTITY_KINDS[kind].name}:{identity}") for identity in identities
        ]

    async def find_named(self, kind: type[E], name: str) -> Stored[E] | None:
        """The one entity of that unique name."""
        return self._named(kind, name)

    async def keys_of_ids(self, key_ids: Sequence[str]) -> list[Stored[Key] | None]:
        """The keys that have those ids, whatever their secrets are by now."""
        keys = [
            each
            for each in self.entities.values()
            if isinstance(each.entity, Key) and each.entity.replaced_by is None
        ]
        return [next((k for k in keys if k.entity.id == each), None) for each in key_ids]

    async def page(self, kind: type[E], owner: Owner | None, offset: int, count: int) -> Page[E]:
        """A part of a list, newest first."""
        found = [each.entity for each in self.entities.values() if isinstance(each.entity, kind)]
        if owner is not None:
            field = f"{ENTITY_KINDS[type(owner)].name}_id"
            found = [each for each in found if getattr(each, field) == owner.id]
        found.sort(
            key=lambda each: (each.created_us, ENTITY_KINDS[kind].identity(each)), reverse=True
        )
        return Page(tuple(found[offset : offset + count]), len(found))

    async def search(
        self, kind: type[E], part: str, offset: int, count: int, most: int | None = None
    ) -> Page[E]:
        """A part of those whose text holds it, newest first."""
        found = [
            each.entity
            for each in self.entities.values()
            if isinstance(each.entity, kind) and part.lower() in (searched_text(each.entity) or "")
        ]
        found.sort(key=lambda each: (each.created_us, searched_text(each)), reverse=True)
        total = len(found) if most is None else min(len(found), most + 1)
        return Page(tuple(found[offset : offset + count]), total)

    async def write(self, *writes: Write) -> None:
        """Do all of these, or none."""
        before = dict(self.entities)
        try:
            for write in writes:
                self._change(write)
        except Conflict:
            # In place: whoever acts as somebody shares it.
            self.entities.clear()
            self.entities.update(before)
            raise
        pairs = [(entity_of(each.before), each.after) for each in writes]
        self.audited.extend(AuditEntry(each, self.by) for each in changes_of(pairs))

    def _change(self, write: Write) -> None:
        entity: Any = write.after or (write.before.entity if write.before else None)
        kind, name = ENTITY_KINDS[type(entity)], reference(entity)
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
        self.entities[name] = Stored(write.after, next(self._versions))

    def _check_budget(self, before: Any, after: Any) -> None:
        budget_id = getattr(after, "budget_id", None)
        if (
            budget_id not in (None, getattr(before, "budget_id", None))
            and f"budget:{budget_id}" not in self.entities
        ):
            raise Conflict(f"budget_id={budget_id} does not exist; make it with /budget/new")

    def _uses(self, entity: Any, budget_id: str) -> bool:
        return isinstance(entity, BUDGETED) and entity.budget_id == budget_id

    def _named(self, kind: type[Entity], name: str) -> Stored[Any] | None:
        return next(
            (
                each
                for each in self.entities.values()
                if isinstance(each.entity, kind)
                and ENTITY_KINDS[kind].unique_name(each.entity) == name
            ),
            None,
        )


class MemoryAuditLog:
    """The port `AuditLog` over what a registry in memory has noted, a microsecond apart."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry = registry

    async def page(self, query: AuditQuery, count: int, cursor: str | None = None) -> AuditPage:
        """The newest entries; a cursor is how many are before it."""
        place = 0 if cursor is None else int(cursor)
        found = [
            AuditedAt(number, each)
            for number, each in reversed(list(enumerate(self._registry.audited)))
            if query.kind in (None, each.change.kind) and query.id in (None, each.change.id)
            if (query.since_us or 0) <= number
            if query.until_us is None or number <= query.until_us
        ]
        following = str(place + count) if len(found) > place + count else None
        return AuditPage(tuple(found[place : place + count]), following)
