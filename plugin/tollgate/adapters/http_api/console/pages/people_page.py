"""*Keys & people*: teams with their members and keys as a tree, keys and users as lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from tollgate.adapters.http_api.console.page_rendering import page
from tollgate.adapters.http_api.console.team_rights import Leading
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.queries import PageNumber
from tollgate.adapters.http_api.routes.lookups.own_usage import Levelled
from tollgate.core.entities import Team
from tollgate.core.errors import NotFound
from tollgate.management import Management
from tollgate.management.nouns import Noun
from tollgate.management.virtual_keys import SECRET_PREFIX, KeyQuery
from tollgate.ports import Page
from tollgate.reporting.levels import Levels

PAGE_SIZE = 25
_COUNTED_PAGES = 40
"""A search is counted so far ahead: with more it says just that."""

router = APIRouter(prefix="/people")


@router.get("")
async def people(
    request: Request,
    visitor: Leading,
    management: Managed,
    levels: Levelled,
    show: Literal["organizations", "teams", "keys", "users", "customers", "tags"] = "teams",
    search: Annotated[str | None, Query(max_length=300)] = None,
    page_number: Annotated[PageNumber, Query(alias="page")] = 1,
) -> Response:
    """Show a part of all organizations, teams, keys, users, customers or tags, newest first.

    With a search, the keys that it finds.
    """
    offset = (page_number - 1) * PAGE_SIZE
    show = "keys" if search is not None else show
    found: Page[Any]
    if not visitor.is_administrator:
        show, search = "teams", None
        found = await _teams(management, visitor.team_ids)
    elif show == "keys":
        found = await _keys(management, search, offset)
    else:
        lists: dict[str, Noun[Any]] = {
            "organizations": management.organizations,
            "teams": management.teams,
            "users": management.users,
            "customers": management.customers,
            "tags": management.tags,
        }
        found = await lists[show].page(offset, PAGE_SIZE)
    values = {
        "visitor": visitor,
        "show": show,
        "search": search,
        "page_number": page_number,
        "last_page": -(-found.total // PAGE_SIZE),
        "total": found.total,
        "counted_to": offset + _COUNTED_PAGES * PAGE_SIZE if search is not None else None,
        **await shown(management, levels, found.entities),
    }
    return page(request, "people/people.html", values)


async def shown(
    management: Management,
    levels: Levels,
    entities: Sequence[Any],
    organization: str | None = None,
) -> Mapping[str, Any]:
    """Return entities with what they spent and where their limits stand, as templates take them."""
    lives = await management.keys.spending.live(entities, organization)
    found = await levels.of(entities, organization)
    return {"rows": list(zip(lives, found, strict=True))}


async def _teams(management: Management, team_ids: Sequence[str]) -> Page[Any]:
    """Return some teams."""
    found = await management.registry.get(Team, team_ids)
    teams = tuple(each.entity for each in found if each is not None)
    return Page(teams, len(teams))


async def _keys(management: Management, search: str | None, offset: int) -> Page[Any]:
    """Return keys; with a search, the one of that secret or alias, else those whose alias or hash
    holds it. Only the last has to look at all keys.
    """
    if search is not None:
        by_secret = search.startswith(SECRET_PREFIX)
        named = management.keys.live_by_name if by_secret else management.keys.live_by_alias
        try:
            return Page(((await named(search)).entity,), 1)
        except NotFound:
            if by_secret:
                return Page((), 0)
    most = offset + _COUNTED_PAGES * PAGE_SIZE
    return await management.keys.page(KeyQuery(search=search), offset, PAGE_SIZE, most)
