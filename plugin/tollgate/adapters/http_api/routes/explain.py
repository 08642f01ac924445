"""/spend/explain"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.callers import Admin
from tollgate.adapters.http_api.wire import explain as wire
from tollgate.core.entities import DEFAULT_ORGANIZATION
from tollgate.management.explain import Explanations

router = APIRouter(tags=["spend and models"], route_class=JsonRoute)


def explanations_of(request: Request) -> Explanations:
    """What this API explains from."""
    explanations: Explanations = request.app.state.reports.explanations
    return explanations


@router.get("/spend/explain")
async def explain(
    _: Admin,
    explanations: Annotated[Explanations, Depends(explanations_of)],
    request_id: str,
    organization_id: str = DEFAULT_ORGANIZATION,
) -> wire.Explanation:
    """What one request used, the price that held, and the arithmetic, line by line."""
    return wire.explanation(await explanations.find(request_id, organization_id))
