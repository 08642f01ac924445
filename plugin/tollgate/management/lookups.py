"""Answer registry questions that several nouns share."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from tollgate.core.entities import Key, Member, Organization, OrganizationMember, Team, User
from tollgate.core.errors import BadRequest, Conflict, NotFound
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.limits.limit_parts import place_for
from tollgate.management.collection import Collection
from tollgate.management.spending.creation import NewUsers
from tollgate.management.spending.limits import new_entity
from tollgate.ports import Registry, Stored, Write, entity_of


async def user_id_of(registry: Registry, user_id: str | None, email: str | None) -> str:
    """Return the id of a user given by id or e-mail address. Raises BadRequest or NotFound."""
    if user_id is not None:
        return user_id
    if email is None:
        raise BadRequest("either user_id or user_email must be provided", "user_id")
    stored = await registry.find_named(User, email)
    if stored is None:
        raise NotFound(f"User not found, passed user_email={email}")
    return stored.entity.id


async def find_or_make_user(
    registry: Registry, user_id: str | None, email: str | None, now_us: int, rules: NewUsers
) -> tuple[Stored[User] | None, User]:
    """Return a user given by id or e-mail address as stored; None and a new one if unknown."""
    stored = None
    if user_id is not None:
        (stored,) = await registry.get(User, [user_id])
    elif email is not None:
        stored = await registry.find_named(User, email)
    if stored is not None:
        return stored, stored.entity
    user = rules.blank(User(user_id or str(uuid4()), email=email))
    return None, rules.made(new_entity(user, now_us))


async def home_in(registry: Registry, organization: str, identity: str) -> str | None:
    """Return the home of a new team or key of an organization; None: its own place.

    `identity`: of the team, or of a key without one. Keys of a team are counted beside it.
    """
    if organization == DEFAULT_ORGANIZATION:
        return None
    found = entity_of((await registry.get(Organization, [organization]))[0])
    if found is None or found.shards == 1:
        return None
    place = place_for(organization, found.shards, identity)
    return None if place == organization else place


async def imply_teams(
    registry: Registry, team_ids: Iterable[str | None], organization: str, now_us: int
) -> None:
    """Create teams that were named but never created.

    A misspelt name then shows in the list of teams, its spend is counted, and it can be given
    limits.
    """
    names = sorted({each for each in team_ids if each is not None})
    for name, stored in zip(names, await registry.get(Team, names) if names else (), strict=True):
        if stored is None:
            home = await home_in(registry, organization, name)
            implied = Team(name, organization=organization, implied=True, home=home)
            team = new_entity(implied, now_us)
            # Somebody else created it concurrently.
            with suppress(Conflict):
                await registry.write(Write(None, team))


async def organization_of(registry: Registry, member: Member) -> str:
    """Return the organization in whose place a member's counters are: the team's."""
    team = entity_of((await registry.get(Team, [member.team_id]))[0])
    if team is None:
        return DEFAULT_ORGANIZATION
    return team.place


async def removals(registry: Registry, owner: User | Team | Organization) -> list[Write]:
    """Return the writes that delete an owner's keys and memberships."""
    stored: list[Stored[Any] | None] = []
    if not isinstance(owner, Organization):
        keys = [key.hash for key in await Collection(registry, Key, "").all(owner)]
        members = [member.id for member in await Collection(registry, Member, "").all(owner)]
        stored += [*await registry.get(Key, keys), *await registry.get(Member, members)]
    if not isinstance(owner, Team):
        employees = await Collection(registry, OrganizationMember, "").all(owner)
        stored += await registry.get(OrganizationMember, [each.id for each in employees])
    return [Write(each, None) for each in stored if each is not None]
