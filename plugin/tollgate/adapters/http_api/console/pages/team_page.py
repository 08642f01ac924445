"""One team: its limits, its members and their keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Request, Response
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
from tollgate.adapters.http_api.console.team_rights import (
    ManagingTeam,
    TeamPosted,
    TeamVisitor,
)
from tollgate.adapters.http_api.console.visitors import Managing, Posted
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire import members as member_wire
from tollgate.adapters.http_api.wire import teams as wire
from tollgate.adapters.http_api.wire.parts.entity_rows import limits_row, printed_limits_with_models
from tollgate.core.entities import Member, MemberRole, Team
from tollgate.management import Management
from tollgate.management.members import NewMember
from tollgate.management.spending.spending import Live
from tollgate.management.virtual_keys import KeyQuery
from tollgate.reporting.levels import Levels

router = APIRouter(prefix="/people/team")


@router.get("")
async def team(
    id: str,  # noqa: A002 - the query's name
    request: Request,
    visitor: TeamVisitor,
    management: Managed,
    levels: Levelled,
    done: str | None = None,
) -> Response:
    """Show a team with its members and keys."""
    values = await _within(id, management, levels)
    live = values["live"]
    row = wire.row(live, [each.entity for each, _ in values["members"]])
    (own_levels,) = await levels.of([live.entity])
    values |= {"visitor": visitor, "fields": row, "levels": own_levels, "done": done}
    return page(request, "people/team.html", values)


@router.get("/branch")
async def branch(
    id: str,  # noqa: A002 - the query's name
    request: Request,
    visitor: TeamVisitor,
    management: Managed,
    levels: Levelled,
) -> Response:
    """Show what the tree has below a team."""
    values = await _within(id, management, levels)
    return page(request, "people/branch.html", {"visitor": visitor, **values})


@router.post("/new")
async def create(form: Posted, management: Managing) -> Response:
    """Make a team."""
    body = body_of(form, wire.NewTeam, blank=False)
    await management.organizations.check(body.organization_id)
    blank = Team(body.team_id or str(uuid4()))
    live, _ = await management.teams.create_with(blank, body.change, [])
    return _to(live.entity.id, "The team is made. Add members, and keys for them.")


@router.post("")
async def update(form: Posted, management: Managing) -> Response:
    """Change a team."""
    body = body_of(form, wire.UpdateTeam, blank=True, team_id=id_of(form))
    live = await management.teams.update(body.team_id, as_seen(form, body.change))
    return _to(live.entity.id, "Saved. It holds everywhere within a second.")


@router.post("/raise")
async def raise_limit(form: Posted, management: Managing) -> Response:
    """Raise one limit for a time."""
    live = await management.teams.live_by_id(id_of(form))
    members = raise_members(form, live.entity.limits, wire.row(live, ()).limits)
    body = judged(wire.UpdateTeam, {"team_id": id_of(form), **members})
    await management.teams.update(id_of(form), as_seen(form, body.change))
    return _to(id_of(form), RAISED)


@router.post("/reset")
async def reset(form: Posted, management: Managing) -> Response:
    """Set what was spent in the period to nothing."""
    await management.teams.update(id_of(form), lambda each, _: each, 0)
    return _to(id_of(form), RESET)


@router.post("/block")
async def block(form: Posted, management: Managing) -> Response:
    """Stop a team's calls."""
    await management.teams.update(id_of(form), lambda team, _: replace(team, blocked=True))
    return _to(id_of(form), "Blocked. Its calls are refused everywhere within a second.")


@router.post("/unblock")
async def unblock(form: Posted, management: Managing) -> Response:
    """Let a blocked team work again."""
    await management.teams.update(id_of(form), lambda team, _: replace(team, blocked=False))
    return _to(id_of(form), "Unblocked. It works again within a second.")


@router.post("/delete")
async def delete(form: Posted, management: Managing) -> Response:
    """Delete a team with its keys and memberships."""
    await management.teams.delete([id_of(form)])
    return RedirectResponse("/ui/people", 303, HEADERS)


@router.post("/member/add")
async def add_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """Make somebody a member; who is not known yet becomes a user."""
    body = body_of(form, member_wire.MemberFields, blank=False, team_id=id_of(form))
    user_id = id_of(form, "user_id")
    new = NewMember(body.role or MemberRole.USER, user_id)

    def change(member: Member, now_us: int) -> Member:
        return replace(body.change(member, now_us), role=new.role)

    await management.teams.members.add(body.team_id, [new], change)
    return _to(body.team_id, f"{user_id} is a member now.")


@router.post("/member")
async def update_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """Change a membership."""
    body = body_of(form, member_wire.UpdateMember, blank=True, team_id=id_of(form))
    change = as_seen(form, body.change)
    await management.teams.members.change_part(body.team_id, body.user_id, None, change)
    return _to(body.team_id, f"Saved: {body.user_id}.")


@router.post("/member/raise")
async def raise_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """Raise one of a member's own limits for a time."""
    team_id, user_id = id_of(form), id_of(form, "user_id")
    members = management.teams.members
    member = (await members.entities.get(f"{team_id}/{user_id}")).entity
    raised = raise_members(form, member.limits, printed_limits_with_models(member)["limits"])
    asked = {"team_id": team_id, "user_id": user_id, **raised}
    change = as_seen(form, judged(member_wire.UpdateMember, asked).change)
    await members.change_part(team_id, user_id, None, change)
    return _to(team_id, RAISED)


@router.post("/member/reset")
async def reset_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """Set what a member has spent in the period to nothing."""
    found = (await management.teams.entities.get(id_of(form))).entity
    await management.teams.members.reset_spend(found, id_of(form, "user_id"), 0)
    return _to(id_of(form), f"{id_of(form, 'user_id')} has spent nothing in this period now.")


@router.post("/member/remove")
async def remove_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """End a membership."""
    await management.teams.members.remove(id_of(form), id_of(form, "user_id"), None)
    return _to(id_of(form), f"{id_of(form, 'user_id')} is no member any more.")


async def _within(team_id: str, management: Management, levels: Levels) -> dict[str, Any]:
    """Return a team, its members and its newest keys, each with where their limits stand."""
    live = await management.teams.live_by_id(team_id)
    members = await management.teams.members.of_team(live.entity)
    own = await management.teams.members.entities.all(live.entity)
    organization = live.entity.place
    member_levels = await levels.of([each.entity for each in members], organization)
    keys = await management.keys.page(KeyQuery(team_id=team_id), 0, PAGE_SIZE)
    of_keys = (await shown(management, levels, keys.entities))["rows"]
    users = {each.entity.user_id for each in members}
    return {
        "live": live,
        "members": list(zip(members, member_levels, strict=True)),
        "own_limits": {each.user_id: (each, limits_row(Live(each))) for each in own},
        "keys_of": {
            user: [row for row in of_keys if row[0].entity.user_id == user] for user in users
        },
        "other_keys": [row for row in of_keys if row[0].entity.user_id not in users],
        "more_keys": max(0, keys.total - PAGE_SIZE),
    }


def _to(team_id: str, done: str) -> Response:
    return RedirectResponse(
        f"/ui/people/team?{urlencode({'id': team_id, 'done': done})}", 303, HEADERS
    )
