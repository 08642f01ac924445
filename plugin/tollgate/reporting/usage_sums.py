"""Sum up what was used: the history, and what of the ledger is not recorded in it yet.

Without a history everything is summed from the ledger. Either way the sums are of all records.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from tollgate.core.calls.ledger_sums import LedgerSums, charged_parts
from tollgate.core.calls.record_groups import group_names
from tollgate.core.calls.records import Record, scope_ids
from tollgate.ports import Clock, LedgerQuery
from tollgate.ports.history_ports import (
    DAY_US,
    HOUR_US,
    Group,
    History,
    LedgerStream,
    PartsRow,
    UsageRow,
)

# A glance is cached for all visitors.
_GLANCE_HOLDS_US = 15_000_000


@dataclass(slots=True)
class GroupedSums:
    """Sums by UTC day and group; records without a group belong to ''."""

    cells: dict[tuple[date, str], LedgerSums] = field(default_factory=dict)
    groups: dict[str, LedgerSums] = field(default_factory=dict)
    total: LedgerSums = field(default_factory=LedgerSums)

    def add(self, day: date, group: str, sums: LedgerSums) -> None:
        """Add sums of a day and group."""
        cell = self.cells.setdefault((day, group), LedgerSums())
        for each in (cell, self.groups.setdefault(group, LedgerSums()), self.total):
            each.add_sums(sums)


@dataclass(slots=True)
class DaySum:
    """The spend of one day, in nano-dollars: in total, by model, by user."""

    day: date
    total: int = 0
    by_model: dict[str, int] = field(default_factory=dict)
    by_user: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Glance:
    """The last two days of the ledger, at one moment.

    - `yesterday_so_far`: until the same time of day.
    - `hours`: nano-dollars of each hour since the start of yesterday; the last hour is incomplete.
    """

    as_of_us: int
    today: LedgerSums = field(default_factory=LedgerSums)
    yesterday: LedgerSums = field(default_factory=LedgerSums)
    yesterday_so_far: LedgerSums = field(default_factory=LedgerSums)
    hours: list[int] = field(default_factory=list)

    @property
    def begin_us(self) -> int:
        """Return the start of yesterday, in UTC."""
        return self.as_of_us // DAY_US * DAY_US - DAY_US


class UsageSums:
    """Sums of the history and of the rest of the ledger.

    `history`: returns the history, which is opened when it is first needed; None: none is kept.
    """

    def __init__(
        self, stream: LedgerStream, clock: Clock, history: Callable[[], History] | None = None
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._history = history
        self._glance: Glance | None = None
        self._looking = asyncio.Lock()

    async def usage(self, query: LedgerQuery, by: Sequence[Group]) -> list[UsageRow]:
        """Return the totals of a query's records by groups, in no order.

        A record counts in each group that it belongs to. Raises StoreUnavailable,
        HistoryUnavailable, BadRequest.
        """
        sums: dict[tuple[str, ...], LedgerSums] = {}
        positions: Mapping[str, str] = {}
        if self._history is not None:
            recorded = await self._history().usage(query, by)
            positions = recorded.positions
            for row in recorded.rows:
                sums.setdefault(row.groups, LedgerSums()).add_sums(row.sums)
        async for organization, record in self._unrecorded(query, positions):
            for groups in groups_of(organization, record, by):
                sums.setdefault(groups, LedgerSums()).add(record)
        return [UsageRow(groups, each) for groups, each in sums.items() if each.requests]

    async def parts(self, query: LedgerQuery) -> list[PartsRow]:
        """Return what the calls of whole days were charged for, in their order.

        `query`: an organization and days, no other filter. Costs add up to the ledger's exactly.
        """
        sums: dict[tuple[int, str, str, str, str, str, str, str], tuple[int, int]] = {}
        positions: Mapping[str, str] = {}
        if self._history is not None:
            recorded = await self._history().parts(query)
            positions = recorded.positions
            for row in recorded.rows:
                place = (row.day, row.organization, row.key, row.team, row.user, row.model)
                sums[*place, row.deployment, row.kind] = (row.units, row.nanousd)
        async for organization, record in self._unrecorded(query, positions):
            key, team, user = (
                payer_of(record, each) for each in (Group.KEY, Group.TEAM, Group.USER)
            )
            day = record.admitted_us // DAY_US
            for part in charged_parts(record):
                place = (day, organization, key, team, user, record.model)
                whole = (*place, record.deployment, part.kind)
                units, nanousd = sums.get(whole, (0, 0))
                sums[whole] = (units + part.units, nanousd + part.nanousd)
        return [PartsRow(*place, *sums[place]) for place in sorted(sums)]

    async def grouped(self, query: LedgerQuery, group: Group) -> GroupedSums:
        """Return the sums of a query's records by day and group; '' is what has no group."""
        sums = GroupedSums()
        rows = await self.usage(query, (Group.DAY, group))
        for row in rows:
            sums.add(date.fromisoformat(row.groups[0]), row.groups[1], row.sums)
        return sums

    async def days(self, query: LedgerQuery) -> list[DaySum]:
        """Return the spend of each UTC day of admission, newest first."""
        days: dict[str, DaySum] = {}
        for row in await self.usage(query, (Group.DAY, Group.MODEL)):
            name, model = row.groups
            day = days.setdefault(name, DaySum(date.fromisoformat(name)))
            day.total += row.sums.nanousd
            day.by_model[model] = row.sums.nanousd
        for row in await self.usage(query, (Group.DAY, Group.USER)):
            name, user = row.groups
            if user and name in days:
                days[name].by_user[user] = row.sums.nanousd
        return [days[name] for name in sorted(days, reverse=True)]

    async def glance(self) -> Glance:
        """Return the last two days, at most 15 seconds old."""
        async with self._looking:
            now_us = self._clock.now_us()
            known = self._glance
            if known is None or not 0 <= now_us - known.as_of_us < _GLANCE_HOLDS_US:
                self._glance = known = await self._look(now_us)
            return known

    async def _look(self, now_us: int) -> Glance:
        """Sum up whole hours, and of the two that are cut their records."""
        glance = Glance(now_us)
        first_hour = glance.begin_us // HOUR_US
        glance.hours = [0] * (now_us // HOUR_US - first_hour + 1)
        same_hour_us = (now_us - DAY_US) // HOUR_US * HOUR_US
        two_days = LedgerQuery(since_us=glance.begin_us, until_us=now_us // HOUR_US * HOUR_US - 1)
        this_hour = LedgerQuery(since_us=now_us // HOUR_US * HOUR_US, until_us=now_us)
        for query in (two_days, this_hour):
            for row in await self.usage(query, (Group.HOUR,)):
                hour = int(row.groups[0])
                glance.hours[hour - first_hour] += row.sums.nanousd
                if hour * HOUR_US >= glance.begin_us + DAY_US:
                    glance.today.add_sums(row.sums)
                    continue
                glance.yesterday.add_sums(row.sums)
                if hour * HOUR_US < same_hour_us:
                    glance.yesterday_so_far.add_sums(row.sums)
        cut = LedgerQuery(since_us=same_hour_us, until_us=now_us - DAY_US)
        for row in await self.usage(cut, ()):
            glance.yesterday_so_far.add_sums(row.sums)
        return glance

    async def _unrecorded(
        self, query: LedgerQuery, positions: Mapping[str, str]
    ) -> AsyncIterator[tuple[str, Record]]:
        """Return the matching records behind the positions, with their organizations."""
        names = (
            await self._stream.organizations()
            if query.organization is None
            else [query.organization]
        )
        for name in names:
            position = positions.get(name)
            while streamed := await self._stream.after(name, position, query.since_us):
                for each in streamed.records:
                    record = each.read().record
                    if query.matches(record):
                        yield name, record
                position = streamed.position


def groups_of(organization: str, record: Record, by: Sequence[Group]) -> list[tuple[str, ...]]:
    """Return the combinations of groups that a record belongs to; several with several tags.

    '' stands for no payer of that kind. A record without tags is in no group of tags.
    """
    found: list[tuple[str, ...]] = [()]
    for group in by:
        names = _names_of(organization, record, group)
        found = [(*each, name) for each in found for name in names]
    return found


def payer_of(record: Record, group: Group) -> str:
    """Return the id of the payer of a kind; '' for none."""
    return next(iter(scope_ids(record.scopes, group)), "")


def _names_of(organization: str, record: Record, group: Group) -> Sequence[str]:
    if group is Group.DAY:
        day = datetime.fromtimestamp(record.admitted_us // 1_000_000, UTC).date()
        return (day.isoformat(),)
    if group is Group.HOUR:
        return (str(record.admitted_us // HOUR_US),)
    return group_names(record, group, organization)
