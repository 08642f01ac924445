"""The ports of what is told beside the ledger: refusals, and where they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tollgate.core.alerting.alert import Alert
from tollgate.core.calls.record_groups import in_groups
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import Group


class RefusalBook(Protocol):
    """Where refusals are recorded. Errors are core.errors.StoreUnavailable."""

    async def add(self, records: Sequence[RefusalRecord]) -> None:
        """Append records; the oldest of an organization go when it has too many."""
        ...


@dataclass(frozen=True, slots=True)
class RefusalPage:
    """A part of the matching records, newest first. `cursor`: where the next part
    begins, or None.
    """

    records: tuple[RefusalRecord, ...]
    cursor: str | None = None


def matches(query: LedgerQuery, record: RefusalRecord) -> bool:
    """Return whether a refusal matches a query."""
    return (
        (query.organization is None or query.organization == record.organization)
        and (query.since_us is None or query.since_us <= record.refused_us)
        and (query.until_us is None or record.refused_us <= query.until_us)
        and (query.model is None or record.model == query.model)
        and (query.request_id is None or record.id == query.request_id)
        and (query.status is None or record.status == query.status)
        and query.deployment is None  # a refused request has none
        and all(payer in record.scopes for payer in query.payers)
        and in_groups(record, query.without, query.outside)
    )


class StreamPlace(NamedTuple):
    """Where an entry of a stream stands; `milliseconds` are those of the store's clock, `sequence`
    is how many the stream has had, this one included.
    """

    milliseconds: int
    sequence: int


@dataclass(frozen=True, slots=True)
class PlacedAlert:
    """A recorded alert, and its place."""

    place: StreamPlace
    alert: Alert

    def missing_since(self, place: StreamPlace | None) -> int:
        """Return how many alerts were between a place and this one; None: nobody asked before."""
        return 0 if place is None else max(0, self.place.sequence - place.sequence - 1)


class RefusalPlace(NamedTuple):
    """Where a refusal stands among all: the greater, the later it was written.

    `milliseconds` are those of the writing, by the store's clock; `sequence` is how many requests
    of the organization were refused up to then, those of this record included.
    """

    milliseconds: int
    sequence: int
    organization: str


@dataclass(frozen=True, slots=True)
class PlacedRefusal:
    """A recorded refusal, and its place."""

    place: RefusalPlace
    record: RefusalRecord

    def missing_since(self, place: RefusalPlace | None) -> int:
        """Return how many requests were refused between a place and this record; None: nobody
        asked before.
        """
        if place is None:
            return 0
        return max(0, self.place.sequence - self.record.times - place.sequence)


class RefusalLog(Protocol):
    """Recorded refusals, for as long as they are kept.

    Errors are core.errors.StoreUnavailable or HistoryUnavailable.
    """

    async def newest(
        self, query: LedgerQuery, count: int, before: RefusalPlace | None
    ) -> Sequence[PlacedRefusal]:
        """Return at most `count` records before a place (None: from the last one on), last first.

        `since_us` and `until_us` bound when the request was refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class RefusedCount:
    """How many requests of a group were refused on a day. `day`: days since the epoch, in UTC."""

    day: int
    group: str
    times: int


@dataclass(frozen=True, slots=True)
class KeptCounts:
    """Counts of the history, and up to where each organization's refusals are kept in them."""

    counts: Sequence[RefusedCount]
    places: Mapping[str, RefusalPlace]


class RefusalStream(Protocol):
    """The store's refusals from the oldest on. Errors are core.errors.StoreUnavailable."""

    async def organizations(self) -> Sequence[str]:
        """Return who may have refusals."""
        ...

    async def after(self, organization: str, place: RefusalPlace | None) -> Sequence[PlacedRefusal]:
        """Return some records behind a place, in their order (None: from the oldest on)."""
        ...


class StoredRefusals(RefusalLog, RefusalStream, Protocol):
    """The store's refusals, for people and from the oldest on."""


class RefusalHistory(RefusalLog, Protocol):
    """Refusals in a database. Errors are core.errors.HistoryUnavailable."""

    async def last(self, organization: str) -> RefusalPlace | None:
        """Return the place up to which an organization's refusals are kept; None: nowhere."""
        ...

    async def keep(self, refusals: Sequence[PlacedRefusal]) -> None:
        """Keep what follows the last place of one organization, once however often it is told."""
        ...

    async def counts(self, query: LedgerQuery, group: Group) -> KeptCounts:
        """Return how many of a query's requests were refused, by day and group."""
        ...

    async def forget_before(self, refused_us: int) -> None:
        """Remove the records of requests that were refused earlier."""
        ...


class AlertStream(Protocol):
    """The store's alerts from the oldest on. Errors are core.errors.StoreUnavailable."""

    async def after(self, place: StreamPlace | None) -> Sequence[PlacedAlert]:
        """Return some alerts behind a place, in their order (None: from the oldest on)."""
        ...


class AlertHistory(Protocol):
    """Alerts in a database. Errors are core.errors.HistoryUnavailable."""

    async def last(self) -> StreamPlace | None:
        """Return the place up to which alerts are kept; None: nowhere."""
        ...

    async def keep(self, alerts: Sequence[PlacedAlert]) -> None:
        """Keep what follows the last place, once however often it is told."""
        ...

    async def forget_before(self, at_us: int) -> None:
        """Remove the alerts of an earlier time."""
        ...


class AlertBook(Protocol):
    """Where alerts are claimed. Errors are core.errors.StoreUnavailable."""

    async def claim(self, mark: str, marked_s: int, alert: Alert) -> bool:
        """Record an alert unless somebody has claimed its mark; return whether it was recorded."""
        ...

    async def note(self, notes: Iterable[str], now_us: int) -> None:
        """Keep notes of what has to be looked at, until they are removed."""
        ...

    async def remove(self, notes: Iterable[str]) -> None:
        """Remove notes of what was looked at."""
        ...

    async def abandoned(self, before_us: int) -> Sequence[str]:
        """Return notes that nobody has renewed or removed since then; some of them if many."""
        ...


@dataclass(frozen=True, slots=True)
class Queued:
    """An alert that a sink has not taken yet. `tries`: how often it was handed out, this time
    included.
    """

    place: str
    tries: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class Taken:
    """An alert to tell now. `lost`: how many others the store has dropped since the last time."""

    alert: Queued | None
    lost: int = 0


class AlertQueue(Protocol):
    """Alerts on their way to sinks, each of which takes every alert once.

    Errors are core.errors.StoreUnavailable.
    """

    async def prepare(self, sink: str) -> None:
        """Let a sink begin with what is recorded from now on, unless it has begun before."""
        ...

    async def take(self, sink: str) -> Taken:
        """Return an alert that is new, or whose last try is long enough ago, for this process
        alone.
        """
        ...

    async def done(self, sink: str, place: str) -> None:
        """Hand an alert out to this sink no more."""
        ...


class AlertSink(Protocol):
    """What alerts are told to."""

    @property
    def name(self) -> str: ...

    async def tell(self, alert: Alert) -> None:
        """Tell an alert. Raises core.errors.NotTold."""
        ...
