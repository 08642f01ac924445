"""One kind of entity in the registry: found, made, changed and listed.

Two writers never lose each other's change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic

from tollgate.core.errors import Conflict, NotFound
from tollgate.ports import E, Page, Registry, Stored, Write

_CHUNK = 500
MOST_TRIES = 100
"""Each lost race means that somebody else's change went through; this many in a row is not a race."""


class Collection(Generic[E]):
    """The entities of a kind.

    `missing` is what to say of an id that does not exist, with `{}` for it.
    """

    def __init__(self, registry: Registry, kind: type[E], missing: str) -> None:
        self._registry = registry
        self._kind: type[E] = kind
        self._missing = missing

    async def find_stored(self, identity: str) -> Stored[E] | None:
        """The entity, if there is one."""
        (stored,) = await self._registry.get(self._kind, [identity])
        return stored

    async def get(self, identity: str) -> Stored[E]:
        """The entity. Raises NotFound."""
        stored = await self.find_stored(identity)
        if stored is None:
            raise NotFound(self._missing.format(identity))
        return stored

    async def find_named(self, name: str) -> Stored[E] | None:
        """The entity that has a unique name, if there is one."""
        return await self._registry.find_named(self._kind, name)

    async def change(
        self,
        identity: str,
        change: Callable[[E], E],
        prepare: Callable[[E, E], Awaitable[None]] | None = None,
    ) -> E:
        """Apply a change to the entity as it is now, again and again until nobody came between.

        `prepare`: what has to be done before each try, of the entity as it was and as it will be.
        Raises NotFound, Conflict.
        """
        for _ in range(MOST_TRIES):
            before = await self.get(identity)
            after = change(before.entity)
            if prepare is not None:
                await prepare(before.entity, after)
            try:
                await self._registry.write(Write(before, after))
            except Conflict:
                now = await self.find_stored(identity)
                # Unchanged since: the conflict is about something else, such as a name that is
                # taken.
                if now is not None and now.version == before.version:
                    raise
            else:
                return after
        raise Conflict(f"{identity} is being changed by others all the time; try again")

    async def page(
        self, owner: Any, keep: Callable[[E], bool] | None, offset: int, count: int
    ) -> Page[E]:
        """A part of the list, newest first: all, or an owner's; with `keep`, only those that it
        accepts.
        """
        if keep is None:
            return await self._registry.page(self._kind, owner, offset, count)
        kept = [entity for entity in await self.all(owner) if keep(entity)]
        return Page(tuple(kept[offset : offset + count]), len(kept))

    async def all(self, owner: Any = None) -> list[E]:
        """The whole list."""
        return [entity async for chunk in self.chunks(owner) for entity in chunk]

    async def chunks(self, owner: Any = None) -> AsyncIterator[Sequence[E]]:
        """The whole list, newest first, in parts."""
        at = 0
        while True:
            page = await self._registry.page(self._kind, owner, at, _CHUNK)
            yield page.entities
            at += _CHUNK
            if at >= page.total:
                return
