"""*Requests*: the ledger with filters, and one request with its arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.team_rights import Leading, within_teams
from tollgate.adapters.http_api.console.visitors import AnyVisitor, Forbidden, Visitor
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.queries import LogFilters
from tollgate.adapters.http_api.routes.lookups.refusals import Refused
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire.lookups.explain import explanation
from tollgate.adapters.http_api.wire.lookups.refusals import refused_request
from tollgate.core.limits.accounts import UPSTREAM, ScopeKind, amounts_are_confidential
from tollgate.management import Management
from tollgate.ports import Settled
from tollgate.reporting.refused import find_scope
from tollgate.reporting.reports import find_payer

_PAGE_SIZE = 50
_ORDER = {kind.value: number for number, kind in enumerate(ScopeKind)}

router = APIRouter(prefix="/requests")


@router.get("")
async def requests(
    request: Request,
    visitor: Leading,
    management: Managed,
    reports: Reported,
    refused: Refused,
    filters: Annotated[LogFilters, Depends()],
    cursor: str | None = None,
) -> Response:
    """Show records of the ledger, or refusals, the last first."""
    filters = within_teams(visitor, filters)
    query = await filters.query(management)
    common = {
        "visitor": visitor,
        "filters": filters,
        "models": sorted({name for name, _ in reports.catalog.listed()}),
        "complete_from_us": reports.complete_from_us,
    }
    if filters.refused:
        refusals = await refused.page(query, _PAGE_SIZE, cursor)
        values = {
            **common,
            "refusals": refusals.records,
            "scope": find_scope,
            "cursor": refusals.cursor,
        }
        return page(request, "requests.html", values)
    found = await reports.records(query, _PAGE_SIZE, cursor)
    values = {
        **common,
        "records": found.records,
        "cursor": found.cursor,
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
    refused: Refused,
) -> Response:
    """Show one settled request: who paid, what it used, and the arithmetic; or a refused one: which
    limit it met, and until when.
    """
    settled = await reports.find_record(request_id)
    if settled is None:
        record = await refused.one(request_id)
        team_id = find_scope(record, ScopeKind.TEAM)
        key_id = find_scope(record, ScopeKind.KEY)
        _check_own(visitor, key_id, team_id)
        told = refused_request(record)
        values = {
            "visitor": visitor,
            "told": told,
            "record": record,
            "key_hash": key_id,
            "upstream": UPSTREAM,
        }
        return page(request, "refusal.html", values)
    key_id = find_payer(settled, ScopeKind.KEY)
    _check_own(visitor, key_id, find_payer(settled, ScopeKind.TEAM))
    names = await management.keys.names([] if key_id is None else [key_id])
    values = {
        "visitor": visitor,
        "settled": settled,
        "told": explanation(settled),
        "payers": sorted(
            (each.split(":", 1) for each in settled.record.scopes),
            key=lambda each: _ORDER.get(each[0], len(_ORDER)),
        ),
        "passages": settled.record.passages,
        "key_names": names,
        "amounts_are_confidential": amounts_are_confidential,
    }
    return page(request, "request.html", values)


def _check_own(visitor: Visitor, key_id: str | None, team_id: str | None) -> None:
    """Raise Forbidden unless the visitor may see requests of a key in a team."""
    own = visitor.key is not None and visitor.key.id == key_id
    if not own and not visitor.manages(team_id):
        raise Forbidden("This request was made with another key than yours.")
