"""*Audit log*: what was changed, when, and by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tollgate.adapters.http_api.console.audited_words import audited
from tollgate.adapters.http_api.console.page_rendering import HEADERS, as_json, page
from tollgate.adapters.http_api.console.visitors import Administrating
from tollgate.adapters.http_api.csv_files import csv_file, csv_lines
from tollgate.adapters.http_api.routes.audits import Audited, AuditFilters
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire.audits import row
from tollgate.ports.audit_ports import AuditedAt, AuditLog, AuditQuery

_PAGE_SIZE, _WRITTEN_AT_ONCE = 50, 1_000
_CSV_COLUMNS = ("time", "by", "action", "kind", "entity_id", "name", "before", "after")

router = APIRouter(prefix="/audit")


@router.get("")
async def audit(
    request: Request,
    visitor: Administrating,
    log: Audited,
    reports: Reported,
    filters: Annotated[AuditFilters, Depends()],
    cursor: str | None = None,
) -> Response:
    """Show changes, the newest first."""
    found = await log.page(filters.query(reports.now_us), _PAGE_SIZE, cursor)
    values = {
        "visitor": visitor,
        "entries": found.entries,
        "audited": audited,
        "cursor": found.cursor,
        "filters": filters,
        "when": filters.when,
    }
    return page(request, "audit.html", values)


@router.get(".csv")
async def as_csv(
    _: Administrating,
    log: Audited,
    reports: Reported,
    filters: Annotated[AuditFilters, Depends()],
) -> Response:
    """Return all changes that the filters find as CSV, the newest first."""
    return csv_file(_lines(log, filters.query(reports.now_us)), "audit-log.csv", HEADERS)


async def _lines(log: AuditLog, query: AuditQuery) -> AsyncIterator[str]:
    yield csv_lines([_CSV_COLUMNS])
    cursor = None
    while True:
        found = await log.page(query, _WRITTEN_AT_ONCE, cursor)
        yield csv_lines(map(_cells, found.entries))
        if (cursor := found.cursor) is None:
            return


def _cells(entry: AuditedAt) -> tuple[str, ...]:
    told = row(entry).model_dump()
    return tuple(
        each if isinstance(each := told[name], str) else as_json(each) for name in _CSV_COLUMNS
    )
