"""Settled requests in Valkey: a stream for each organization, written by settle.lua with every
settlement.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import ORGANIZATIONS, organization_keys
from tollgate.core.calls import record_text
from tollgate.core.calls.records import Record, find_begin_us, organization_of_record
from tollgate.core.errors import BadRequest
from tollgate.ports import LedgerPage, LedgerQuery, Settled

# Entries read at once. One holds up to 64 records, so that a page of them stays below some
# megabytes, which a store sends within the time that a command may take.
_ENTRIES = 200
# The stream is in the order of settlement. A call is settled within a day of its admission, and a
# worker's clock, which dates the admission, may be some minutes ahead of the store's.
_LONGEST_CALL_MS = 25 * 3600 * 1000
_CLOCK_SKEW_MS = 300 * 1000
# Where a request of a known id is looked for, in ms after its admission: most calls end within
# seconds.
_WINDOWS_MS = (-_CLOCK_SKEW_MS, 5_000, 30_000, 120_000, 600_000, 3_600_000, _LONGEST_CALL_MS)
_CURSOR = re.compile(r"([0-9]{1,16})-([0-9]{1,16})-([0-9]{1,6})-(.*)")

_encode = msgspec.json.Encoder().encode


class _Place(NamedTuple):
    """Where a record stands.

    The greater, the newer; no two records of all organizations share one.
    """

    milliseconds: int
    sequence: int
    number: int
    organization: str

    @property
    def entry(self) -> str:
        """The id of the stream entry that holds it."""
        return f"{self.milliseconds}-{self.sequence}"


_Chunk = list[tuple[_Place, bytes]]
"""Records in their order, each as the text that it is kept as."""


class _Span(NamedTuple):
    """A part of a stream, in milliseconds of settlement, both included; `newest` None:
    to its end.
    """

    oldest: int
    newest: int | None


class ValkeyLedger:
    """The port `Ledger` on Valkey."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> LedgerPage:
        """Return at most `count` records, the last settled first."""
        before = None if cursor is None else _parsed(cursor)
        mentions, found = _mentions(query), list[tuple[_Place, Record]]()
        for span in _spans(query):
            async for chunk in self._chunks(span, before):
                for place, text in chunk:
                    if not mentions(text) or not query.matches(record := record_text.decode(text)):
                        continue
                    if query.organization in (
                        None,
                        organization_of_record(record, place.organization),
                    ):
                        if len(found) == count:
                            return LedgerPage(_settled(found), _shown(found[-1][0]))
                        found.append((place, record))
            if found and query.request_id is not None:
                break
        return LedgerPage(_settled(found))

    async def _chunks(self, span: _Span, before: _Place | None) -> AsyncIterator[_Chunk]:
        """Records of a span, newest first.

        Of all organizations: who moved to another is still in the ledger of the first.
        """
        streams = [self._stream(name, span, before) for name in await self._organizations()]
        if len(streams) == 1:
            async for chunk in streams[0]:
                yield chunk
            return
        # Of several streams, what is not older than the newest record that is still to be read of
        # any.
        waiting = {
            number: chunk for number, each in enumerate(streams) if (chunk := await anext(each, []))
        }
        while waiting:
            bound = max(chunk[-1][0] for chunk in waiting.values())
            ready = [each for chunk in waiting.values() for each in chunk if each[0] >= bound]
            yield sorted(ready, reverse=True)
            for number, chunk in tuple(waiting.items()):
                rest = [each for each in chunk if each[0] < bound] or await anext(
                    streams[number], []
                )
                if rest:
                    waiting[number] = rest
                else:
                    del waiting[number]

    async def _stream(
        self, organization: str, span: _Span, before: _Place | None
    ) -> AsyncIterator[_Chunk]:
        key = organization_keys(organization)[1]
        newest = "+" if span.newest is None else str(span.newest)
        if before is not None and (span.newest is None or before.milliseconds <= span.newest):
            newest = before.entry
        while True:
            with store_errors():
                entries: Any = await self._client.xrevrange(
                    key, newest, str(span.oldest), count=_ENTRIES
                )
            chunk: _Chunk = []
            for name, fields in entries:
                milliseconds, sequence = map(int, name.split(b"-"))
                texts = list(fields.values())
                # An entry holds what was settled at once, the newest last.
                for number in range(len(texts) - 1, -1, -1):
                    chunk.append(
                        (_Place(milliseconds, sequence, number, organization), texts[number])
                    )
            if before is not None:
                chunk = [each for each in chunk if each[0] < before]
            if chunk:
                yield chunk
            if len(entries) < _ENTRIES:
                return
            newest = f"({entries[-1][0].decode()}"

    async def _organizations(self) -> list[str]:
        with store_errors():
            names: Any = await self._client.smembers(ORGANIZATIONS)  # type: ignore[misc]
        return sorted(name.decode() for name in names)


def _spans(query: LedgerQuery) -> list[_Span]:
    """Where records that match can be.

    There is no index by id, which every settlement would pay for: a request's id tells when it was
    admitted.
    """
    if query.request_id is not None:
        begin_us = find_begin_us(query.request_id)
        if begin_us is None:
            return []
        edges = [max(0, begin_us // 1000 + each) for each in _WINDOWS_MS]
        return [_Span(oldest, newest) for oldest, newest in pairwise(edges)]
    oldest = 0 if query.since_us is None else max(0, query.since_us // 1000 - _CLOCK_SKEW_MS)
    newest = None if query.until_us is None else max(0, query.until_us // 1000 + _LONGEST_CALL_MS)
    return [_Span(oldest, newest)]


def _mentions(query: LedgerQuery) -> Callable[[bytes], bool]:
    """Tell by a record's text whether it can match at all: most need not be decoded."""
    named: Sequence[str | None] = (*query.payers, query.model, query.request_id, query.deployment)
    needles = tuple(_encode(each) for each in named if each is not None)
    return lambda text: all(needle in text for needle in needles)


def _settled(found: Sequence[tuple[_Place, Record]]) -> tuple[Settled, ...]:
    return tuple(Settled(place.milliseconds * 1000, record) for place, record in found)


def _shown(place: _Place) -> str:
    return f"{place.entry}-{place.number}-{quote(place.organization, safe='')}"


def _parsed(cursor: str) -> _Place:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest("cursor is none that a former answer told", "cursor")
    return _Place(int(match[1]), int(match[2]), int(match[3]), unquote(match[4]))
