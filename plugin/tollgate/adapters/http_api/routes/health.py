"""/health/* and /metrics, for monitoring

Health needs no key. Metrics show dollars, so they need one unless a setting opens them.
"""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tollgate.adapters.http_api.dependencies import Managed, administrator_of, caller_of
from tollgate.core.errors import StoreUnavailable
from tollgate.reporting.measuring.fullest_limits import FullLimit


class Watched(Protocol):
    """What must work for requests to be served."""

    async def write_to_store(self) -> object:
        """Write to the store. Raises StoreUnavailable, with the store's own words if it has any."""
        ...

    def why_nobody_decides(self) -> str | None:
        """Return why no worker can decide; None if one can."""
        ...

    def refused_change(self) -> list[str]:
        """What is wrong with the configuration file since it was changed, a line for each fault;
        empty: nothing. The configuration before that change is in force.
        """
        ...

    def nearest_limits(self) -> list[FullLimit] | None:
        """Return the limits that will be used up first, and behind them the fullest others; None:
        nobody looks (`metrics.fullest_limits`).
        """
        ...

    def metrics(self) -> bytes:
        """Return the metrics of all processes in Prometheus' format."""
        ...


router = APIRouter(tags=["health"])


@router.get("/health/liveliness")
@router.get("/health/liveness", include_in_schema=False)
async def liveliness() -> str:
    """Confirm that this process runs."""
    return "I'm alive!"


@router.get("/health/readiness")
async def readiness(request: Request) -> JSONResponse:
    """Confirm that the store accepts writes and a worker decides; else 503 with the reason."""
    watched: Watched = request.app.state.watched
    try:
        await watched.write_to_store()
    except StoreUnavailable as error:
        return JSONResponse({"status": "unhealthy", "db": "disconnected", "error": str(error)}, 503)
    if (why := watched.why_nobody_decides()) is not None:
        return JSONResponse({"status": "unhealthy", "db": "connected", "error": why}, 503)
    told: dict[str, object] = {"status": "healthy", "db": "connected"}
    if faults := watched.refused_change():
        # Anybody may ask: the places and what would be right there, not the values.
        told["configuration"] = {"refused": [each.partition(" (got ")[0] for each in faults]}
    return JSONResponse(told)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, management: Managed) -> Response:
    """Return metrics in Prometheus' text format, for administrators."""
    if not request.app.state.metrics_open:
        await administrator_of(request, await caller_of(request, management))
    watched: Watched = request.app.state.watched
    return Response(watched.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")
