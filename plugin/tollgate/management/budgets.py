"""Manage budgets: sets of limits that keys and customers share by id. A budget
itself spends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tollgate.core.audit import kind_name
from tollgate.core.entities import BUDGETED, Budget, Budgeted, Key
from tollgate.core.errors import BadRequest, Conflict
from tollgate.management.nouns import Noun
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Clock, Page, Registry, Write

_MOST_NAMED = 5  # of each kind, in an error


class Budgets(Noun[Budget]):
    """The use cases on budgets."""

    def __init__(
        self,
        registry: Registry,
        spending: Spending,
        clock: Clock,
        of_customers: str | None = None,
    ) -> None:
        """Manage them; `of_customers`: the one that the configuration gives to customers."""
        super().__init__(
            registry, spending, clock, Budget, "Budget not found, passed budget_id={}."
        )
        self._of_customers = of_customers

    async def live(self, entities: Sequence[Budget]) -> list[Live[Budget]]:
        """Return budgets, each with the end of a period counted from its own creation.

        Entities that use a budget count periods from their own creation.
        """
        now_us = self.clock.now_us()
        return [
            Live(
                each,
                reset_us=each.limits.spend_period(now_us).end_us or None,
            )
            for each in entities
        ]

    async def several(self, identities: Sequence[str]) -> list[Live[Budget]]:
        """Return those of the given budgets that exist."""
        if not identities:
            raise BadRequest("Specify list of budget id's to query. Passed in=[]", "budgets")
        found = await self.registry.get(Budget, list(dict.fromkeys(identities)))
        return await self.live([stored.entity for stored in found if stored is not None])

    async def check(self, budget_id: str | None) -> None:
        """Raise BadRequest for an unknown budget, whose user would otherwise have no limits."""
        if budget_id is not None and await self.entities.find_stored(budget_id) is None:
            raise BadRequest(
                f"budget_id={budget_id} does not exist; make it with /budget/new", "budget_id"
            )

    async def delete(self, identity: str) -> Live[Budget]:
        """Delete an unused budget.

        Raises NotFound, or Conflict naming its users.
        """
        stored = await self.entities.get(identity)
        if identity == self._of_customers:
            raise Conflict(
                f"Budget {identity} is that of all customers without limits of their own:"
                " litellm_settings.max_end_user_budget_id names it. Name another one there first."
            )
        try:
            await self.registry.write(Write(stored, None))
        except Conflict as conflict:
            if users := await self._users_of(stored.entity):
                raise Conflict(
                    f"Budget {identity} is in use by {users}. Give them another one first."
                ) from conflict
            raise
        return await self.live_one(stored.entity)

    async def _users_of(self, budget: Budget) -> str:
        """Return the users of a budget in words; empty if there are none."""
        named, total = list[str](), 0
        kind: Any
        for kind in BUDGETED:
            page: Page[Any] = await self.registry.page(kind, budget, 0, _MOST_NAMED)
            named += [f"{kind_name(kind)} {_shown(each)}" for each in page.entities]
            total += page.total
        more = total - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")


def _shown(entity: Budgeted) -> str:
    return entity.alias or entity.name if isinstance(entity, Key) else entity.id
