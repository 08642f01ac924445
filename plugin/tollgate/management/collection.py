"""Find, create, change and list the entities of one kind; concurrent writers lose no change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic

from tollgate.core.errors import Conflict, NotFound
from tollgate.ports import E, Page, Registry, Stored, Write

_CHUNK = 500
MOST_TRIES = 100
"""Most attempts of a change. Each lost race means that another change succeeded, so this many in a
row are no race.
"""


class Collection(Generic[E]):
    """The entities of one kind.

    `missing` is the message for an unknown id, with `{}` in its place.
    """

    def __init__(self, registry: Registry, kind: type[E], missing: str) -> None:
        self._registry = registry
        self._kind: type[E] = kind
        self._missing = missing

    async def find_stored(self, identity: str) -> Stored[E] | None:
        """Return the entity, or None."""
        (stored,) = await self._registry.get(self._kind, [identity])
        return stored

    async def get(self, identity: str) -> Stored[E]:
        """Return the entity. Raises NotFound."""
        stored = await self.find_stored(identity)
        if stored is None:
            raise NotFound(self._missing.format(identity))
        return stored

    async def find_named(self, name: str) -> Stored[E] | None:
        """Return the entity with a unique name, or None."""
        return await self._registry.find_named(self._kind, name)

    async def change(
        self,
        identity: str,
        change: Callable[[E], E],
        prepare: Callable[[E, E], Awaitable[None]] | None = None,
        adjust: Callable[[E, E], Awaitable[E]] | None = None,
        beside: Callable[[E], Awaitable[Sequence[Write]]] | None = None,
    ) -> E:
        """Apply a change to the current entity, retrying until nobody interferes.

        Before each attempt, `adjust` makes of the entity before and after what is written, and
        `prepare` gets both. `beside` returns what is written together with the entity after.
        Raises NotFound or Conflict.
        """
        for _ in range(MOST_TRIES):
            before = await self.get(identity)
            after = change(before.entity)
            if adjust is not None:
                after = await adjust(before.entity, after)
            if prepare is not None:
                await prepare(before.entity, after)
            try:
                others = () if beside is None else await beside(after)
                await self._registry.write(Write(before, after), *others)
            except Conflict:
                now = await self.find_stored(identity)
                # Unchanged since: the conflict has another reason, such as a name in use.
                if now is not None and now.version == before.version:
                    raise
            else:
                return after
        raise Conflict(f"{identity} is being changed by others all the time; try again")

    async def page(
        self, owner: Any, keep: Callable[[E], bool] | None, offset: int, count: int
    ) -> Page[E]:
        """Return a part of the list, newest first: of all or of an owner's; `keep` filters."""
        if keep is None:
            return await self._registry.page(self._kind, owner, offset, count)
        kept = [entity for entity in await self.all(owner) if keep(entity)]
        return Page(tuple(kept[offset : offset + count]), len(kept))

    async def all(self, owner: Any = None) -> list[E]:
        """Return the whole list."""
        return [entity async for chunk in self.chunks(owner) for entity in chunk]

    async def chunks(self, owner: Any = None) -> AsyncIterator[Sequence[E]]:
        """Yield the whole list in parts, newest first."""
        at = 0
        while True:
            page = await self._registry.page(self._kind, owner, at, _CHUNK)
            yield page.entities
            at += _CHUNK
            if at >= page.total:
                return
