"""Budgets: sets of limits that keys and customers share by id. A budget itself spends nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.core.duration import period_at
from tollgate.core.entities import Budget
from tollgate.core.errors import BadRequest
from tollgate.management.nouns import Noun
from tollgate.management.spending import Live, Spending
from tollgate.ports import Clock, Registry, Write


class Budgets(Noun[Budget]):
    """The use cases on budgets."""

    def __init__(self, registry: Registry, spending: Spending, clock: Clock) -> None:
        super().__init__(registry, spending, clock, Budget, "Budget not found, passed budget_id={}.")

    async def live(self, entities: Sequence[Budget]) -> list[Live[Budget]]:
        """Budgets, and when a period counted from their own creation ends: what uses them counts from its own."""
        now_us = self.clock.now_us()
        return [
            Live(
                each,
                reset_us=period_at(
                    each.limits.budget_duration, each.limits.budget_since_us, now_us, each.limits.calendar_timezone
                ).end_us
                or None,
            )
            for each in entities
        ]

    async def several(self, identities: Sequence[str]) -> list[Live[Budget]]:
        """Those of some budgets that exist."""
        if not identities:
            raise BadRequest("Specify list of budget id's to query. Passed in=[]", "budgets")
        found = await self.registry.get(Budget, list(dict.fromkeys(identities)))
        return await self.live([stored.entity for stored in found if stored is not None])

    async def delete(self, identity: str) -> Live[Budget]:
        """Delete a budget. What used it keeps its own limits, and loses those of the budget."""
        stored = await self.entities.get(identity)
        await self.registry.write(Write(stored, None))
        return await self.live_one(stored.entity)
