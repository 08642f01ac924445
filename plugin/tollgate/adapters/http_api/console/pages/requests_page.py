"""*Requests*: the ledger with filters, and one request with its arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.visitors import Administrating, AnyVisitor, Forbidden
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.queries import LogFilters
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire.explain import explanation
from tollgate.core.limits.accounts import ScopeKind
from tollgate.management import Management
from tollgate.ports import Settled
from tollgate.reporting.reports import find_payer

_PAGE_SIZE = 50

router = APIRouter(prefix="/requests")


@router.get("")
async def requests(
    request: Request,
    visitor: Administrating,
    management: Managed,
    reports: Reported,
    filters: Annotated[LogFilters, Depends()],
    cursor: str | None = None,
) -> Response:
    """Show records of the ledger, the last settled first."""
    found = await reports.records(await filters.query(management), _PAGE_SIZE, cursor)
    values = {
        "visitor": visitor,
        "records": found.records,
        "cursor": found.cursor,
        "filters": filters,
        "models": sorted({name for name, _ in reports.catalog.listed()}),
        "complete_from_us": reports.complete_from_us,
        **await named(found.records, management),
    }
    return page(request, "requests.html", values)


async def named(records: Sequence[Settled], management: Management) -> dict[str, object]:
    """Return what a table of records needs to name who paid."""
    keys = [key for each in records if (key := find_payer(each, ScopeKind.KEY)) is not None]
    return {
        "key_names": await management.keys.names(keys),
        "payer": lambda settled, kind: find_payer(settled, ScopeKind(kind)) or "",
    }


@router.get("/{request_id}")
async def one_request(
    request_id: str,
    request: Request,
    visitor: AnyVisitor,
    management: Managed,
    reports: Reported,
) -> Response:
    """Show one settled request: who paid, what it used, and the arithmetic."""
    settled = await reports.record(request_id)
    key_id = find_payer(settled, ScopeKind.KEY)
    if not visitor.is_administrator and (visitor.key is None or visitor.key.id != key_id):
        raise Forbidden("This request was made with another key than yours.")
    names = await management.keys.names([] if key_id is None else [key_id])
    values = {
        "visitor": visitor,
        "settled": settled,
        "told": explanation(settled),
        "payers": [tuple(each.split(":", 1)) for each in settled.record.scopes],
        "key_names": names,
    }
    return page(request, "request.html", values)
