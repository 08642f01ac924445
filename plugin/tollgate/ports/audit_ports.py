"""The port of the audit log, and what it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tollgate.core.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class AuditedAt:
    """An entry of the audit log, and when it was written."""

    at_us: int
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries of the audit log: of a kind of entity, of one of them, written from one time
    to another, both included; None: of any.
    """

    kind: str | None = None
    id: str | None = None
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A part of the entries that a query finds, newest first. `cursor`: where the next part begins;
    None: there is none.
    """

    entries: tuple[AuditedAt, ...]
    cursor: str | None = None


class AuditLog(Protocol):
    """What was changed, by whom, as long as it is kept. Errors are core.errors.StoreUnavailable.

    The registry writes it, together with each change.
    """

    async def page(self, query: AuditQuery, count: int, cursor: str | None = None) -> AuditPage:
        """Return at most `count` entries, the newest first, from a former page's cursor on.

        Raises BadRequest for a cursor that no page told.
        """
        ...
