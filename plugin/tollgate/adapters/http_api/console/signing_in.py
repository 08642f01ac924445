"""Signing in and out."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tollgate.adapters.http_api.console.page_rendering import HEADERS, page
from tollgate.adapters.http_api.console.sessions import COOKIE, LONGEST_S
from tollgate.adapters.http_api.console.visitors import (
    NotSignedIn,
    Posted,
    Signed,
    check_admitted,
    own_path,
    read_form,
    visitor_of,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.events_a_minute import EventsAMinute
from tollgate.management.administrators import Administrator, Denied

_log = logging.getLogger("tollgate.console")
_TOO_MANY = 429
FAILURES_A_MINUTE = 10
"""Attempts of one address that fail. Nobody is kept out by how often they sign in."""

router = APIRouter()


@router.get("/sign-in")
async def ask(request: Request, after: str = "", told: str = "") -> Response:
    """Ask for a key."""
    return page(request, "sign_in.html", {"after": own_path(after), "told": told[:300]})


@router.post("/sign-in")
async def sign_in(request: Request, management: Managed, sessions: Signed) -> Response:
    """Begin a session for whoever has a key that works."""
    form = await read_form(request)
    after, address = own_path(form.get("after", "")), client_address(request)
    failures: EventsAMinute = request.app.state.failed_sign_ins
    if wait_s := failures.wait_s(address):
        _log.warning("console: too many attempts to sign in from %s", address)
        told = f"Too many attempts failed. Try again in {wait_s} seconds."
        answer = page(request, "sign_in.html", {"after": after, "told": told}, _TOO_MANY)
        answer.headers["retry-after"] = str(wait_s)
        return answer
    try:
        caller = await management.callers.authenticate(form.get("key", "").strip())
        check_admitted(caller, sessions)
    except Denied as denied:
        failures.count(address)
        _log.warning("console: sign-in refused from %s: %s", address, denied.kind)
        return page(request, "sign_in.html", {"after": after, "told": str(denied)}, denied.status)
    key = caller.key
    session = sessions.begin(None if key is None else key.hash)
    role = "administrator" if isinstance(caller, Administrator) else "key's owner"
    name = "the master key" if key is None else f"key {key.name}"
    _log.info("console: %s signed in with %s from %s", role, name, address)
    answer_on = RedirectResponse(after, 303, HEADERS)
    answer_on.set_cookie(
        COOKIE,
        sessions.cookie(session),
        max_age=LONGEST_S,
        path="/ui",
        httponly=True,
        samesite="strict",
        # Envoy says how the client came.
        secure=request.headers.get("x-forwarded-proto") == "https",
    )
    return answer_on


@router.post("/sign-out")
async def sign_out(_: Posted) -> Response:
    """End the session."""
    answer = RedirectResponse("/ui/sign-in", 303, HEADERS)
    answer.delete_cookie(COOKIE, path="/ui", httponly=True, samesite="strict")
    return answer


@router.get("")
async def first_page(request: Request, management: Managed, sessions: Signed) -> Response:
    """Lead to the page that a visitor begins with."""
    try:
        visitor = await visitor_of(request, management, sessions)
    except NotSignedIn:
        return RedirectResponse("/ui/sign-in", 303, HEADERS)
    first = "/ui/now" if visitor.is_administrator else "/ui/mine"
    if visitor.leads and not visitor.is_administrator:
        first = "/ui/people"
    return RedirectResponse(first, 303, HEADERS)


def client_address(request: Request) -> str:
    """Return the client's address, as Envoy tells it."""
    told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    address = told or (request.client.host if request.client else "")
    return "".join(each for each in address if each in "0123456789abcdefABCDEF.:")[:45] or "unknown"
