"""Corrections of spend in Valkey."""

from __future__ import annotations

from redis.asyncio import Redis

from tollgate.adapters.valkey.client import store_errors
from tollgate.adapters.valkey.keys import charge_key
from tollgate.core.budget import period_start_us
from tollgate.core.entities import Charge

# KEYS[1] the scope's spend (see keys.py)   ARGV[1] start of the current period, us   ARGV[2] nano-dollars
# A settlement that has moved on to a later period meanwhile keeps that period.
_SCRIPT = """
local period = tonumber(redis.call('HGET', KEYS[1], 'period') or '0')
if tonumber(ARGV[1]) > period then
  redis.call('HSET', KEYS[1], 'period', ARGV[1])
end
redis.call('HSET', KEYS[1], 'used', ARGV[2])
return 0
"""


class ValkeySpendBook:
    """The port `SpendBook` on Valkey."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)

    async def set_spend(self, organization: str, charge: Charge, nanousd: int) -> None:
        """Say what the scope has spent in its current period, by the store's clock."""
        with store_errors():
            seconds, micros = await self._client.time()
            start_us = period_start_us(charge.period, seconds * 1_000_000 + micros)
            await self._script(keys=[charge_key(organization, charge.kind, charge.scope)], args=[start_us, nanousd])
