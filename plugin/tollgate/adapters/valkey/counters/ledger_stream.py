"""The port `LedgerStream` on Valkey: the ledger's streams from their oldest entry on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import ORGANIZATIONS, organization_keys
from tollgate.ports.history_ports import SettledText, StreamedRecords, position_order

# An entry holds 1 to 64 records. A part ends at 200 entries, so that little is read or removed at
# once, or with the command that makes it a thousand records: the rows of some 12,000, which 200
# entries may hold, took 40 MB that stayed allocated. The first command asks for few entries, each
# other for twice as many, or for those that the rest of the part takes if they are as large.
_MOST_ENTRIES, _FIRST_ENTRIES = 200, 20
_RECORDS = 1_000
# A worker's clock, which dates the admission, may be some minutes ahead of the store's.
_CLOCK_SKEW_MS = 300_000


class ValkeyLedgerStream:
    """Reads the streams. A position is the id of an entry, all of whose records come together."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def organizations(self) -> Sequence[str]:
        """Return who has a ledger."""
        with store_errors():
            names: Any = await self._client.smembers(ORGANIZATIONS)  # type: ignore[misc]
        return sorted(name.decode() for name in names)

    async def after(
        self,
        organization: str,
        position: str | None,
        since_us: int | None = None,
        until: str | None = None,
    ) -> StreamedRecords | None:
        """Return some records behind a position (None: from the oldest on); None: none is there.

        A call is settled after its admission, so earlier entries hold none that `since_us` admits.
        """
        oldest = "-" if position is None else f"({position}"
        if since_us is not None:
            since_ms = max(0, since_us // 1000 - _CLOCK_SKEW_MS)
            if position is None or position_order(position) < (since_ms, 0):
                oldest = f"{since_ms}-0"
        records: list[SettledText] = []
        read, asked = 0, _FIRST_ENTRIES
        with store_errors():
            while asked:
                entries: Any = await self._client.xrange(
                    _key(organization), oldest, until or "+", count=asked
                )
                records += _records_of(entries)
                read += len(entries)
                if entries:
                    position = entries[-1][0].decode()
                    oldest = f"({position}"
                if len(entries) < asked or len(records) >= _RECORDS:
                    break
                rest = (_RECORDS - len(records)) * read // len(records)
                asked = min(rest + 1, 2 * asked, _MOST_ENTRIES - read)
        return StreamedRecords(tuple(records), position) if records and position else None

    async def oldest_us(self, organization: str, position: str | None = None) -> int | None:
        """Return when the oldest record behind a position was settled; None: there is none."""
        oldest = "-" if position is None else f"({position}"
        with store_errors():
            entries: Any = await self._client.xrange(_key(organization), oldest, "+", count=1)
        return int(entries[0][0].partition(b"-")[0]) * 1000 if entries else None

    async def length(self, organization: str) -> int:
        """Return the number of entries."""
        with store_errors():
            return int(await self._client.xlen(_key(organization)))

    async def remove_until(
        self, organization: str, position: str, settled_us: int | None = None
    ) -> None:
        """Remove the entries up to a position, included; with `settled_us` only older ones."""
        milliseconds, sequence = position_order(position)
        first_kept = (milliseconds, sequence + 1)
        if settled_us is not None:
            first_kept = min(first_kept, (settled_us // 1000, 0))
        with store_errors():
            await self._client.xtrim(
                _key(organization), minid=f"{first_kept[0]}-{first_kept[1]}", approximate=False
            )


def _records_of(entries: Iterable[Any]) -> list[SettledText]:
    found: list[SettledText] = []
    for name, fields in entries:
        settled_us = int(name.partition(b"-")[0]) * 1000
        found += [SettledText(settled_us, text) for text in fields.values()]
    return found


def _key(organization: str) -> str:
    return organization_keys(organization)[1]
