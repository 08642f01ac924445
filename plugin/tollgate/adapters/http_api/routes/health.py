"""/health/* and /metrics, for whoever watches. They need no key and tell no secret."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tollgate.adapters.http_api.callers import Managed
from tollgate.core.errors import StoreUnavailable

router = APIRouter(tags=["health"])


@router.get("/health/liveliness")
@router.get("/health/liveness", include_in_schema=False)
async def liveliness() -> str:
    """This process runs."""
    return "I'm alive!"


@router.get("/health/readiness")
async def readiness(management: Managed) -> JSONResponse:
    """The store answers; 503 when it does not."""
    try:
        await management.check_store()
    except StoreUnavailable:
        return JSONResponse({"status": "unhealthy", "db": "disconnected"}, 503)
    return JSONResponse({"status": "healthy", "db": "connected"})


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(request.app.state.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")
