"""The ports of the history: the stream that it is fed from, and the database that keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tollgate.ports import Settled


@dataclass(frozen=True, slots=True)
class StreamedRecords:
    """Records of one organization's ledger, oldest first, and the position behind the last."""

    records: tuple[Settled, ...]
    position: str


class LedgerStream(Protocol):
    """The ledger from its oldest record on. Errors are core.errors.StoreUnavailable."""

    async def organizations(self) -> Sequence[str]:
        """Return who has a ledger."""
        ...

    async def after(self, organization: str, position: str | None) -> StreamedRecords | None:
        """Return some records behind a position (None: from the oldest on); None: none is there."""
        ...


class SpendGroup(StrEnum):
    """What the history sums up by."""

    KEY = "key"
    TEAM = "team"
    USER = "user"
    CUSTOMER = "customer"
    MEMBER = "member"
    ORGANIZATION = "organization"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class SpendQuery:
    """Which sums of the history: of whole hours of admission from `since_us` to `until_us`, both
    included; None: no bound.
    """

    group: SpendGroup
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class SpendSum:
    """What one group used. `group`: an id, a model, or the first hour of a day since the epoch."""

    group: str
    requests: int
    failures: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int


class History(Protocol):
    """What the ledger held, in a database. Errors are core.errors.HistoryUnavailable."""

    async def prepare(self) -> None:
        """Bring the database to the form that this version reads and writes."""
        ...

    async def position(self, organization: str) -> str | None:
        """Return how far an organization's ledger has been recorded; None: not at all."""
        ...

    async def keep(self, organization: str, streamed: StreamedRecords) -> int:
        """Record what was streamed, once however often it is told; return how many were new."""
        ...

    async def forget_before(self, admitted_us: int) -> None:
        """Remove the records of requests that were admitted earlier. Their sums stay."""
        ...

    async def sums(self, query: SpendQuery) -> list[SpendSum]:
        """Return the sums of a time by group, those that spent most first; days in their order."""
        ...
