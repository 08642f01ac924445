"""What admins of a team may see and do: their team's members and keys, and nothing beyond.

The limits of the team itself are an administrator's. A key of an administrator is not theirs even
when it is in their team: with a new secret of it they would be administrators.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

from fastapi import Depends

from tollgate.adapters.http_api.console.visitors import AnyVisitor, Forbidden, Form, Posted, Visitor
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.adapters.http_api.queries import LogFilters
from tollgate.core.entities import Key, Member, Role, User
from tollgate.management import Management
from tollgate.management.administrators import actor
from tollgate.ports import entity_of

# What their forms may say of a key. Whose it is, they say only when they make it.
_FIELDS = re.compile(
    r"id|seen_us|key_alias|duration|models|max_budget|budget_\w+|rpm_limit|tpm_limit|rpd_limit|"
    r"tpd_limit|max_parallel_requests|model_\w+|shadow|limits-\d+-\w+|limit|increase|expiry|"
    r"periods|grace_period|soft_budget|max_iterations|max_budget_per_session",
    re.ASCII,
)
_OWNERS = ("user_id", "team_id")
_NOT_THEIRS = "This is not of a team that you administer."


def leading(visitor: AnyVisitor) -> Visitor:
    """Return the visitor, who must be an administrator or a team's admin. Raises Forbidden."""
    if not visitor.leads:
        raise Forbidden(
            "This page needs the master key, an administrator's key, or that of a team's admin."
        )
    return visitor


Leading = Annotated[Visitor, Depends(leading)]


def of_team(visitor: AnyVisitor, id: str) -> Visitor:  # noqa: A002 - the query's name
    """Return the visitor of a team's page. Raises Forbidden."""
    if not visitor.manages(id):
        raise Forbidden(_NOT_THEIRS)
    return visitor


TeamVisitor = Annotated[Visitor, Depends(of_team)]


def posted_of_team(visitor: AnyVisitor, form: Posted) -> Form:
    """Return a form about members of a team. Raises Forbidden."""
    if not visitor.manages(form.get("id", "")):
        raise Forbidden(_NOT_THEIRS)
    return form


TeamPosted = Annotated[Form, Depends(posted_of_team)]


async def of_key(
    visitor: AnyVisitor,
    management: Managed,
    id: str,  # noqa: A002 - the query's name
) -> Visitor:
    """Return the visitor of a key's page. Raises Forbidden."""
    await _check_key(visitor, management, id)
    return visitor


KeyVisitor = Annotated[Visitor, Depends(of_key)]


async def posted_of_key(visitor: AnyVisitor, management: Managed, form: Posted) -> Form:
    """Return a form about a key. Raises Forbidden."""
    await _check_key(visitor, management, form.get("id", ""))
    _check_fields(visitor, form)
    return form


KeyPosted = Annotated[Form, Depends(posted_of_key)]


async def posted_of_new_key(visitor: AnyVisitor, management: Managed, form: Posted) -> Form:
    """Return a form that makes a key: a team's admin makes it for members, or for nobody.

    Raises Forbidden.
    """
    if visitor.is_administrator:
        return form
    user_id, team_id = (form.get(name, "").strip() for name in _OWNERS)
    if not visitor.manages(team_id):
        raise Forbidden("You make keys in teams that you administer: name one as the key's team.")
    _check_fields(visitor, {name: text for name, text in form.items() if name not in _OWNERS})
    if user_id:
        (member,) = await management.registry.get(Member, [f"{team_id}/{user_id}"])
        if member is None:
            raise Forbidden(f"{user_id} is no member of the team: add them first.")
        await _check_owner(management, user_id)
    return form


NewKeyPosted = Annotated[Form, Depends(posted_of_new_key)]


def managing_team(visitor: Leading, management: Managed) -> Management:
    """Return the use cases for whoever leads; the route's form says whether it is their team."""
    return management.acting_as(actor(visitor.caller, "console"), visitor.caller.key)


ManagingTeam = Annotated[Management, Depends(managing_team)]


def within_teams(visitor: Visitor, filters: LogFilters) -> LogFilters:
    """Return filters of the ledger that lead to no other team's calls. Raises Forbidden."""
    if visitor.is_administrator:
        return filters
    if filters.team_id is None:
        return replace(filters, team_id=visitor.team_ids[0])
    if not visitor.manages(filters.team_id):
        raise Forbidden(_NOT_THEIRS)
    return filters


async def _check_key(visitor: Visitor, management: Management, name: str) -> None:
    if visitor.is_administrator:
        return
    if not visitor.leads:
        raise Forbidden(_NOT_THEIRS)
    key: Key = (await management.keys.live_by_name(name)).entity
    if not visitor.manages(key.team_id):
        raise Forbidden(_NOT_THEIRS)
    if key.user_id is not None:
        await _check_owner(management, key.user_id)


async def _check_owner(management: Management, user_id: str) -> None:
    user = entity_of((await management.registry.get(User, [user_id]))[0])
    if user is not None and user.role is Role.ADMIN:
        raise Forbidden("Keys of administrators are theirs alone.")


def _check_fields(visitor: Visitor, form: Form) -> None:
    beyond = [name for name in form if not _FIELDS.fullmatch(name)]
    if beyond and not visitor.is_administrator:
        raise Forbidden(f"Admins of teams do not set {beyond[0]}.")
