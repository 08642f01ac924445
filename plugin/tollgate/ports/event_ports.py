"""The ports of what is told beside the ledger: refusals, and where they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.ports import LedgerQuery


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
        and all(payer in record.scopes for payer in query.payers)
    )


class RefusalLog(Protocol):
    """Recorded refusals, for as long as they are kept. Errors are core.errors.StoreUnavailable."""

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> RefusalPage:
        """Return at most `count` records, latest first, starting at the cursor of an earlier page.

        `since_us` and `until_us` bound when the request was refused. Raises BadRequest for an
        invalid cursor.
        """
        ...
