"""Which deployments cool down, shared by the workers of all gateways on one store.

One hash, written when a deployment begins to cool down, read about once a second.
"""

from __future__ import annotations

from typing import Any

from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import COOLDOWNS


class SharedCooldowns:
    """Deployments and until when they cool down, in microseconds since the epoch.

    Every method raises StoreUnavailable.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def add(self, deployment: str, until_us: int, longest_ms: int) -> None:
        """Note that a deployment cools down.

        Notes go `longest_ms` after the last one.
        """
        await self._ask(b"HSET", COOLDOWNS, deployment, str(until_us))
        await self._ask(b"PEXPIRE", COOLDOWNS, str(longest_ms))

    async def find(self) -> dict[str, int]:
        """Return every deployment that may cool down, with until when."""
        found = await self._ask(b"HGETALL", COOLDOWNS)
        return {
            name.decode(): int(until_us)
            for name, until_us in zip(found[::2], found[1::2], strict=True)
        }

    async def _ask(self, *command: str | bytes) -> Any:
        try:
            return await self._pipe.call(*command)
        except ReplyError as error:
            raise unavailable(error) from error
