"""The port `RefusalLog` on Valkey."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import ORGANIZATIONS, refusals_key
from tollgate.core.calls.records import find_begin_us
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.errors import BadRequest
from tollgate.ports import LedgerQuery
from tollgate.ports.event_ports import RefusalPage, matches

_ENTRIES = 500
# A refusal is written within seconds, by a worker whose clock may be minutes beside the store's.
_LATEST_WRITE_MS = 300_000
_CURSOR = re.compile(r"([0-9]{1,16})-([0-9]{1,16})-(.*)")

_decode = msgspec.json.Decoder(RefusalRecord).decode
_encode = msgspec.json.Encoder().encode


class _Place(NamedTuple):
    """Where a record stands: the greater, the newer."""

    milliseconds: int
    sequence: int
    organization: str


class ValkeyRefusalLog:
    """Reads the streams, newest first."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> RefusalPage:
        """Return at most `count` records, the last written first."""
        before = None if cursor is None else _parsed(cursor)
        span = _span(query)
        if span is None:
            return RefusalPage(())
        names = [query.organization] if query.organization else await self._organizations()
        found: list[tuple[_Place, RefusalRecord]] = []
        for name in names:
            # One more than asked for tells whether there is another page.
            found += await self._newest(name, query, span, before, count + 1)
        found.sort(key=lambda each: each[0], reverse=True)
        records = tuple(record for _, record in found[:count])
        return RefusalPage(records, _shown(found[count - 1][0]) if len(found) > count else None)

    async def _newest(
        self,
        organization: str,
        query: LedgerQuery,
        span: tuple[str, str],
        before: _Place | None,
        count: int,
    ) -> list[tuple[_Place, RefusalRecord]]:
        """Return the newest matching records of one organization."""
        key, needles = refusals_key(organization), _needles(query)
        (oldest, newest), found = span, list[tuple[_Place, RefusalRecord]]()
        if before is not None:
            newest = f"{before.milliseconds}-{before.sequence}"
        while True:
            with store_errors():
                entries: Any = await self._client.xrevrange(key, newest, oldest, count=_ENTRIES)
            for name, fields in entries:
                milliseconds, sequence = map(int, name.split(b"-"))
                place = _Place(milliseconds, sequence, organization)
                (text,) = fields.values()
                if (before is not None and place >= before) or not all(
                    needle in text for needle in needles
                ):
                    continue
                if matches(query, record := _decode(text)):
                    found.append((place, record))
                    if len(found) == count:
                        return found
            if len(entries) < _ENTRIES:
                return found
            newest = f"({entries[-1][0].decode()}"

    async def _organizations(self) -> list[str]:
        with store_errors():
            names: Any = await self._client.smembers(ORGANIZATIONS)  # type: ignore[misc]
        return sorted(name.decode() for name in names)


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


def _shown(place: _Place) -> str:
    return f"{place.milliseconds}-{place.sequence}-{quote(place.organization, safe='')}"


def _parsed(cursor: str) -> _Place:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest("cursor is none that a former answer told", "cursor")
    return _Place(int(match[1]), int(match[2]), unquote(match[3]))
