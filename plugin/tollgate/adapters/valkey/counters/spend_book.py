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


class ValkeySpendBook:
    """The port `SpendBook` on Valkey."""

    def __init__(self, client: Valkey) -> None:
        self._client = client
        self._correct = client.register_script(SPEND.source)

    async def set_spend(self, organization: str, account: Account, nanousd: int) -> None:
        """Say what the scope has spent in its current period, by the store's clock."""
        with store_errors():
            start_us = period_start_us(account.period, await self._now_us())
            place = scope_key(organization, account.scope)
            spent = struct.pack("<q", nanousd)
            await self._correct(keys=[place], args=["set", start_us, spent, CHANGES_CHANNEL])

    async def carry(self, organization: str, successions: Sequence[Succession]) -> None:
        """Let what is spent in periods that are current stay spent in those that
        take their place.
        """
        with store_errors():
            now_us = await self._now_us()
            pipeline = self._client.pipeline(transaction=False)
            for each in successions:
                # The next period's start is told by whoever starts it, whatever the store's clock
                # says.
                starts = period_start_us(each.before, now_us), each.after.start_us
                name = 0
                if each.limit is not None:
                    name = counter_name(each.limit.meter, 0, each.limit.duration)
                await self._correct(
                    keys=[scope_key(organization, each.scope)],
                    args=["carry", *starts, name],
                    client=pipeline,
                )
            await pipeline.execute()

    async def forget(self, organization: str, scopes: Sequence[Scope]) -> None:
        """Remove the counters of scopes."""
        names = [make(organization, each) for each in scopes for make in (scope_key, slots_key)]
        if names:
            with store_errors():
                await self._client.unlink(*names)

    async def _now_us(self) -> int:
        seconds, micros = await self._client.time()
        return int(seconds) * 1_000_000 + int(micros)
