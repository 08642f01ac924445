"""What all nouns but keys have in common: they have an id that a caller may choose, and are made,
changed, listed alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic

from tollgate.core.errors import BadRequest, Conflict
from tollgate.management.collection import Collection
from tollgate.management.spending.limits import new_entity, restarted
from tollgate.management.spending.ranking import Ranking, ranked
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Clock, E, Page, Registry, Stored, Write


class Noun(Generic[E]):
    """The use cases on one kind of entity.

    `missing` is what to say of an id that does not exist.
    """

    def __init__(
        self, registry: Registry, spending: Spending, clock: Clock, kind: type[E], missing: str
    ) -> None:
        self.registry = registry
        self.spending = spending
        self.clock = clock
        self.entities: Collection[E] = Collection(registry, kind, missing)

    async def create(
        self, blank: E, change: Callable[[E, int], E], spend_nanousd: int = 0
    ) -> Live[E]:
        """Make one. Raises BadRequest when its id or name is in use."""
        entity = self.made(blank, change)
        try:
            await self.registry.write(Write(None, entity))
        except Conflict as conflict:
            raise BadRequest(str(conflict)) from conflict
        if spend_nanousd:
            await self.spending.correct(Live(entity), spend_nanousd, _organization(entity))
        return await self.live_one(entity)

    def made(self, blank: E, change: Callable[[E, int], E]) -> E:
        """A new entity: created now, its periods counted from now."""
        now_us = self.clock.now_us()
        return change(new_entity(blank, now_us), now_us)

    async def live_by_id(self, identity: str) -> Live[E]:
        """The entity with its numbers. Raises NotFound."""
        return await self.live_one((await self.entities.get(identity)).entity)

    async def stored(self, identities: Sequence[str]) -> list[Stored[E]]:
        """Several entities, each once. Raises NotFound when one is missing."""
        return [await self.entities.get(identity) for identity in dict.fromkeys(identities)]

    async def update(
        self, identity: str, change: Callable[[E, int], E], spend_nanousd: int | None = None
    ) -> Live[E]:
        """Change one. Raises NotFound, and BadRequest when its new name is in use."""
        try:
            entity = await self.change(identity, change)
        except Conflict as conflict:
            raise BadRequest(str(conflict)) from conflict
        if spend_nanousd is not None:
            await self.spending.correct(Live(entity), spend_nanousd, _organization(entity))
        return await self.live_one(entity)

    async def change(self, identity: str, change: Callable[[E, int], E]) -> E:
        """Change one; what is spent in its budget periods stays spent.

        Raises NotFound, Conflict.
        """
        return await self.entities.change(
            identity, self.changed(change), self.spending.periods.carry
        )

    def changed(self, change: Callable[[E, int], E]) -> Callable[[E], E]:
        """A change, with what follows from it: when it was, and a new period for a new duration."""
        now_us = self.clock.now_us()

        def apply(entity: E) -> E:
            before: Any = entity
            after: Any = change(entity, now_us)
            changed: E = replace(
                after, updated_us=now_us, limits=restarted(before.limits, after.limits, now_us)
            )
            return changed

        return apply

    async def page(
        self, offset: int, count: int, keep: Callable[[E], bool] | None = None
    ) -> Page[E]:
        """A part of the list, newest first."""
        return await self.entities.page(None, keep, offset, count)

    async def by_spend(self, offset: int, count: int) -> Ranking[E]:
        """A part of all of them, those that spent most first."""
        return await ranked(self.entities.chunks(), self.live, offset, count)

    async def live(self, entities: Sequence[E]) -> list[Live[E]]:
        """Entities with their numbers."""
        return await self.spending.live(entities)

    async def live_one(self, entity: E) -> Live[E]:
        """An entity with its numbers."""
        (live,) = await self.live([entity])
        return live


def _organization(entity: Any) -> str:
    organization: str = entity.organization
    return organization
