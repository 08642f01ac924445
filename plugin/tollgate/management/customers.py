"""Manage customers: the end users whom the `user` field of a body names.

Default limits apply to unregistered customers too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tollgate.core.entities import Customer
from tollgate.core.limits.accounts import Scope, ScopeKind
from tollgate.management.nouns import Noun
from tollgate.management.spending.spending import NOTHING, Live, Spending
from tollgate.ports import Clock, Registry, Write


class Customers(Noun[Customer]):
    """The use cases on customers."""

    def __init__(self, registry: Registry, spending: Spending, clock: Clock) -> None:
        super().__init__(registry, spending, clock, Customer, "End User Id={} does not exist in db")

    async def find_seen(self, identity: str) -> tuple[Live[Customer], bool]:
        """Return the customer, and whether it is registered.

        Calls may have spent in the name of an unregistered customer. Raises NotFound if it is
        neither registered nor known from calls.
        """
        stored = await self.entities.find_stored(identity)
        if stored is not None:
            return await self.live_one(stored.entity), True
        spend = await self.spending.unregistered(Scope(ScopeKind.CUSTOMER, identity))
        if spend == NOTHING:
            await self.entities.get(identity)
        return Live(Customer(identity), spend), False

    async def delete(self, identities: Sequence[str]) -> int:
        """Delete customers, all or none; return their number."""
        found = await self.stored(identities)
        await self.registry.write(*(Write(each, None) for each in found))
        await self.spending.forget([each.entity for each in found])
        return len(found)

    async def set_blocked(
        self, identities: Sequence[str], *, blocked: bool
    ) -> list[Live[Customer]]:
        """Block or unblock customers; an unregistered one is registered by it."""
        done = []
        for identity in dict.fromkeys(identities):
            if await self.entities.find_stored(identity) is None:
                done.append(
                    await self.create(
                        Customer(identity), lambda each, _: replace(each, blocked=blocked)
                    )
                )
            else:
                done.append(
                    await self.update(identity, lambda each, _: replace(each, blocked=blocked))
                )
        return done
