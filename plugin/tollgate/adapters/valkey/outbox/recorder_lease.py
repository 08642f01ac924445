"""The port `Lease` on Valkey: of several recorders on one store, one works."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import RECORDER

_HELD_MS = 5_000
# Take the lease, or extend it if it is ours.
_TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class ValkeyLease:
    """A key with an expiry; its value names the holder."""

    def __init__(self, client: Valkey) -> None:
        self._client = client
        self._token = token_hex(8)

    async def take(self) -> bool:
        """Take or extend the lease; return whether it is ours, for the next 5 seconds."""
        with store_errors():
            taken: Any = await self._client.eval(_TAKE, 1, RECORDER, self._token, str(_HELD_MS))  # type: ignore[misc]
        return bool(taken)

    async def give_back(self) -> None:
        """Let another recorder begin at once."""
        with store_errors():
            await self._client.eval(_GIVE_BACK, 1, RECORDER, self._token)  # type: ignore[misc]
