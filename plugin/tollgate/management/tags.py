"""Manage tags: values of the dimension `tag` that have limits of their own."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.core.entities import Tag
from tollgate.management.nouns import Noun
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Clock, Registry, Write


class Tags(Noun[Tag]):
    """The use cases on tags."""

    def __init__(self, registry: Registry, spending: Spending, clock: Clock) -> None:
        super().__init__(registry, spending, clock, Tag, "Tag {} not found")

    async def several(self, identities: Sequence[str]) -> list[Live[Tag]]:
        """Return those of the given tags that exist."""
        found = await self.registry.get(Tag, list(dict.fromkeys(identities))) if identities else []
        return await self.live([stored.entity for stored in found if stored is not None])

    async def delete(self, identity: str) -> None:
        """Delete a tag with its counters. The ledger stays. Raises NotFound."""
        stored = await self.entities.get(identity)
        await self.registry.write(Write(stored, None))
        await self.spending.forget([stored.entity])
