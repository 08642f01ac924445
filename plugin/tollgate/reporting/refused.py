"""Read refusals, and find one by its id."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from urllib.parse import quote, unquote

from tollgate.core.calls.record_groups import group_names
from tollgate.core.calls.records import scope_ids
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.errors import BadRequest, NotFound
from tollgate.ports import Clock, LedgerQuery
from tollgate.ports.event_ports import (
    PlacedRefusal,
    RefusalHistory,
    RefusalPage,
    RefusalPlace,
    StoredRefusals,
    matches,
)
from tollgate.ports.history_ports import DAY_US, Group

# Counts of days are cached for all visitors.
_DAYS_HOLD_US = 15_000_000
_EPOCH = date(1970, 1, 1)
_CURSOR = re.compile(r"([0-9]{1,16})-([0-9]{1,16})-(.*)")


@dataclass(slots=True)
class GroupedCounts:
    """Counts by UTC day and group; '' is what has no group."""

    cells: dict[tuple[date, str], int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def add(self, day: int, group: str, count: int) -> None:
        """Add a count of a day, in days since the epoch."""
        cell = (_EPOCH + timedelta(days=day), group)
        self.cells[cell] = self.cells.get(cell, 0) + count
        self.groups[group] = self.groups.get(group, 0) + count
        self.total += count


@dataclass(frozen=True, slots=True)
class RefusedDays:
    """How many requests were refused today and yesterday, in UTC, at one moment.

    `yesterday_so_far`: until the same time of day.
    """

    as_of_us: int
    today: int
    yesterday: int
    yesterday_so_far: int


class Refusals:
    """Reads recorded refusals, of the store and of the history, and changes nothing."""

    def __init__(
        self,
        log: StoredRefusals,
        clock: Clock,
        history: Callable[[], RefusalHistory] | None = None,
    ) -> None:
        """Prepare to read. `history` opens the history; None: there is none."""
        self._log = log
        self._clock = clock
        self._history = history
        self._days: RefusedDays | None = None
        self._counting = asyncio.Lock()

    @property
    def now_us(self) -> int:
        """Return the time that ages of refusals are counted from."""
        return self._clock.now_us()

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> RefusalPage:
        """Return refusals, the last written first: one part, and the cursor of the next.

        Raises BadRequest for a cursor that no page returned.
        """
        before = None if cursor is None else _parsed(cursor)
        # One more than asked for tells whether there is another page.
        found = {each.place: each for each in await self._log.newest(query, count + 1, before)}
        if self._history is not None:
            # The store keeps so many of each organization, so the history may have newer ones of
            # one organization than the store has of another.
            older = await self._history().newest(query, count + 1, before)
            found |= {each.place: each for each in older}
        newest = sorted(found.values(), key=lambda each: each.place, reverse=True)
        records = tuple(each.record for each in newest[:count])
        return RefusalPage(records, _shown(newest[count - 1]) if len(newest) > count else None)

    async def find(self, request_id: str, organization: str | None = None) -> RefusalRecord | None:
        """Return the refusal with that id, or None."""
        query = LedgerQuery(organization, request_id=request_id)
        found = await self._log.newest(query, 1, None)
        if not found and self._history is not None:
            found = await self._history().newest(query, 1, None)
        return found[0].record if found else None

    async def counts(self, query: LedgerQuery, group: Group) -> GroupedCounts:
        """Return how many of a query's requests were refused, by day and group."""
        found, places = GroupedCounts(), dict[str, RefusalPlace]()
        if self._history is not None:
            kept = await self._history().counts(query, group)
            places.update(kept.places)
            for each in kept.counts:
                found.add(each.day, each.group, each.times)
        for organization in await self._log.organizations():
            place = places.get(organization)
            while new := await self._log.after(organization, place):
                for record in (each.record for each in new):
                    if matches(query, record):
                        for name in group_names(record, group, record.organization):
                            found.add(record.refused_us // DAY_US, name, record.times)
                place = new[-1].place
        return found

    async def days(self) -> RefusedDays:
        """Return the counts of today and yesterday, at most 15 seconds old."""
        async with self._counting:
            now_us, known = self._clock.now_us(), self._days
            if known is None or not 0 <= now_us - known.as_of_us < _DAYS_HOLD_US:
                self._days = known = await self._count_days(now_us)
            return known

    async def _count_days(self, now_us: int) -> RefusedDays:
        midnight_us = now_us // DAY_US * DAY_US
        begin_us = midnight_us - DAY_US
        both = await self.counts(LedgerQuery(since_us=begin_us, until_us=now_us), Group.STATUS)
        cut = LedgerQuery(since_us=begin_us, until_us=now_us - DAY_US)
        so_far = (await self.counts(cut, Group.STATUS)).total
        today = _EPOCH + timedelta(days=now_us // DAY_US)
        of_today = sum(count for (day, _), count in both.cells.items() if day == today)
        return RefusedDays(now_us, of_today, both.total - of_today, so_far)

    async def one(self, request_id: str, organization: str | None = None) -> RefusalRecord:
        """Return the refusal with that id. Raises NotFound."""
        found = await self.find(request_id, organization)
        if found is None:
            raise NotFound(
                f"No settled or refused request {request_id!r} is recorded. A running call is"
                " recorded when it ends; of many refusals of one key in a second, only a few are"
                " recorded one by one."
            )
        return found


def find_scope(record: RefusalRecord, kind: str) -> str | None:
    """Return the id of the entity of a kind that a refused request belongs to, or None."""
    return next(iter(scope_ids(record.scopes, kind)), None)


def _shown(refusal: PlacedRefusal) -> str:
    place = refusal.place
    return f"{place.milliseconds}-{place.sequence}-{quote(place.organization, safe='')}"


def _parsed(cursor: str) -> RefusalPlace:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest("cursor is none that a former answer told", "cursor")
    return RefusalPlace(int(match[1]), int(match[2]), unquote(match[3]))
