"""One user: their limits over all their keys, their teams, their keys."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from tollgate.adapters.http_api.console.forms import (
    RAISED,
    RESET,
    as_seen,
    body_of,
    id_of,
    judged,
)
from tollgate.adapters.http_api.console.limit_rows import raise_members
from tollgate.adapters.http_api.console.page_rendering import HEADERS, page
from tollgate.adapters.http_api.console.pages.people_page import PAGE_SIZE, shown
from tollgate.adapters.http_api.console.visitors import (
    Administrating,
    Managing,
    Posted,
    administrator,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire import users as wire
from tollgate.core.entities import User
from tollgate.management.virtual_keys import KeyQuery

router = APIRouter(prefix="/people/user", dependencies=[Depends(administrator)])


@router.get("")
async def user(
    id: str,  # noqa: A002 - the query's name
    request: Request,
    visitor: Administrating,
    management: Managed,
    levels: Levelled,
    done: str | None = None,
) -> Response:
    """Show a user with their teams and keys."""
    live = await management.users.live_by_id(id)
    keys = await management.keys.page(KeyQuery(user_id=id), 0, PAGE_SIZE)
    (own_levels,) = await levels.of([live.entity])
    team_ids = await management.users.team_ids(id)
    values = {
        "visitor": visitor,
        "live": live,
        "levels": own_levels,
        "fields": wire.row(live, team_ids),
        "team_ids": team_ids,
        "total_keys": keys.total,
        "done": done,
        **await shown(management, levels, keys.entities),
    }
    return page(request, "people/user.html", values)


@router.post("/new")
async def create(form: Posted, management: Managing) -> Response:
    """Make a user, without a key."""
    body = body_of(form, wire.UpdateUser, blank=False)
    blank = User(id_of(form, "user_id"))
    live, _ = await management.users.create_with(blank, body.change, [], None)
    return _to(live.entity.id, "The user is made. Keys that name them share their limits.")


@router.post("")
async def update(form: Posted, management: Managing) -> Response:
    """Change a user."""
    body = body_of(form, wire.UpdateUser, blank=True)
    live = await management.users.update(id_of(form), as_seen(form, body.change))
    return _to(live.entity.id, "Saved. It holds everywhere within a second.")


@router.post("/raise")
async def raise_limit(form: Posted, management: Managing) -> Response:
    """Raise one limit for a time."""
    live = await management.users.live_by_id(id_of(form))
    members = raise_members(form, live.entity.limits, wire.row(live, ()).limits)
    body = judged(wire.UpdateUser, {"user_id": id_of(form), **members})
    await management.users.update(id_of(form), as_seen(form, body.change))
    return _to(id_of(form), RAISED)


@router.post("/reset")
async def reset(form: Posted, management: Managing) -> Response:
    """Set what was spent in the period to nothing."""
    await management.users.update(id_of(form), lambda each, _: each, 0)
    return _to(id_of(form), RESET)


@router.post("/block")
async def block(form: Posted, management: Managing) -> Response:
    """Stop all calls of a user."""
    await management.users.update(id_of(form), lambda user, _: replace(user, blocked=True))
    return _to(id_of(form), "Blocked. Their calls are refused everywhere within a second.")


@router.post("/unblock")
async def unblock(form: Posted, management: Managing) -> Response:
    """Let a blocked user work again."""
    await management.users.update(id_of(form), lambda user, _: replace(user, blocked=False))
    return _to(id_of(form), "Unblocked. Their keys work again within a second.")


def _to(user_id: str, done: str) -> Response:
    return RedirectResponse(
        f"/ui/people/user?{urlencode({'id': user_id, 'done': done})}", 303, HEADERS
    )
