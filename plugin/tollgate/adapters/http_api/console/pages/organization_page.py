"""One organization: its limits, its members and its teams."""

from __future__ import annotations

from uuid import uuid4

from fastapi import Depends, Request, Response

from tollgate.adapters.http_api.console.forms import (
    as_seen,
    body_of,
    id_of,
)
from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.pages.entity_pages import (
    Created,
    PagedKind,
    entity_router,
)
from tollgate.adapters.http_api.console.pages.people_page import shown
from tollgate.adapters.http_api.console.visitors import (
    Administrating,
    Form,
    Managing,
    Posted,
    administrator,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire.parts.entity_rows import limits_row
from tollgate.adapters.http_api.wire.scopes import organizations as wire
from tollgate.core.entities import Organization
from tollgate.management import Management


async def _create(form: Form, management: Management) -> Created:
    body = body_of(form, wire.NewOrganization, blank=False)
    blank = Organization(body.organization_id or str(uuid4()))
    live = await management.organizations.create(blank, body.change)
    return live.entity.id, "The organization is made. Teams and keys may name it now."


_KIND = PagedKind(
    word="organization",
    id_field="organization_id",
    fields=wire.UpdateOrganization,
    service=lambda management: management.organizations,
    row=wire.row,
    create=_create,
    requests_by="organization_id",
)
router = entity_router(_KIND, [Depends(administrator)])


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
        **_KIND.values(live, live.entity.alias or live.entity.id),
        "visitor": visitor,
        "levels": own_levels,
        "fields": _KIND.row(live),
        "members": [
            (member, own, limits_row(member))
            for member, own in zip(found.members, member_levels, strict=True)
        ],
        "done": done,
        **await shown(management, levels, [each.entity for each in found.teams]),
    }
    return page(request, "people/organization.html", values)


@router.post("/member/add")
async def add_member(form: Posted, management: Managing) -> Response:
    """Make somebody a member; who is not known yet becomes a user."""
    name = id_of(form, "user_id")
    fields = {key: text for key, text in form.items() if key != "user_id"}
    more = {"organization_id": id_of(form), "member": {"user_id": name}}
    body = body_of(fields, wire.AddOrganizationMembers, blank=False, **more)
    new = [each.new_member() for each in body.member]
    await management.organizations.members.add(body.organization_id, new, body.member_change)
    return _KIND.to(body.organization_id, f"{name} is a member now.")


@router.post("/member")
async def update_member(form: Posted, management: Managing) -> Response:
    """Change a membership."""
    fields = {key: text for key, text in form.items() if key != "user_id"}
    more = {"organization_id": id_of(form)}
    body = body_of(fields, wire.OrganizationMemberFields, blank=True, **more)
    await management.organizations.members.change_part(
        body.organization_id, id_of(form, "user_id"), None, as_seen(form, body.change)
    )
    return _KIND.to(body.organization_id, f"Saved: {id_of(form, 'user_id')}.")


@router.post("/member/remove")
async def remove_member(form: Posted, management: Managing) -> Response:
    """End a membership."""
    user_id = id_of(form, "user_id")
    await management.organizations.members.remove(id_of(form), user_id, None)
    return _KIND.to(id_of(form), f"{user_id} is no member any more.")
