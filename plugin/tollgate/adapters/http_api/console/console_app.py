"""The console as an application of its own, beside the API: its faults are pages too."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from tollgate import telemetry
from tollgate.adapters.http_api.console import signing_in
from tollgate.adapters.http_api.console.page_rendering import HEADERS, page
from tollgate.adapters.http_api.console.pages import (
    audit_page,
    key_page,
    mine_page,
    models_page,
    named_page,
    now_page,
    organization_page,
    people_page,
    requests_page,
    team_page,
    usage_page,
    user_page,
)
from tollgate.adapters.http_api.console.sessions import Sessions
from tollgate.adapters.http_api.console.visitors import Forbidden, NotSignedIn, sign_in_address
from tollgate.adapters.http_api.events_a_minute import EventsAMinute
from tollgate.adapters.http_api.routes.health import Watched
from tollgate.core.errors import (
    BadRequest,
    Conflict,
    HistoryUnavailable,
    NotFound,
    StoreUnavailable,
    TollgateError,
)
from tollgate.management import Management
from tollgate.management.administrators import Denied
from tollgate.ports.audit_ports import AuditLog
from tollgate.reporting import history_telemetry
from tollgate.reporting.levels import Levels
from tollgate.reporting.refused import Refusals
from tollgate.reporting.reports import Reports
from tollgate.reporting.usage_sums import UsageSums

_PATH = "/ui"
_log = logging.getLogger("tollgate.console")
_STATUSES: dict[type[Exception], int] = {
    BadRequest: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    StoreUnavailable: 503,
}
_WORDS = {
    400: "That cannot be done so",
    403: "Not yours to see",
    404: "There is no such thing",
    405: "That cannot be done here",
    409: "Somebody else was faster",
    500: "Tollgate failed",
    503: "The store does not answer",
}


def create_console(
    management: Management,
    reports: Reports,
    refused: Refusals,
    usage_sums: UsageSums,
    levels: Levels,
    audit_log: AuditLog,
    watched: Watched,
    sessions: Sessions,
) -> FastAPI:
    """Return the console. `watched`: what the page *Now* tells the health of."""
    console = FastAPI(openapi_url=None, redirect_slashes=False)
    console.state.management = management
    console.state.reports = reports
    console.state.refusals = refused
    console.state.usage_sums = usage_sums
    console.state.levels = levels
    console.state.audit_log = audit_log
    console.state.watched = watched
    console.state.sessions = sessions
    # Set when the process is told to stop: streams of the console end then.
    console.state.told_to_stop = asyncio.Event()
    console.state.failed_sign_ins = EventsAMinute(signing_in.FAILURES_A_MINUTE)
    for router in (
        signing_in.router,
        mine_page.router,
        people_page.router,
        key_page.router,
        organization_page.router,
        team_page.router,
        user_page.router,
        named_page.customer_router,
        named_page.tag_router,
        now_page.router,
        usage_page.router,
        requests_page.router,
        models_page.router,
        audit_page.router,
    ):
        console.include_router(router, prefix=_PATH)
    files = StaticFiles(packages=[("tollgate.adapters.http_api.console", "static")])
    console.mount(f"{_PATH}/static", files)
    console.add_exception_handler(NotSignedIn, _ask_to_sign_in)
    for fault in (RequestValidationError, HTTPException, Forbidden, TollgateError, Exception):
        console.add_exception_handler(fault, _tell)
    return console


class ConsoleBeside:
    """Middleware: paths of the console are the console's, all others the API's."""

    def __init__(self, app: ASGIApp, console: ASGIApp) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        ours = scope["type"] == "http" and f"{scope['path']}/".startswith(f"{_PATH}/")
        if not ours:
            await self._app(scope, receive, send)
            return
        # A form sends its empty fields too; they ask for nothing.
        given = urlencode(parse_qsl(scope["query_string"].decode("latin-1"))).encode()
        await self._console({**scope, "query_string": given}, receive, send)


async def _ask_to_sign_in(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, NotSignedIn)
    return RedirectResponse(sign_in_address(request, fault.told), 303, HEADERS)


async def _tell(request: Request, fault: Exception) -> Response:
    """Answer with a page that says what is wrong."""
    status, told = _told(fault)
    if status >= 500 and not isinstance(fault, StoreUnavailable | HistoryUnavailable):
        # Only the path: queries and forms may hold secrets.
        _log.error("%s %s failed", request.method, request.url.path, exc_info=fault)
    values = {"title": _WORDS.get(status, "That did not work"), "told": told, "status": status}
    return page(request, "fault.html", values, status)


def _told(fault: Exception) -> tuple[int, str]:
    if isinstance(fault, StoreUnavailable):
        telemetry.store_failed("console", fault)
        return 503, "Nothing is lost. Reload the page in a moment; health is at /health/readiness."
    if isinstance(fault, HistoryUnavailable):
        history_telemetry.not_read(fault)
        return 503, "The history's database does not answer. Reload the page in a moment."
    if isinstance(fault, RequestValidationError):
        first = fault.errors()[0]
        return 400, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"
    if isinstance(fault, HTTPException):
        return fault.status_code, str(fault.detail)
    if isinstance(fault, Denied):
        return fault.status, str(fault)
    if isinstance(fault, TollgateError | Forbidden):
        return _STATUSES.get(type(fault), 500), str(fault)
    return 500, "Its log says why."
