"""Corrections of spend in a cluster, where organizations keep shares of what has no limit."""

from __future__ import annotations

from typing import Any

from tollgate.adapters.valkey.cluster.placement import spend_keys
from tollgate.adapters.valkey.counters.spend_book import ValkeySpendBook
from tollgate.adapters.valkey.keys import ORGANIZATIONS
from tollgate.core.limits.accounts import Scope


class ClusterSpendBook(ValkeySpendBook):
    """The port `SpendBook` on a cluster."""

    async def places_of(self, organization: str, scope: Scope) -> list[str]:
        names: Any = await self._client.smembers(ORGANIZATIONS)  # type: ignore[misc]
        place, *shares = spend_keys(organization, scope, [each.decode() for each in names])
        return [place, *[each for each in shares if await self._client.exists(each)]]
