"""One customer: an end user whom calls name, and their limits."""

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
from tollgate.adapters.http_api.console.visitors import (
    Administrating,
    Managing,
    Posted,
    administrator,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire.scopes import customers as wire
from tollgate.core.entities import Customer

router = APIRouter(prefix="/people/customer", dependencies=[Depends(administrator)])


@router.get("")
async def customer(
    id: str,  # noqa: A002 - the query's name
    request: Request,
    visitor: Administrating,
    management: Managed,
    levels: Levelled,
    done: str | None = None,
) -> Response:
    """Show a customer with where its limits stand."""
    live = await management.customers.live_by_id(id)
    (own_levels,) = await levels.of([live.entity])
    values = {
        "visitor": visitor,
        "live": live,
        "levels": own_levels,
        "fields": wire.row(live, None),
        "kind": "customer",
        "about": ("alias", "Name", live.entity.alias),
        "done": done,
    }
    return page(request, "people/named.html", values)


@router.post("/new")
async def create(form: Posted, management: Managing) -> Response:
    """Register a customer."""
    body = body_of(form, wire.CustomerFields, blank=False)
    await management.budgets.check(body.budget_id)
    live = await management.customers.create(Customer(body.user_id), body.change)
    return _to(live.entity.id, "It is registered. Its limits hold from now on.")


@router.post("")
async def update(form: Posted, management: Managing) -> Response:
    """Change a customer."""
    body = body_of(form, wire.CustomerFields, blank=True, user_id=id_of(form))
    live = await management.customers.update(body.user_id, as_seen(form, body.change))
    return _to(live.entity.id, "Saved. It holds everywhere within a second.")


@router.post("/raise")
async def raise_limit(form: Posted, management: Managing) -> Response:
    """Raise one limit for a time."""
    live = await management.customers.live_by_id(id_of(form))
    members = raise_members(form, live.entity.limits, wire.row(live, None).limits)
    body = judged(wire.CustomerFields, {"user_id": id_of(form), **members})
    await management.customers.update(id_of(form), as_seen(form, body.change))
    return _to(id_of(form), RAISED)


@router.post("/reset")
async def reset(form: Posted, management: Managing) -> Response:
    """Set what was spent in the period to nothing."""
    await management.customers.update(id_of(form), lambda each, _: each, 0)
    return _to(id_of(form), RESET)


@router.post("/block")
async def block(form: Posted, management: Managing) -> Response:
    """Stop the calls of a customer."""
    await management.customers.update(id_of(form), lambda each, _: replace(each, blocked=True))
    return _to(id_of(form), "Blocked. Its calls are refused everywhere within a second.")


@router.post("/unblock")
async def unblock(form: Posted, management: Managing) -> Response:
    """Let a blocked customer work again."""
    await management.customers.update(id_of(form), lambda each, _: replace(each, blocked=False))
    return _to(id_of(form), "Unblocked. It works again within a second.")


@router.post("/delete")
async def delete(form: Posted, management: Managing) -> Response:
    """Delete a customer: nothing of its own limits it any more."""
    await management.customers.delete([id_of(form)])
    return RedirectResponse("/ui/people?show=customers", 303, HEADERS)


def _to(identity: str, done: str) -> Response:
    query = urlencode({"id": identity, "done": done})
    return RedirectResponse(f"/ui/people/customer?{query}", 303, HEADERS)
