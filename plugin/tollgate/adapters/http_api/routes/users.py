"""/user/*"""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Query

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered, Managed, Somebody
from tollgate.adapters.http_api.queries import PageNumber
from tollgate.adapters.http_api.wire import keys as key_wire
from tollgate.adapters.http_api.wire import teams as team_wire
from tollgate.adapters.http_api.wire import users as wire
from tollgate.core.entities import Role, User
from tollgate.core.errors import BadRequest
from tollgate.management import Management
from tollgate.management.administrators import Administrator, Denied
from tollgate.management.lookups import user_id_of
from tollgate.management.spending.spending import Live

router = APIRouter(prefix="/user", tags=["internal users"], route_class=JsonRoute)


@router.post("/new")
async def new(body: wire.NewUser, management: Administered) -> wire.CreatedUser:
    """Create a user, and a key for them."""
    await management.organizations.check(body.organization_id)
    key_change = body.key_change if body.auto_create_key else None
    user = User(body.user_id or str(uuid4()))
    live, made = await management.users.create_with(
        user, body.change, body.memberships(), key_change, body.spend or 0
    )
    return wire.created(live, made)


@router.get("/info")
async def info(
    caller: Somebody, management: Managed, user_id: str | None = None
) -> wire.UserAnswer:
    """Return a user, their keys and teams; without `user_id`, the caller.

    Only administrators may ask about others, and about teams.
    """
    own = None if caller.key is None else caller.key.user_id
    if user_id is None:
        user_id = own
    if user_id is None:
        raise BadRequest("user_id is required: this key belongs to no user", "user_id")
    if not isinstance(caller, Administrator) and user_id != own:
        raise Denied(
            f"key not allowed to access this user's info. user_id={user_id}, key's user_id={own}",
            status=403,
        )
    found = await management.users.info(user_id)
    # Members may know their teams, but not what those have spent.
    shown = found.team_ids if isinstance(caller, Administrator) else ()
    teams = [await management.teams.entities.find_stored(each) for each in shown]
    lives = await management.teams.live([each.entity for each in teams if each is not None])
    return wire.UserAnswer(
        user_id=user_id,
        user_info=wire.row(found.user, found.team_ids),
        keys=tuple(key_wire.row(each) for each in found.keys),
        teams=tuple(team_wire.row(each, ()) for each in lives),
    )


@router.post("/update")
async def update(body: wire.UpdateUser, management: Administered) -> wire.UpdatedUser:
    """Change a user: omitted fields stay, null clears."""
    await management.organizations.check(body.organization_id)
    user_id = await user_id_of(management.registry, body.user_id, body.user_email)
    live = await management.users.update(user_id, body.change, body.spend)
    return wire.UpdatedUser(
        user_id=user_id, data=wire.row(live, await management.users.team_ids(user_id))
    )


@router.post("/delete")
async def delete(body: wire.DeleteUsers, management: Administered) -> int:
    """Delete users with their keys and memberships; return the number of users.

    Their spend stays in the ledger.
    """
    return await management.users.delete(body.user_ids)


@router.get("/list")
async def list_users(
    management: Administered,
    page: PageNumber = 1,
    page_size: Annotated[int, Query(ge=1, le=1000)] = 25,
    role: Role | None = None,
    user_ids: Annotated[str | None, Query(description="separated by commas")] = None,
    user_email: str | None = None,
    search: str | None = None,
) -> wire.UserList:
    """List users, newest first."""
    wanted = None if user_ids is None else set(user_ids.split(","))

    def keep(user: User) -> bool:
        text = f"{user.id} {user.alias or ''} {user.email or ''}".lower()
        return (
            (role is None or user.role is role)
            and (wanted is None or user.id in wanted)
            and (user_email is None or user_email.lower() in (user.email or "").lower())
            and (search is None or search.lower() in text)
        )

    unfiltered = role is None and wanted is None and user_email is None and search is None
    found = await management.users.page(
        (page - 1) * page_size, page_size, None if unfiltered else keep
    )
    users = [
        await _listed(management, live.entity.id, live)
        for live in await management.users.live(found.entities)
    ]
    return wire.UserList(
        users=tuple(users),
        total=found.total,
        page=page,
        page_size=page_size,
        total_pages=-(-found.total // page_size),
    )


async def _listed(management: Management, user_id: str, live: Live[User]) -> wire.ListedUser:
    row = wire.row(live, await management.users.team_ids(user_id))
    return wire.ListedUser(**dict(row), key_count=await management.users.key_count(user_id))
