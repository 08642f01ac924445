"""The ports `RefusalLog` and `RefusalStream` on Valkey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import ORGANIZATIONS, refusals_key
from tollgate.core.calls.records import find_begin_us
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.ports import LedgerQuery
from tollgate.ports.event_ports import PlacedRefusal, RefusalPlace, matches

_ENTRIES = 500
# A refusal is written within seconds, by a worker whose clock may be minutes beside the store's.
_LATEST_WRITE_MS = 300_000

_decode = msgspec.json.Decoder(RefusalRecord).decode
_encode = msgspec.json.Encoder().encode


class ValkeyRefusalLog:
    """Reads the streams, newest first for people, oldest first for the history."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def newest(
        self, query: LedgerQuery, count: int, before: RefusalPlace | None
    ) -> list[PlacedRefusal]:
        """Return at most `count` records before a place, the last written first."""
        span = _span(query)
        if span is None:
            return []
        names = [query.organization] if query.organization else await self.organizations()
        found: list[PlacedRefusal] = []
        for name in names:
            found += await self._newest(name, query, span, before, count)
        found.sort(key=lambda each: each.place, reverse=True)
        return found[:count]

    async def organizations(self) -> list[str]:
        """Return who may have refusals."""
        with store_errors():
            names: Any = await self._client.smembers(ORGANIZATIONS)  # type: ignore[misc]
        return sorted(name.decode() for name in names)

    async def after(self, organization: str, place: RefusalPlace | None) -> list[PlacedRefusal]:
        """Return some records behind a place, in their order."""
        oldest = "-" if place is None else f"({place.milliseconds}-{place.sequence}"
        with store_errors():
            entries: Any = await self._client.xrange(
                refusals_key(organization), oldest, "+", count=_ENTRIES
            )
        return [
            PlacedRefusal(_place(name, organization), _decode(_text(fields)))
            for name, fields in entries
        ]

    async def _newest(
        self,
        organization: str,
        query: LedgerQuery,
        span: tuple[str, str],
        before: RefusalPlace | None,
        count: int,
    ) -> list[PlacedRefusal]:
        """Return the newest matching records of one organization."""
        key, needles = refusals_key(organization), _needles(query)
        (oldest, newest), found = span, list[PlacedRefusal]()
        if before is not None:
            newest = f"{before.milliseconds}-{before.sequence}"
        while True:
            with store_errors():
                entries: Any = await self._client.xrevrange(key, newest, oldest, count=_ENTRIES)
            for name, fields in entries:
                place, text = _place(name, organization), _text(fields)
                if (before is not None and place >= before) or not all(
                    needle in text for needle in needles
                ):
                    continue
                if matches(query, record := _decode(text)):
                    found.append(PlacedRefusal(place, record))
                    if len(found) == count:
                        return found
            if len(entries) < _ENTRIES:
                return found
            newest = f"({entries[-1][0].decode()}"


def _span(query: LedgerQuery) -> tuple[str, str] | None:
    """Return the ids between which matching records can be; None: there can be none."""
    since_us, until_us = query.since_us, query.until_us
    if query.request_id is not None:
        since_us = until_us = find_begin_us(query.request_id)
        if since_us is None:
            return None
    oldest = "-" if since_us is None else str(max(0, since_us // 1000 - _LATEST_WRITE_MS))
    newest = "+" if until_us is None else str(max(0, until_us // 1000 + _LATEST_WRITE_MS))
    return oldest, newest


def _needles(query: LedgerQuery) -> list[bytes]:
    """Return what the text of a matching record contains: most need not be decoded."""
    named: Sequence[str | None] = (*query.payers, query.model, query.request_id)
    return [_encode(each) for each in named if each is not None]


def _place(name: bytes, organization: str) -> RefusalPlace:
    milliseconds, sequence = map(int, name.split(b"-"))
    return RefusalPlace(milliseconds, sequence, organization)


def _text(fields: Mapping[bytes, bytes]) -> bytes:
    (text,) = fields.values()
    return text
