"""The port `LedgerStream` on Valkey: the ledger's streams from their oldest entry on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import ORGANIZATIONS, organization_keys
from tollgate.core.calls.records import Record
from tollgate.history_ports import StreamedRecords
from tollgate.ports import Settled

# An entry holds up to 64 records, so one part stays below some megabytes and one transaction short.
_ENTRIES = 200

_decode = msgspec.json.Decoder(Record).decode


class ValkeyLedgerStream:
    """Reads the streams. A position is the id of an entry, all of whose records come together."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def organizations(self) -> Sequence[str]:
        """Return who has a ledger."""
        with store_errors():
            names: Any = await self._client.smembers(ORGANIZATIONS)  # type: ignore[misc]
        return sorted(name.decode() for name in names)

    async def after(self, organization: str, position: str | None) -> StreamedRecords | None:
        """Return some records behind a position (None: from the oldest on); None: none is there."""
        oldest = "-" if position is None else f"({position}"
        key = organization_keys(organization)[1]
        with store_errors():
            entries: Any = await self._client.xrange(key, oldest, "+", count=_ENTRIES)
        if not entries:
            return None
        records = tuple(
            Settled(int(name.partition(b"-")[0]) * 1000, _decode(text))
            for name, fields in entries
            for text in fields.values()
        )
        return StreamedRecords(records, entries[-1][0].decode())
