"""/organization/*, with the methods that LiteLLM has."""

from __future__ import annotations

from uuid import uuid4

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.wire import teams as team_wire
from tollgate.adapters.http_api.wire.scopes import organizations as wire
from tollgate.core.entities import Organization, User
from tollgate.core.errors import BadRequest
from tollgate.management import Management
from tollgate.ports import entity_of

router = APIRouter(prefix="/organization", tags=["organizations"], route_class=JsonRoute)


@router.post("/new")
async def new(body: wire.NewOrganization, management: Administered) -> wire.OrganizationRow:
    """Create an organization, with a budget's limits or limits of its own."""
    await management.budgets.check(body.budget_id)
    organization = Organization(body.organization_id or str(uuid4()))
    return wire.row(
        await management.organizations.create(organization, body.change, body.spend or 0)
    )


@router.post("/update", include_in_schema=False)  # as LiteLLM's Terraform provider calls it
@router.patch("/update")
async def update(body: wire.UpdateOrganization, management: Administered) -> wire.OrganizationRow:
    """Change an organization: omitted fields stay, null clears."""
    await management.budgets.check(body.budget_id)
    return wire.row(
        await management.organizations.update(body.organization_id, body.change, body.spend)
    )


@router.get("/info")
async def info(
    management: Administered, organization_id: str | None = None
) -> wire.OrganizationAnswer:
    """Return an organization, its members and its teams."""
    if organization_id is None:
        raise BadRequest("organization_id is required", "organization_id")
    return await _answer(management, organization_id)


@router.post("/info", include_in_schema=False)
async def several(
    body: wire.QueryOrganizations, management: Administered
) -> list[wire.OrganizationAnswer]:
    """Return those of the given organizations that exist; LiteLLM's older form."""
    found = await management.registry.get(Organization, list(dict.fromkeys(body.organizations)))
    return [await _answer(management, each.entity.id) for each in found if each is not None]


@router.get("/list")
async def list_organizations(
    management: Administered, org_id: str | None = None, org_alias: str | None = None
) -> list[wire.OrganizationAnswer]:
    """List organizations, newest first: all, or those of an id or with a part of an alias."""
    return [
        await _answer(management, each.id)
        for each in await management.organizations.entities.all()
        if org_id in (None, each.id) and (org_alias or "").lower() in (each.alias or "").lower()
    ]


@router.delete("/delete")
async def delete(
    body: wire.DeleteOrganizations, management: Administered
) -> list[wire.OrganizationRow]:
    """Delete organizations with their teams, keys and memberships. The ledger stays."""
    return [wire.row(each) for each in await management.organizations.delete(body.organization_ids)]


@router.post("/member_add")
async def member_add(
    body: wire.AddOrganizationMembers, management: Administered
) -> wire.AddedOrganizationMembers:
    """Add users to an organization; an unknown user is created."""
    members = management.organizations.members
    new = [each.new_member() for each in body.member]
    added = await members.add(body.organization_id, new, body.member_change)
    found = await management.registry.get(User, [each.user_id for each in added])
    users = [entity_of(each) for each in found]
    return wire.AddedOrganizationMembers(
        organization_id=body.organization_id,
        updated_users=tuple(
            {"user_id": each.id, "user_email": each.email} for each in users if each is not None
        ),
        updated_organization_memberships=tuple(
            wire.member_row(each) for each in await members.live(added)
        ),
    )


@router.post("/member_update", include_in_schema=False)
@router.patch("/member_update")
async def member_update(
    body: wire.UpdateOrganizationMember, management: Administered
) -> wire.OrganizationMembershipRow:
    """Change a membership: omitted fields stay, null clears."""
    members = management.organizations.members
    return wire.member_row(
        await members.change_part(body.organization_id, body.user_id, body.user_email, body.change)
    )


@router.delete("/member_delete")
async def member_delete(
    body: wire.DeleteOrganizationMember, management: Administered
) -> wire.OrganizationMembershipRow:
    """End a membership."""
    members = management.organizations.members
    return wire.member_row(
        await members.remove(body.organization_id, body.user_id, body.user_email)
    )


async def _answer(management: Management, identity: str) -> wire.OrganizationAnswer:
    found = await management.organizations.info(identity)
    teams = []
    for each in found.teams:
        members = await management.teams.members.of_team(each.entity)
        teams.append(team_wire.row(each, [member.entity for member in members]))
    return wire.answer(found.organization, found.members, teams)
