"""Settled requests in Valkey: a stream, written by settle.lua with every settlement."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from tollgate.adapters.valkey.client import store_errors
from tollgate.adapters.valkey.keys import organization_keys
from tollgate.core.ledger import Record
from tollgate.ports import Settled

_decode = msgspec.json.Decoder(Record).decode


class ValkeyLedger:
    """The port `Ledger` on Valkey."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def records(self, organization: str, since_us: int, until_us: int, count: int) -> list[Settled]:
        """The newest records of a time, newest first."""
        stream = organization_keys(organization)[1]
        with store_errors():
            entries: Any = await self._client.xrevrange(
                stream, max=max(0, until_us // 1000), min=max(0, since_us // 1000), count=count
            )
        # An entry holds what was settled at once, the newest last; its id begins with the milliseconds at which it was written.
        found = [
            Settled(int(name.partition(b"-")[0]) * 1000, _decode(text))
            for name, fields in entries
            for text in reversed(fields.values())
        ]
        return found[:count]
