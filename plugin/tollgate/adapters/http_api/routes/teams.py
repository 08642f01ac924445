"""/team/*"""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.wire import keys as key_wire
from tollgate.adapters.http_api.wire import members as member_wire
from tollgate.adapters.http_api.wire import teams as wire
from tollgate.core.entities import Team, User
from tollgate.core.errors import BadRequest
from tollgate.core.money.dollars import dollars_of
from tollgate.management import Management
from tollgate.management.spending.spending import Live

router = APIRouter(prefix="/team", tags=["teams"], route_class=JsonRoute)


@router.post("/new")
async def new(body: wire.NewTeam, management: Administered) -> wire.CreatedTeam:
    """Create a team with its members."""
    await management.organizations.check(body.organization_id)
    members = [each.new_member() for each in body.members_with_roles or ()]
    team = Team(body.team_id or str(uuid4()))
    return wire.created(*await management.teams.create_with(team, body.change, members))


@router.get("/info")
async def info(management: Administered, team_id: str | None = None) -> wire.TeamAnswer:
    """Return a team, its members and its keys."""
    if team_id is None:
        raise BadRequest("Malformed request. No team id passed in.", "team_id")
    found = await management.teams.info(team_id)
    return wire.TeamAnswer(
        team_id=team_id,
        team_info=wire.row(found.team, [each.entity for each in found.members]),
        keys=tuple(key_wire.row(each) for each in found.keys),
        team_memberships=tuple(member_wire.row(each) for each in found.members),
    )


@router.get("/list")
async def list_teams(
    management: Administered, user_id: str | None = None, organization_id: str | None = None
) -> list[wire.TeamRow]:
    """List all teams, or those of a user or an organization, newest first."""
    teams = await management.teams.entities.all()
    if user_id is not None:
        own = set(await management.users.team_ids(user_id))
        teams = [team for team in teams if team.id in own]
    if organization_id is not None:
        teams = [team for team in teams if team.organization == organization_id]
    return [await _row(management, live) for live in await management.teams.live(teams)]


@router.post("/update")
async def update(body: wire.UpdateTeam, management: Administered) -> wire.UpdatedTeam:
    """Change a team: omitted fields stay, null clears."""
    await management.organizations.check(body.organization_id)
    live = await management.teams.update(body.team_id, body.change, body.spend)
    return wire.UpdatedTeam(team_id=body.team_id, data=await _row(management, live))


@router.post("/delete")
async def delete(body: wire.DeleteTeams, management: Administered) -> wire.DeletedTeams:
    """Delete teams with their keys and memberships. Their spend stays in the ledger."""
    return wire.DeletedTeams(deleted_teams=tuple(await management.teams.delete(body.team_ids)))


@router.post("/block")
async def block(body: wire.NamedTeam, management: Administered) -> wire.TeamRow:
    """Block a team's calls; takes effect everywhere within a second."""
    live = await management.teams.update(body.team_id, lambda team, _: replace(team, blocked=True))
    return await _row(management, live)


@router.post("/unblock")
async def unblock(body: wire.NamedTeam, management: Administered) -> wire.TeamRow:
    """Unblock a team."""
    live = await management.teams.update(body.team_id, lambda team, _: replace(team, blocked=False))
    return await _row(management, live)


@router.post("/model/add")
async def add_models(body: wire.TeamModels, management: Administered) -> wire.TeamRow:
    """Allow a team more models."""

    def change(team: Team, _: int) -> Team:
        return replace(team, models=tuple(dict.fromkeys((*team.models, *body.models))))

    return await _row(management, await management.teams.update(body.team_id, change))


@router.post("/model/delete")
async def delete_models(body: wire.TeamModels, management: Administered) -> wire.TeamRow:
    """Remove models from a team's list.

    Refused if the list would become empty, which would allow all models.
    """

    def change(team: Team, _: int) -> Team:
        left = tuple(each for each in team.models if each not in body.models)
        if team.models and not left:
            raise BadRequest(
                "an empty list allows every model; set models to ['no-default-models'] instead",
                "models",
            )
        return replace(team, models=left)

    return await _row(management, await management.teams.update(body.team_id, change))


@router.post("/member_add")
async def member_add(
    body: member_wire.AddMembers, management: Administered
) -> wire.TeamWithNewMembers:
    """Add users to a team; an unknown user is created."""
    new = [each.new_member() for each in body.member]
    users, members = await management.teams.members.add(body.team_id, new, body.member_change)
    row = await _row(management, await management.teams.live_by_id(body.team_id))
    return wire.TeamWithNewMembers(
        **dict(row),
        updated_users=tuple(_shown(user) for user in users),
        updated_team_memberships=tuple(
            {"user_id": each.user_id, "team_id": each.team_id} for each in members
        ),
    )


@router.post("/member_update")
async def member_update(
    body: member_wire.UpdateMember, management: Administered
) -> member_wire.UpdatedMember:
    """Change a membership: omitted fields stay, null clears."""
    members = management.teams.members
    return member_wire.updated(
        await members.change_part(body.team_id, body.user_id, body.user_email, body.change)
    )


@router.post("/member_delete")
async def member_delete(body: member_wire.DeleteMember, management: Administered) -> wire.TeamRow:
    """End a membership."""
    live = await management.teams.live_by_id(body.team_id)
    await management.teams.members.remove(body.team_id, body.user_id, body.user_email)
    return await _row(management, live)


@router.post("/{team_id}/member/{user_id}/reset_spend")
async def reset_member_spend(
    team_id: str, user_id: str, body: key_wire.ResetSpend, management: Administered
) -> member_wire.MemberSpendReset:
    """Lower a member's spend in the current period."""
    team = (await management.teams.entities.get(team_id)).entity
    live, previous = await management.teams.members.reset_spend(team, user_id, body.reset_to)
    shown = member_wire.row(live)
    return member_wire.MemberSpendReset(
        team_id=team_id,
        user_id=user_id,
        spend=shown.spend,
        previous_spend=dollars_of(previous),
        max_budget=shown.litellm_budget_table["max_budget"],
    )


async def _row(management: Management, live: Live[Team]) -> wire.TeamRow:
    members = await management.teams.members.of_team(live.entity)
    return wire.row(live, [each.entity for each in members])


def _shown(user: User) -> dict[str, str | None]:
    return {"user_id": user.id, "user_email": user.email}
