"""Corrections of spend in Valkey: spend.lua changes a scope's state, one at a time."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.counters.layout import counter_name
from tollgate.adapters.valkey.counters.scripts import SPEND
from tollgate.adapters.valkey.keys import CHANGES_CHANNEL, scope_key, slots_key
from tollgate.core.limits.accounts import Account, Scope
from tollgate.core.limits.period import period_start_us
from tollgate.ports import Succession

TOMBSTONE_MS = 86_400_000
"""How long it is remembered that a scope was deleted: no call in flight lasts longer."""


class ValkeySpendBook:
    """The port `SpendBook` on Valkey.

    `now_us` fixes the store's clock for tests.
    """

    def __init__(self, client: Valkey, now_us: int | None = None) -> None:
        self.now_us = now_us
        self._client = client
        self._correct = client.register_script(SPEND.source)

    async def set_spend(self, organization: str, account: Account, nanousd: int) -> None:
        """Say what the scope has spent in its current period, by the store's clock."""
        with store_errors():
            start_us = period_start_us(account.period, await self._now_us())
            place, *shares = await self.places_of(organization, account.scope)
            for key in (*shares, place):
                spent = struct.pack("<q", nanousd if key == place else 0)
                await self._correct(keys=[key], args=["set", start_us, spent, CHANGES_CHANNEL])

    async def carry(self, organization: str, successions: Sequence[Succession]) -> None:
        """Let what is spent in periods that are current stay spent in those that
        take their place.
        """
        with store_errors():
            now_us = await self._now_us()
            for each in successions:
                # The next period's start is told by whoever starts it, whatever the store's clock
                # says.
                starts = period_start_us(each.before, now_us), each.after.start_us
                name = 0
                if each.limit is not None:
                    name = counter_name(each.limit.meter, 0, each.limit.duration)
                for key in await self.places_of(organization, each.scope):
                    await self._correct(keys=[key], args=["carry", *starts, name])

    async def forget(self, organization: str, scopes: Sequence[Scope]) -> None:
        """Remove the counters of scopes.

        A tombstone stays for a while, so that calls in flight do not write them anew.
        """
        args: list[str | int] = ["remove", TOMBSTONE_MS, "" if self.now_us is None else self.now_us]
        with store_errors():
            for each in scopes:
                place, *shares = await self.places_of(organization, each)
                await self._correct(keys=[place, slots_key(organization, each)], args=args)
                for share in shares:
                    await self._correct(keys=[share], args=args)

    async def places_of(self, organization: str, scope: Scope) -> list[str]:
        """Return the keys that a scope's spend is under."""
        return [scope_key(organization, scope)]

    async def _now_us(self) -> int:
        if self.now_us is not None:
            return self.now_us
        seconds, micros = await self._client.time()
        return int(seconds) * 1_000_000 + int(micros)
