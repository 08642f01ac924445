"""One key: where it stands, what it may do, and what can be done with it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tollgate.adapters.http_api.console.client_setup import ClientSetup, client_setup
from tollgate.adapters.http_api.console.forms import RAISED, RESET, as_seen, body_of, id_of, judged
from tollgate.adapters.http_api.console.limit_rows import raise_members
from tollgate.adapters.http_api.console.page_rendering import HEADERS, page
from tollgate.adapters.http_api.console.pages.requests_page import named
from tollgate.adapters.http_api.console.team_rights import (
    KeyPosted,
    KeyVisitor,
    Leading,
    ManagingTeam,
    NewKeyPosted,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.routes.reports import Reported
from tollgate.adapters.http_api.wire import keys as wire
from tollgate.core.entities import Key
from tollgate.management.virtual_keys import Made
from tollgate.ports import LedgerQuery

_LAST_REQUESTS = 10

router = APIRouter(prefix="/people/key")


@router.get("")
async def key(
    id: str,  # noqa: A002 - the query's name
    request: Request,
    visitor: KeyVisitor,
    management: Managed,
    reports: Reported,
    levels: Levelled,
    done: str | None = None,
) -> Response:
    """Show a key by its hash."""
    live = await management.keys.live_by_name(id)
    entity = live.entity
    query = LedgerQuery(payers=(f"key:{entity.id}",))
    found = await reports.records(query, _LAST_REQUESTS)
    all_levels = await levels.of_key(entity)
    values = {
        "visitor": visitor,
        "live": live,
        "levels": all_levels,
        "refusing": [
            each
            for each in all_levels
            if each.level.is_used_up and (visitor.is_administrator or not each.is_confidential)
        ],
        "fields": wire.row(live),
        "former": await management.keys.former(entity),
        "records": found.records,
        "setup": await client_setup(request, reports, entity),
        "done": done,
        **await named(found.records, management),
    }
    return page(request, "people/key.html", values)


@router.post("")
async def update(form: KeyPosted, management: ManagingTeam) -> Response:
    """Change a key."""
    body = body_of(form, wire.UpdateKey, blank=True, key=id_of(form))
    await management.budgets.check(body.budget_id)
    live = await management.keys.update(id_of(form), as_seen(form, body.change))
    return _to(live.entity, "Saved. It holds everywhere within a second.")


@router.post("/new")
async def create(
    request: Request,
    visitor: Leading,
    form: NewKeyPosted,
    management: ManagingTeam,
    reports: Reported,
) -> Response:
    """Make a key, and show its secret once."""
    body = body_of(form, wire.GenerateKey, blank=False)
    made = await management.keys.create(body.change, anonymous=body.is_anonymous)
    setup = await client_setup(request, reports, made.live.entity)
    return _with_secret(request, visitor, made, "This is the new key.", setup)


@router.post("/regenerate")
async def regenerate(
    request: Request,
    visitor: Leading,
    form: KeyPosted,
    management: ManagingTeam,
    reports: Reported,
) -> Response:
    """Give a key a new secret, and show that once."""
    body = body_of(form, wire.RegenerateKey, blank=False)
    grace = body.grace_period
    made = await management.keys.regenerate(id_of(form), lambda key, _: key, grace=grace)
    old = "works no more" if grace is None else f"works for {grace} more"
    told = f"This is the key's new secret. The old one {old}."
    setup = await client_setup(request, reports, made.live.entity)
    return _with_secret(request, visitor, made, told, setup)


@router.post("/block")
async def block(form: KeyPosted, management: ManagingTeam) -> Response:
    """Stop a key."""
    live = await management.keys.update(id_of(form), lambda key, _: replace(key, blocked=True))
    return _to(live.entity, "Blocked. Its calls are refused everywhere within a second.")


@router.post("/unblock")
async def unblock(form: KeyPosted, management: ManagingTeam) -> Response:
    """Let a blocked key work again."""
    live = await management.keys.update(id_of(form), lambda key, _: replace(key, blocked=False))
    return _to(live.entity, "Unblocked. It works again within a second.")


@router.post("/reset")
async def reset(form: KeyPosted, management: ManagingTeam) -> Response:
    """Set what a key has spent in its period to nothing."""
    live, _ = await management.keys.reset_spend(id_of(form), 0)
    return _to(live.entity, RESET)


@router.post("/raise")
async def raise_limit(form: KeyPosted, management: ManagingTeam) -> Response:
    """Raise one of a key's own limits for a time."""
    live = await management.keys.live_by_name(id_of(form))
    members = raise_members(form, live.entity.limits, wire.row(live).limits)
    body = judged(wire.UpdateKey, {"key": id_of(form), **members})
    live = await management.keys.update(id_of(form), as_seen(form, body.change))
    return _to(live.entity, RAISED)


@router.post("/delete")
async def delete(form: KeyPosted, management: ManagingTeam) -> Response:
    """Delete a key."""
    key = (await management.keys.live_by_name(id_of(form))).entity
    await management.keys.delete([key.hash])
    after = "?show=keys" if key.team_id is None else f"/team?{urlencode({'id': key.team_id})}"
    return RedirectResponse(f"/ui/people{after}", 303, HEADERS)


def _with_secret(
    request: Request, visitor: Leading, made: Made, told: str, setup: ClientSetup
) -> Response:
    values = {"visitor": visitor, "made": made, "told": told, "setup": setup}
    return page(request, "people/secret.html", values)


def _to(entity: Key, done: str) -> Response:
    query = urlencode({"id": entity.hash, "done": done})
    return RedirectResponse(f"/ui/people/key?{query}", 303, HEADERS)
