"""One team: its limits, its members and their keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

from fastapi import Request, Response

from tollgate.adapters.http_api.console.forms import (
    RAISED,
    as_seen,
    body_of,
    id_of,
    judged,
)
from tollgate.adapters.http_api.console.limit_rows import raise_members
from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.pages.entity_pages import (
    Created,
    PagedKind,
    entity_router,
)
from tollgate.adapters.http_api.console.pages.people_page import PAGE_SIZE, shown
from tollgate.adapters.http_api.console.team_rights import (
    ManagingTeam,
    TeamPosted,
    TeamVisitor,
)
from tollgate.adapters.http_api.console.visitors import Form
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


async def _create(form: Form, management: Management) -> Created:
    body = body_of(form, wire.NewTeam, blank=False)
    await management.organizations.check(body.organization_id)
    blank = Team(body.team_id or str(uuid4()))
    live, _ = await management.teams.create_with(blank, body.change, [])
    return live.entity.id, "The team is made. Add members, and keys for them."


_KIND = PagedKind(
    word="team",
    id_field="team_id",
    fields=wire.UpdateTeam,
    service=lambda management: management.teams,
    row=lambda live: wire.row(live, ()),
    create=_create,
    requests_by="team_id",
    delete=lambda management, identity: management.teams.delete([identity]),
    warning="Delete this team with its members and all its keys?",
)
# Admins of a team see its page, so not all of it is for administrators.
router = entity_router(_KIND)


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
    values |= _KIND.values(live, live.entity.alias or live.entity.id)
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


@router.post("/member/add")
async def add_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """Make somebody a member; who is not known yet becomes a user."""
    body = body_of(form, member_wire.MemberFields, blank=False, team_id=id_of(form))
    user_id = id_of(form, "user_id")
    new = NewMember(body.role or MemberRole.USER, user_id)

    def change(member: Member, now_us: int) -> Member:
        return replace(body.change(member, now_us), role=new.role)

    await management.teams.members.add(body.team_id, [new], change)
    return _KIND.to(body.team_id, f"{user_id} is a member now.")


@router.post("/member")
async def update_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """Change a membership."""
    body = body_of(form, member_wire.UpdateMember, blank=True, team_id=id_of(form))
    change = as_seen(form, body.change)
    await management.teams.members.change_part(body.team_id, body.user_id, None, change)
    return _KIND.to(body.team_id, f"Saved: {body.user_id}.")


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
    return _KIND.to(team_id, RAISED)


@router.post("/member/reset")
async def reset_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """Set what a member has spent in the period to nothing."""
    found = (await management.teams.entities.get(id_of(form))).entity
    await management.teams.members.reset_spend(found, id_of(form, "user_id"), 0)
    return _KIND.to(id_of(form), f"{id_of(form, 'user_id')} has spent nothing in this period now.")


@router.post("/member/remove")
async def remove_member(form: TeamPosted, management: ManagingTeam) -> Response:
    """End a membership."""
    await management.teams.members.remove(id_of(form), id_of(form, "user_id"), None)
    return _KIND.to(id_of(form), f"{id_of(form, 'user_id')} is no member any more.")


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
