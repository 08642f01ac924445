"""The port `EventPositions` on Valkey: how far each sink has what was settled."""

from __future__ import annotations

from typing import Any

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import EVENTS


class ValkeyEventPositions:
    """A hash: the sink and the organization, separated by a line break, to a position."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def find(self, sink: str, organization: str) -> str | None:
        """Return how far a sink has an organization's ledger; None: not at all."""
        with store_errors():
            found: Any = await self._client.hget(EVENTS, f"{sink}\n{organization}")  # type: ignore[misc]
        return None if found is None else found.decode()

    async def move(self, sink: str, organization: str, position: str) -> None:
        """Write how far a sink has an organization's ledger."""
        with store_errors():
            await self._client.hset(EVENTS, f"{sink}\n{organization}", position)  # type: ignore[misc]
