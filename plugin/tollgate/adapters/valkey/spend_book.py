"""Corrections of spend in Valkey."""

from __future__ import annotations

from redis.asyncio import Redis

from tollgate.adapters.valkey.client import store_errors
from tollgate.adapters.valkey.keys import scope_key
from tollgate.core.budget import period_start_us
from tollgate.core.entities import Account

# KEYS[1] the scope (of its STATE in counters.lua: used, held, period)   ARGV[1] start of the current period, us   ARGV[2] nano-dollars
# A settlement that has moved on to a later period meanwhile keeps that period.
_SCRIPT = """
local stored = redis.call('GET', KEYS[1]) or string.rep('\\0', 64)
local _, held, period = struct.unpack('<i8i8i8', stored, 25)
local money = struct.pack('<i8i8i8', tonumber(ARGV[2]), held, math.max(period, tonumber(ARGV[1])))
redis.call('SET', KEYS[1], string.sub(stored, 1, 24) .. money .. string.sub(stored, 49))
return 0
"""


class ValkeySpendBook:
    """The port `SpendBook` on Valkey."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)

    async def set_spend(self, organization: str, account: Account, nanousd: int) -> None:
        """Say what the scope has spent in its current period, by the store's clock."""
        with store_errors():
            seconds, micros = await self._client.time()
            start_us = period_start_us(account.period, seconds * 1_000_000 + micros)
            await self._script(keys=[scope_key(organization, account.scope)], args=[start_us, nanousd])
