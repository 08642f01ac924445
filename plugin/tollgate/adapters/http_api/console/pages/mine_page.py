"""*Mine*: what a key's owner sees of it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tollgate.adapters.http_api.console.client_setup import client_setup
from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.pages.requests_page import named
from tollgate.adapters.http_api.console.visitors import AnyVisitor, Forbidden
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.ports import LedgerQuery

_LAST_REQUESTS = 20

router = APIRouter(prefix="/mine")


@router.get("")
async def mine(
    request: Request,
    visitor: AnyVisitor,
    management: Managed,
    reports: Reported,
    levels: Levelled,
) -> Response:
    """Show the visitor's key, all limits that it meets, its last requests, and how to use it."""
    key = visitor.key
    if key is None:
        raise Forbidden("The master key has no limits and no requests of its own.")
    query = LedgerQuery(payers=(f"key:{key.id}",))
    found = await reports.records(query, _LAST_REQUESTS)
    values = {
        "visitor": visitor,
        "live": await management.keys.live_by_name(key.hash),
        "levels": await levels.of_key(key),
        "records": found.records,
        "models": [model.name for model, _ in await reports.models(visitor.caller)],
        "setup": await client_setup(request, reports, key),
        **await named(found.records, management),
    }
    return page(request, "mine.html", values)
