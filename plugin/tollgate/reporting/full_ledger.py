"""The ledger of the store, continued by the history: lists reach as far back as either does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tollgate.core.errors import BadRequest
from tollgate.ports import Ledger, LedgerPage, LedgerQuery, Settled
from tollgate.ports.history_ports import History, HistoryPlace, LedgerStream

_CURSOR = re.compile(r"history-([0-9]{1,19})-([^/]*)")
_NEWEST_US = 2**63 - 1


class FullLedger:
    """The port `Ledger`: first what the store has, then older records of the history.

    The store removes a record only some time after it is recorded, so nothing lies between.
    """

    def __init__(self, store: Ledger, stream: LedgerStream, history: Callable[[], History]) -> None:
        self._store = store
        self._stream = stream
        self._history = history

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> LedgerPage:
        """Return at most `count` records, latest first, from a former page's cursor on.

        Raises BadRequest for a cursor that no page returned.
        """
        if cursor is not None and cursor.startswith("history-"):
            return await self._of_history((), query, count, _place(cursor))
        page = await self._store.page(query, count, cursor)
        if page.cursor is not None:
            return page
        if query.request_id is not None and page.records:
            return page
        # While the list is read, the store may remove what a former page has shown already.
        shown = None
        if cursor is not None and (milliseconds := cursor.partition("-")[0]).isdigit():
            shown = HistoryPlace(int(milliseconds) * 1000 + 1, "")
        return await self._of_history(page.records, query, count, shown)

    async def _of_history(
        self,
        found: Sequence[Settled],
        query: LedgerQuery,
        count: int,
        place: HistoryPlace | None,
    ) -> LedgerPage:
        """Return what was found, and behind it records that the store has no more."""
        before = {}
        for name in await self._stream.organizations():
            if (oldest_us := await self._stream.oldest_us(name)) is not None:
                before[name] = oldest_us
        missing = count - len(found)
        more = await self._history().page(query, missing + 1, before, place)
        records = (*found, *more[:missing])
        if len(more) <= missing:
            return LedgerPage(records)
        if missing:
            last = more[missing - 1]
            return LedgerPage(records, f"history-{last.settled_us}-{last.record.id}")
        newest = _NEWEST_US if place is None else place.settled_us
        return LedgerPage(records, f"history-{newest}-")


def _place(cursor: str) -> HistoryPlace:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest("cursor is none that a former answer told", "cursor")
    return HistoryPlace(int(match[1]), match[2])
