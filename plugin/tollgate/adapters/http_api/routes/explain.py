"""/spend/explain"""

from __future__ import annotations

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Admin
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire import explain as wire

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


@router.get("/spend/explain")
async def explain(
    _: Admin, reports: Reported, request_id: str, organization_id: str | None = None
) -> wire.Explanation:
    """Show what one request used, the price that applied, and the arithmetic, line by line."""
    return wire.explanation(await reports.record(request_id, organization_id))
