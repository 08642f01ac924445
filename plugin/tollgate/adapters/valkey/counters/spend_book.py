"""Corrections of spend in Valkey. A scope's state is that of counters.lua (STATE)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import CHANGES_CHANNEL, scope_key, slots_key
from tollgate.core.limits.accounts import Account, Scope
from tollgate.core.limits.period import period_start_us
from tollgate.ports import Succession

_READ = """
local stored = redis.call('GET', KEYS[1]) or string.rep('\\0', 64)
local used = string.sub(stored, 25, 32)
local held, period = struct.unpack('<i8i8', stored, 33)
"""
_WRITE = """
local money = used .. struct.pack('<i8i8', held, period)
redis.call('SET', KEYS[1], string.sub(stored, 1, 24) .. money .. string.sub(stored, 49))
return 0
"""
# KEYS[1] the scope   ARGV[1] start of the current period, us   ARGV[2] nano-dollars, as eight bytes
# Workers forget whom they know to have spent too much. A settlement that has moved on to a later
# period meanwhile keeps that period.
_SET = f"""{_READ}
used, period = ARGV[2], math.max(period, tonumber(ARGV[1]))
redis.call('PUBLISH', '{CHANGES_CHANNEL}', 'spend')
{_WRITE}"""
# KEYS[1] the scope   ARGV[1] start of the period that was current, us   ARGV[2] start of the one
# that takes its place
_CARRY = f"""{_READ}
if tonumber(ARGV[1]) > period then
  used = string.rep('\\0', 8)
end
period = math.max(period, tonumber(ARGV[1]), tonumber(ARGV[2]))
{_WRITE}"""


class ValkeySpendBook:
    """The port `SpendBook` on Valkey."""

    def __init__(self, client: Valkey) -> None:
        self._client = client
        self._set = client.register_script(_SET)
        self._carry = client.register_script(_CARRY)

    async def set_spend(self, organization: str, account: Account, nanousd: int) -> None:
        """Say what the scope has spent in its current period, by the store's clock."""
        with store_errors():
            start_us = period_start_us(account.period, await self._now_us())
            place = scope_key(organization, account.scope)
            await self._set(keys=[place], args=[start_us, struct.pack("<q", nanousd)])

    async def carry(self, organization: str, successions: Sequence[Succession]) -> None:
        """Let what is spent in periods that are current stay spent in those that take their place."""
        with store_errors():
            now_us = await self._now_us()
            pipeline = self._client.pipeline(transaction=False)
            for each in successions:
                # The next period's start is told by whoever starts it, whatever the store's clock
                # says.
                starts = period_start_us(each.before, now_us), each.after.start_us
                await self._carry(
                    keys=[scope_key(organization, each.scope)], args=starts, client=pipeline
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
