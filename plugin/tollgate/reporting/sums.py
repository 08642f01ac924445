"""Sum the ledger by day and group, and over the last two days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from tollgate.core.calls.usage import Certainty
from tollgate.core.limits.accounts import ScopeKind
from tollgate.ports import Clock, Ledger, LedgerQuery, Settled
from tollgate.reporting.reports import day_of, find_payer

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
# Records that are summed between two turns of the event loop, and read in one page.
_PAGE = 2_000
# A glance costs a pass over two days of the ledger, so it is cached for all visitors.
_GLANCE_HOLDS_US = 15_000_000
_FAILED_FROM = 400


@dataclass(slots=True)
class LedgerSums:
    """The totals of some records.

    `unsure_nanousd`: charged for usage that is not exact. `unpriced`: records with a part without a
    price.
    """

    requests: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nanousd: int = 0
    unsure_nanousd: int = 0
    unpriced: int = 0

    def add(self, settled: Settled) -> None:
        """Count a record."""
        record = settled.record
        self.requests += 1
        self.failures += record.status >= _FAILED_FROM
        self.input_tokens += record.input_tokens
        self.output_tokens += record.output_tokens
        self.nanousd += record.cost_nanousd
        self.unpriced += bool(record.bill.unpriced)
        if record.certainty != Certainty.EXACT:
            self.unsure_nanousd += record.cost_nanousd


class Group(StrEnum):
    """What records are grouped by."""

    KEY = "key"
    TEAM = "team"
    USER = "user"
    CUSTOMER = "customer"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    STATUS = "status"


@dataclass(slots=True)
class GroupedSums:
    """Sums by UTC day and group; records without a group belong to ''."""

    cells: dict[tuple[date, str], LedgerSums] = field(default_factory=dict)
    groups: dict[str, LedgerSums] = field(default_factory=dict)
    total: LedgerSums = field(default_factory=LedgerSums)

    def add(self, group: str, settled: Settled) -> None:
        """Count a record."""
        cell = self.cells.setdefault((day_of(settled), group), LedgerSums())
        for each in (cell, self.groups.setdefault(group, LedgerSums()), self.total):
            each.add(settled)


@dataclass(slots=True)
class Glance:
    """The last two days of the ledger, at one moment.

    - `yesterday_so_far`: until the same time of day.
    - `hours`: nano-dollars of each hour since the start of yesterday; the last hour is incomplete.
    - `last_hour`: nano-dollars of the last 60 minutes by payer, as `kind:id`.
    """

    as_of_us: int
    today: LedgerSums = field(default_factory=LedgerSums)
    yesterday: LedgerSums = field(default_factory=LedgerSums)
    yesterday_so_far: LedgerSums = field(default_factory=LedgerSums)
    hours: list[int] = field(default_factory=list)
    last_hour: dict[str, int] = field(default_factory=dict)

    @property
    def begin_us(self) -> int:
        """Return the start of yesterday, in UTC."""
        return self.as_of_us // DAY_US * DAY_US - DAY_US

    def add(self, settled: Settled) -> None:
        """Count a record, unless it is older than yesterday or newer than this glance."""
        admitted_us = settled.record.admitted_us
        if not self.begin_us <= admitted_us <= self.as_of_us:
            return
        if admitted_us >= self.begin_us + DAY_US:
            self.today.add(settled)
        else:
            self.yesterday.add(settled)
            if admitted_us <= self.as_of_us - DAY_US:
                self.yesterday_so_far.add(settled)
        cost = settled.record.cost_nanousd
        self.hours[(admitted_us - self.begin_us) // HOUR_US] += cost
        if admitted_us > self.as_of_us - HOUR_US:
            for payer in settled.record.scopes:
                self.last_hour[payer] = self.last_hour.get(payer, 0) + cost


class LedgerReader:
    """Sums the ledger, over all matching records."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._glance: Glance | None = None
        self._looking = asyncio.Lock()

    async def grouped(self, query: LedgerQuery, group: Group) -> GroupedSums:
        """Return the sums of a query's records by day and group."""
        sums, group_of = GroupedSums(), _group_of(group)
        async for each in self._records(query):
            sums.add(group_of(each), each)
        return sums

    async def glance(self) -> Glance:
        """Return the last two days, at most 15 seconds old."""
        async with self._looking:
            now_us = self._clock.now_us()
            known = self._glance
            if known is None or not 0 <= now_us - known.as_of_us < _GLANCE_HOLDS_US:
                self._glance = known = await self._look(now_us)
            return known

    async def _look(self, now_us: int) -> Glance:
        glance = Glance(now_us)
        glance.hours = [0] * ((now_us - glance.begin_us) // HOUR_US + 1)
        async for each in self._records(LedgerQuery(since_us=glance.begin_us)):
            glance.add(each)
        return glance

    async def _records(self, query: LedgerQuery) -> AsyncIterator[Settled]:
        cursor: str | None = None
        while True:
            page = await self._ledger.page(query, _PAGE, cursor)
            for each in page.records:
                yield each
            cursor = page.cursor
            if cursor is None:
                return
            await asyncio.sleep(0)


_PAYERS = {
    Group.KEY: ScopeKind.KEY,
    Group.TEAM: ScopeKind.TEAM,
    Group.USER: ScopeKind.USER,
    Group.CUSTOMER: ScopeKind.CUSTOMER,
}


def _group_of(group: Group) -> Callable[[Settled], str]:
    if group in _PAYERS:
        return lambda settled: find_payer(settled, _PAYERS[group]) or ""
    of_record: dict[Group, Callable[[Settled], str]] = {
        Group.MODEL: lambda settled: settled.record.model,
        Group.DEPLOYMENT: lambda settled: settled.record.deployment,
        Group.STATUS: lambda settled: str(settled.record.status),
    }
    return of_record[group]
