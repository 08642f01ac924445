"""The ports of the history: the stream that it is fed from, and the database that keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from tollgate.core.calls import record_text
from tollgate.core.calls.ledger_sums import LedgerSums
from tollgate.core.calls.records import Record
from tollgate.ports import LedgerQuery, Settled

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


NEWEST = f"{2**64 - 1}-{2**64 - 1}"
"""A position behind all others."""


def position_order(position: str) -> tuple[int, int]:
    """Return what orders the positions of a ledger."""
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence)


class SettledText(Struct, frozen=True, gc=False):
    """A record as the text that the ledger keeps, and when it was written.

    Who needs little of it reads only that.
    """

    settled_us: int
    text: bytes

    def read(self) -> Settled:
        """Return what the text says. Raises msgspec.DecodeError if it is no record."""
        return Settled(self.settled_us, record_text.decode(self.text))


@dataclass(frozen=True, slots=True)
class StreamedRecords:
    """Records of one organization's ledger, oldest first, and the position behind the last."""

    records: tuple[SettledText, ...]
    position: str


class SettledMetrics(Protocol):
    """Counts settled calls elsewhere, too."""

    def count(self, records: Iterable[Record]) -> None:
        """Count settled calls; it does not wait and does not fail."""
        ...


class LedgerStream(Protocol):
    """The ledger from its oldest record on. Errors are core.errors.StoreUnavailable."""

    async def organizations(self) -> Sequence[str]:
        """Return who has a ledger."""
        ...

    async def after(
        self,
        organization: str,
        position: str | None,
        since_us: int | None = None,
        until: str | None = None,
    ) -> StreamedRecords | None:
        """Return some records behind a position (None: from the oldest on); None: none is there.

        `since_us`: records of calls that were admitted earlier may be left out. `until`: the last
        position that is asked for.
        """
        ...

    async def oldest_us(self, organization: str, position: str | None = None) -> int | None:
        """Return when the oldest record behind a position was settled; None: there is none."""
        ...

    async def length(self, organization: str) -> int:
        """Return the number of entries; each holds the records that were settled together."""
        ...

    async def remove_until(
        self, organization: str, position: str, settled_us: int | None = None
    ) -> None:
        """Remove the entries up to a position, included; with `settled_us` only older ones."""
        ...


class Lease(Protocol):
    """Lets one of several recorders work. Errors are core.errors.StoreUnavailable."""

    async def take(self) -> bool:
        """Take or extend the lease; return whether it is ours, for the next seconds."""
        ...

    async def give_back(self) -> None:
        """Let another begin at once."""
        ...


class Overflow(Protocol):
    """Records that the store had no room for while the database was away.

    Errors are core.errors.HistoryUnavailable.
    """

    async def write(self, organization: str, streamed: StreamedRecords) -> None:
        """Write records where they outlive a power cut."""
        ...

    def waiting(self) -> AsyncIterator[tuple[str, Sequence[SettledText]]]:
        """Return all that was written, in parts; what was iterated to its end is removed."""
        ...


class Group(StrEnum):
    """What records are grouped by. A payer's kind names the entities of that kind that paid.

    A group is an id or a name; of `day` YYYY-MM-DD in UTC, of `hour` whole hours since the epoch;
    both are those of the admission.
    """

    KEY = "key"
    TEAM = "team"
    USER = "user"
    CUSTOMER = "customer"
    MEMBER = "member"
    TAG = "tag"
    ORGANIZATION = "organization"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    STATUS = "status"
    DAY = "day"
    HOUR = "hour"


NO_PAYERS = frozenset(
    {Group.ORGANIZATION, Group.MODEL, Group.DEPLOYMENT, Group.STATUS, Group.DAY, Group.HOUR}
)
"""Groups that are no kind of a payer."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The totals of one combination of groups, in the order in which they were asked for."""

    groups: tuple[str, ...]
    sums: LedgerSums


@dataclass(frozen=True, slots=True)
class RecordedUsage:
    """Totals of the history, and how far each organization's ledger is recorded in them."""

    rows: Sequence[UsageRow]
    positions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartsRow:
    """Units of one kind that the calls of a day were charged for. `day`: days since the epoch.

    '' is no key, team or user.
    """

    day: int
    organization: str
    key: str
    team: str
    user: str
    model: str
    deployment: str
    kind: str
    units: int
    nanousd: int


@dataclass(frozen=True, slots=True)
class RecordedParts:
    """Parts of the history, and how far each organization's ledger is recorded in them."""

    rows: Sequence[PartsRow]
    positions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HistoryPlace:
    """Where a record stands among all; the greater, the later it was settled."""

    settled_us: int
    id: str


class History(Protocol):
    """What the ledger held, in a database. Errors are core.errors.HistoryUnavailable."""

    async def prepare(self) -> None:
        """Bring the database to the form that this version reads and writes."""
        ...

    async def position(self, organization: str) -> str | None:
        """Return how far an organization's ledger has been recorded; None: not at all."""
        ...

    async def keep(
        self, organization: str, records: Sequence[SettledText], position: str | None = None
    ) -> int:
        """Record what was settled, once however often it is told; return how many were new.

        `position`: how far the organization's ledger is recorded then; None: as far as before.
        """
        ...

    async def forget_before(self, admitted_us: int) -> None:
        """Remove the records of requests that were admitted earlier. Their sums stay."""
        ...

    async def usage(self, query: LedgerQuery, by: Sequence[Group]) -> RecordedUsage:
        """Return the totals of a query's records by groups.

        Raises BadRequest for groups and filters that no table has together.
        """
        ...

    async def parts(self, query: LedgerQuery) -> RecordedParts:
        """Return what the calls of whole days were charged for, of one organization or of all."""
        ...

    async def page(
        self, query: LedgerQuery, count: int, before: Mapping[str, int], place: HistoryPlace | None
    ) -> Sequence[Settled]:
        """Return records, latest first: at most `count` behind a place (None: from the newest on).

        `before`: of these organizations only records that were settled earlier.
        """
        ...
