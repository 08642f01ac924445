"""The application: routers, errors, and what they stand on."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from tollgate.adapters.http_api import diagnosis, reference
from tollgate.adapters.http_api import error_replies as errors
from tollgate.adapters.http_api.console.console_app import ConsoleBeside
from tollgate.adapters.http_api.events_a_minute import EventsAMinute
from tollgate.adapters.http_api.known_paths import PathsAsKnown
from tollgate.adapters.http_api.queries import check_query
from tollgate.adapters.http_api.routes import (
    applied_files,
    audits,
    budgets,
    docs,
    health,
    imports,
    keys,
    model_infos,
    models,
    reports,
    teams,
    users,
)
from tollgate.adapters.http_api.routes.lookups import (
    explain,
    exports,
    own_usage,
    refusals,
    replays,
    spend_reports,
)
from tollgate.adapters.http_api.routes.scopes import customers, organizations, tags
from tollgate.management import Management
from tollgate.ports.audit_ports import AuditLog
from tollgate.reporting.levels import Levels
from tollgate.reporting.refused import Refusals
from tollgate.reporting.reports import Reports
from tollgate.reporting.usage_sums import UsageSums

# Of two routes that match a path the first answers.
_ALWAYS = (
    *(keys, users, teams, organizations, tags, budgets),
    *(imports, applied_files, docs, health),
)
_REPORTING = (
    reports,
    spend_reports,
    exports,
    explain,
    replays,
    refusals,
    own_usage,
    models,
    model_infos,
)


def create_api(
    management: Management,
    *,
    version: str,
    watched: health.Watched,
    reported: Reports | None = None,
    refused: Refusals | None = None,
    usage_sums: UsageSums | None = None,
    levels: Levels | None = None,
    metrics_open: bool = False,
    audit_log: AuditLog | None = None,
    console: ASGIApp | None = None,
    diagnosed: diagnosis.Diagnosed | None = None,
) -> FastAPI:
    """The management API.

    `watched`: what /health and /metrics tell of; without `reported` there is nothing of spend,
    refusals and models.

    `usage_sums`: what reports of usage are read from; it comes with `reported`.
    `metrics_open`: /metrics asks for no key. `audit_log`: what /audit tells. `console`: what
    answers at /ui. `diagnosed`: what `tollgate doctor` asks.
    """
    api = _blank(version)
    api.state.management = management
    api.state.watched = watched
    api.state.metrics_open = metrics_open
    errors.install(api)
    for each in _ALWAYS:
        api.include_router(each.router)
    api.include_router(customers.router, prefix="/customer")
    if reported is not None:
        api.state.reports = reported
        api.state.refusals = refused
        api.state.usage_sums = usage_sums
        api.state.levels = levels
        api.state.usage_reads = EventsAMinute(own_usage.READS_A_MINUTE)
        for each in _REPORTING:
            api.include_router(each.router)
    if audit_log is not None:
        api.state.audit_log = audit_log
        api.include_router(audits.router)
    if diagnosed is not None:
        api.state.diagnosed = diagnosed
        api.include_router(diagnosis.router)
    if console is not None:
        api.add_middleware(ConsoleBeside, console=console)
    api.add_middleware(PathsAsKnown)
    # LiteLLM's other name for the same.
    api.include_router(customers.router, prefix="/end_user", include_in_schema=False)
    reference.complete(api)
    return api


def _blank(version: str) -> FastAPI:
    """Return an application without paths."""
    return FastAPI(
        title="Tollgate",
        version=version,
        description=(
            "Budgets and rate limits for LLM traffic. Every path but /health needs the master key, "
            "or a key of a user whose role is proxy_admin."
        ),
        docs_url=None,  # FastAPI's page loads its scripts from elsewhere; ours is routes/docs.py
        redoc_url=None,
        # FastAPI would answer a path with a slash too many by a redirect to the address it believes
        # to have: wrong behind Envoy.
        redirect_slashes=False,
        dependencies=[Depends(check_query)],
    )
