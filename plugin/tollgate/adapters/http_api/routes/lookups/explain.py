"""/spend/explain"""

from __future__ import annotations

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Admin
from tollgate.adapters.http_api.routes.lookups.refusals import Refused
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire.lookups import explain as wire
from tollgate.adapters.http_api.wire.lookups.refusals import RefusedRequest, refused_request

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


@router.get("/spend/explain")
async def explain(
    _: Admin,
    reports: Reported,
    refused: Refused,
    request_id: str,
    organization_id: str | None = None,
) -> wire.Explanation | RefusedRequest:
    """Show what one request used, the price that applied, and the arithmetic, line by line; of a
    refused one, the limit that refused it, where that stood, and until when.
    """
    if (settled := await reports.find_record(request_id, organization_id)) is not None:
        return wire.explanation(settled)
    return refused_request(await refused.one(request_id, organization_id))
