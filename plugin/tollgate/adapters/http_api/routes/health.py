"""/health/* and /metrics, for whoever watches.

Health needs no key; metrics tell dollars, so they do unless a setting opens them.
"""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tollgate.adapters.http_api.dependencies import Managed, administrator_of, caller_of
from tollgate.core.errors import StoreUnavailable


class Watched(Protocol):
    """What has to work for requests to be served."""

    async def write_to_store(self) -> object:
        """Write something. Raises StoreUnavailable, with the store's own words where it has any."""
        ...

    def why_nobody_decides(self) -> str | None:
        """A sentence when no worker can decide; None when one can."""
        ...

    def metrics(self) -> bytes:
        """The metrics of all processes, as Prometheus reads them."""
        ...


router = APIRouter(tags=["health"])


@router.get("/health/liveliness")
@router.get("/health/liveness", include_in_schema=False)
async def liveliness() -> str:
    """This process runs."""
    return "I'm alive!"


@router.get("/health/readiness")
async def readiness(request: Request) -> JSONResponse:
    """The store takes writes, and a worker decides; 503 with the reason when one of them does not."""
    watched: Watched = request.app.state.watched
    try:
        await watched.write_to_store()
    except StoreUnavailable as error:
        return JSONResponse({"status": "unhealthy", "db": "disconnected", "error": str(error)}, 503)
    if (why := watched.why_nobody_decides()) is not None:
        return JSONResponse({"status": "unhealthy", "db": "connected", "error": why}, 503)
    return JSONResponse({"status": "healthy", "db": "connected"})


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, management: Managed) -> Response:
    """Prometheus' text format, for an administrator."""
    if not request.app.state.metrics_open:
        await administrator_of(request, await caller_of(request, management))
    watched: Watched = request.app.state.watched
    return Response(watched.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")
