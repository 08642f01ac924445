"""The application: routers, errors, and what they stand on."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

from tollgate.adapters.http_api import errors
from tollgate.adapters.http_api.routes import health, keys
from tollgate.management import Management


def create_api(management: Management, *, version: str, metrics: Callable[[], bytes]) -> FastAPI:
    """The management API. `metrics` gives the text of /metrics."""
    api = FastAPI(
        title="Tollgate",
        version=version,
        description="Budgets and rate limits for LLM traffic. Every path but /health and /metrics needs the master key, "
        "or a key of a user whose role is proxy_admin.",
        docs_url="/docs",
        redoc_url=None,
        # FastAPI would answer a path with a slash too many by a redirect to the address it believes to have: wrong behind Envoy.
        redirect_slashes=False,
    )
    api.state.management = management
    api.state.metrics = metrics
    errors.install(api)
    for router in (keys.router, health.router):
        api.include_router(router)
    return api
