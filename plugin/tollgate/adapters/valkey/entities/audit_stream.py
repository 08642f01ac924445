"""The audit log in Valkey: a bounded stream, written by registry.lua with every change."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import AUDIT
from tollgate.core.audit import AuditEntry
from tollgate.core.errors import BadRequest
from tollgate.ports.audit_ports import AuditedAt, AuditPage, AuditQuery

# The most entries that are read at once. Most are below a kilobyte.
_LARGEST_CHUNK = 2_000
_CURSOR = re.compile(r"[0-9]{1,16}-[0-9]{1,16}")
_decode = msgspec.json.Decoder(AuditEntry).decode


class ValkeyAuditLog:
    """The port `AuditLog` on Valkey."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def page(self, query: AuditQuery, count: int, cursor: str | None = None) -> AuditPage:
        """Return at most `count` entries, the newest first."""
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise BadRequest("cursor is none that a former answer told", "cursor")
        oldest, newest = _bounds(query, cursor)
        # Most entries need not be decoded to see that they do not match.
        needles = [msgspec.json.encode(each) for each in (query.kind, query.id) if each is not None]
        found: list[tuple[str, AuditEntry]] = []
        # What nothing filters is on the first entries; what is rare is far away.
        chunk = count + 1
        while True:
            with store_errors():
                rows: Any = await self._client.xrevrange(AUDIT, newest, oldest, count=chunk)
            for name, row in rows:
                text = row[b"entry"]
                if not all(needle in text for needle in needles):
                    continue
                if _matches(query, entry := _decode(text)):
                    if len(found) == count:
                        return AuditPage(_dated(found), found[-1][0])
                    found.append((name.decode(), entry))
            if len(rows) < chunk:
                return AuditPage(_dated(found))
            newest = f"({rows[-1][0].decode()}"
            chunk = max(chunk, min(4 * chunk, _LARGEST_CHUNK))


def _bounds(query: AuditQuery, cursor: str | None) -> tuple[str, str]:
    """Return the ids of the oldest and the newest entry that can match, in XREVRANGE's words."""
    since_ms = 0 if query.since_us is None else max(0, -(-query.since_us // 1000))
    newest = "+" if cursor is None else f"({cursor}"
    if query.until_us is not None:
        until_ms = query.until_us // 1000
        if until_ms < 0:
            return "1-0", "0-1"  # no entry is as old
        if cursor is None or until_ms < int(cursor.partition("-")[0]):
            newest = str(until_ms)
    return f"{since_ms}-0", newest


def _matches(query: AuditQuery, entry: AuditEntry) -> bool:
    return query.kind in (None, entry.change.kind) and query.id in (None, entry.change.id)


def _dated(found: list[tuple[str, AuditEntry]]) -> tuple[AuditedAt, ...]:
    return tuple(AuditedAt(int(name.partition("-")[0]) * 1000, entry) for name, entry in found)
