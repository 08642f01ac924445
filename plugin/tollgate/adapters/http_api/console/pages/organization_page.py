"""One organization: its limits, its members and its teams."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode
from uuid import uuid4

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
from tollgate.adapters.http_api.console.pages.people_page import shown
from tollgate.adapters.http_api.console.visitors import (
    Administrating,
    Managing,
    Posted,
    administrator,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire.parts.entity_rows import limits_row
from tollgate.adapters.http_api.wire.scopes import organizations as wire
from tollgate.core.entities import Organization

router = APIRouter(prefix="/people/organization", dependencies=[Depends(administrator)])


@router.get("")
async def organization(
    id: str,  # noqa: A002 - the query's name
    request: Request,
    visitor: Administrating,
    management: Managed,
    levels: Levelled,
    done: str | None = None,
) -> Response:
    """Show an organization with its members and teams."""
    found = await management.organizations.info(id)
    live = found.organization
    member_levels = await levels.of([each.entity for each in found.members])
    (own_levels,) = await levels.of([live.entity])
    values = {
        "visitor": visitor,
        "live": live,
        "levels": own_levels,
        "fields": wire.row(live),
        "members": [
            (member, own, limits_row(member))
            for member, own in zip(found.members, member_levels, strict=True)
        ],
        "done": done,
        **await shown(management, levels, [each.entity for each in found.teams]),
    }
    return page(request, "people/organization.html", values)


@router.post("/new")
async def create(form: Posted, management: Managing) -> Response:
    """Make an organization."""
    body = body_of(form, wire.NewOrganization, blank=False)
    blank = Organization(body.organization_id or str(uuid4()))
    live = await management.organizations.create(blank, body.change)
    return _to(live.entity.id, "The organization is made. Teams and keys may name it now.")


@router.post("")
async def update(form: Posted, management: Managing) -> Response:
    """Change an organization."""
    body = body_of(form, wire.UpdateOrganization, blank=True, organization_id=id_of(form))
    live = await management.organizations.update(body.organization_id, as_seen(form, body.change))
    return _to(live.entity.id, "Saved. It holds everywhere within a second.")


@router.post("/member/add")
async def add_member(form: Posted, management: Managing) -> Response:
    """Make somebody a member; who is not known yet becomes a user."""
    name = id_of(form, "user_id")
    fields = {key: text for key, text in form.items() if key != "user_id"}
    more = {"organization_id": id_of(form), "member": {"user_id": name}}
    body = body_of(fields, wire.AddOrganizationMembers, blank=False, **more)
    new = [each.new_member() for each in body.member]
    await management.organizations.members.add(body.organization_id, new, body.member_change)
    return _to(body.organization_id, f"{name} is a member now.")


@router.post("/member")
async def update_member(form: Posted, management: Managing) -> Response:
    """Change a membership."""
    fields = {key: text for key, text in form.items() if key != "user_id"}
    more = {"organization_id": id_of(form)}
    body = body_of(fields, wire.OrganizationMemberFields, blank=True, **more)
    await management.organizations.members.change_part(
        body.organization_id, id_of(form, "user_id"), None, as_seen(form, body.change)
    )
    return _to(body.organization_id, f"Saved: {id_of(form, 'user_id')}.")


@router.post("/member/remove")
async def remove_member(form: Posted, management: Managing) -> Response:
    """End a membership."""
    user_id = id_of(form, "user_id")
    await management.organizations.members.remove(id_of(form), user_id, None)
    return _to(id_of(form), f"{user_id} is no member any more.")


@router.post("/raise")
async def raise_limit(form: Posted, management: Managing) -> Response:
    """Raise one limit for a time."""
    live = await management.organizations.live_by_id(id_of(form))
    members = raise_members(form, live.entity.limits, wire.row(live).limits)
    body = judged(wire.UpdateOrganization, {"organization_id": id_of(form), **members})
    await management.organizations.update(id_of(form), as_seen(form, body.change))
    return _to(id_of(form), RAISED)


@router.post("/reset")
async def reset(form: Posted, management: Managing) -> Response:
    """Set what was spent in the period to nothing."""
    await management.organizations.update(id_of(form), lambda each, _: each, 0)
    return _to(id_of(form), RESET)


@router.post("/block")
async def block(form: Posted, management: Managing) -> Response:
    """Stop an organization's calls."""
    await management.organizations.update(id_of(form), lambda each, _: replace(each, blocked=True))
    return _to(id_of(form), "Blocked. Its calls are refused everywhere within a second.")


@router.post("/unblock")
async def unblock(form: Posted, management: Managing) -> Response:
    """Let a blocked organization work again."""
    await management.organizations.update(id_of(form), lambda each, _: replace(each, blocked=False))
    return _to(id_of(form), "Unblocked. It works again within a second.")


def _to(identity: str, done: str) -> Response:
    address = f"/ui/people/organization?{urlencode({'id': identity, 'done': done})}"
    return RedirectResponse(address, 303, HEADERS)
