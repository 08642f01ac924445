"""Share what all nouns except keys do alike: create, change and list entities with a chosen id."""

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
    """The use cases on one kind of entity. `missing` is the message for an unknown id."""

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
        """Create an entity. Raises BadRequest if its id or name is in use."""
        entity = self.made(blank, change)
        try:
            await self.registry.write(Write(None, entity))
        except Conflict as conflict:
            raise BadRequest(str(conflict)) from conflict
        if spend_nanousd:
            await self.spending.correct(Live(entity), spend_nanousd, _place(entity))
        return await self.live_one(entity)

    def made(self, blank: E, change: Callable[[E, int], E]) -> E:
        """Return a new entity, created now, with periods counted from now."""
        now_us = self.clock.now_us()
        return change(new_entity(blank, now_us), now_us)

    async def live_by_id(self, identity: str) -> Live[E]:
        """Return the entity with its spend. Raises NotFound."""
        return await self.live_one((await self.entities.get(identity)).entity)

    async def stored(self, identities: Sequence[str]) -> list[Stored[E]]:
        """Return several entities without duplicates. Raises NotFound if one is missing."""
        return [await self.entities.get(identity) for identity in dict.fromkeys(identities)]

    async def update(
        self, identity: str, change: Callable[[E, int], E], spend_nanousd: int | None = None
    ) -> Live[E]:
        """Change an entity. Raises NotFound, or BadRequest if its new name is in use."""
        try:
            entity = await self.change(identity, change)
        except Conflict as conflict:
            raise BadRequest(str(conflict)) from conflict
        if spend_nanousd is not None:
            await self.spending.correct(Live(entity), spend_nanousd, _place(entity))
        return await self.live_one(entity)

    async def change(self, identity: str, change: Callable[[E, int], E]) -> E:
        """Change an entity; the spend of its current budget periods is kept.

        Raises NotFound or Conflict.
        """
        return await self.entities.change(
            identity, self.changed(change), self.spending.periods.carry
        )

    def changed(self, change: Callable[[E, int], E]) -> Callable[[E], E]:
        """Return a change that also sets the time of change, and restarts the period of a new
        duration.
        """
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
        """Return a part of the list, newest first."""
        return await self.entities.page(None, keep, offset, count)

    async def by_spend(self, offset: int, count: int) -> Ranking[E]:
        """Return a part of all entities, ordered by spend."""
        return await ranked(self.entities.chunks(), self.live, offset, count)

    async def live(self, entities: Sequence[E]) -> list[Live[E]]:
        """Return entities with their spend."""
        return await self.spending.live(entities)

    async def live_one(self, entity: E) -> Live[E]:
        """Return an entity with its spend."""
        (live,) = await self.live([entity])
        return live


def _place(entity: Any) -> str:
    place: str = entity.place
    return place
