"""One user: their limits over all their keys, their teams, their keys."""

from __future__ import annotations

from fastapi import Depends, Request, Response

from tollgate.adapters.http_api.console.forms import (
    body_of,
    id_of,
)
from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.pages.entity_pages import (
    Created,
    PagedKind,
    entity_router,
)
from tollgate.adapters.http_api.console.pages.people_page import PAGE_SIZE, shown
from tollgate.adapters.http_api.console.visitors import (
    Administrating,
    Form,
    administrator,
)
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.adapters.http_api.wire import users as wire
from tollgate.core.entities import User
from tollgate.management import Management
from tollgate.management.virtual_keys import KeyQuery


async def _create(form: Form, management: Management) -> Created:
    """Make a user, without a key."""
    body = body_of(form, wire.UpdateUser, blank=False)
    blank = User(id_of(form, "user_id"))
    live, _ = await management.users.create_with(blank, body.change, [], None)
    return live.entity.id, "The user is made. Keys that name them share their limits."


_KIND = PagedKind(
    word="user",
    id_field="user_id",
    fields=wire.UpdateUser,
    service=lambda management: management.users,
    row=lambda live: wire.row(live, ()),
    create=_create,
    requests_by="user_id",
)
router = entity_router(_KIND, [Depends(administrator)])


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
        **_KIND.values(live, live.entity.alias or live.entity.email or live.entity.id),
        "visitor": visitor,
        "levels": own_levels,
        "fields": wire.row(live, team_ids),
        "team_ids": team_ids,
        "total_keys": keys.total,
        "done": done,
        **await shown(management, levels, keys.entities),
    }
    return page(request, "people/user.html", values)
