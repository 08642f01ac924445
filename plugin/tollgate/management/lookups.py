"""Questions that several nouns ask of the registry."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from tollgate.core.entities import Key, Member, Team, User
from tollgate.core.errors import BadRequest, Conflict, NotFound
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.management.collection import Collection
from tollgate.management.spending.limits import new_entity
from tollgate.ports import Registry, Write, entity_of


async def user_id_of(registry: Registry, user_id: str | None, email: str | None) -> str:
    """The id of a user who is named by id or by e-mail address. Raises BadRequest, NotFound."""
    if user_id is not None:
        return user_id
    if email is None:
        raise BadRequest("either user_id or user_email must be provided", "user_id")
    stored = await registry.find_named(User, email)
    if stored is None:
        raise NotFound(f"User not found, passed user_email={email}")
    return stored.entity.id


async def imply_teams(
    registry: Registry, team_ids: Iterable[str | None], organization: str, now_us: int
) -> None:
    """Make teams that somebody was put into and that nobody made: so a slip shows in the list of
    teams, what it spends is counted, and it can be given limits.
    """
    names = sorted({each for each in team_ids if each is not None})
    for name, stored in zip(names, await registry.get(Team, names) if names else (), strict=True):
        if stored is None:
            team = new_entity(Team(name, organization=organization, implied=True), now_us)
            # Somebody else made it meanwhile: all the better.
            with suppress(Conflict):
                await registry.write(Write(None, team))


async def organization_of(registry: Registry, member: Member) -> str:
    """Return where a member's counters are: in the organization of the team."""
    team = entity_of((await registry.get(Team, [member.team_id]))[0])
    return DEFAULT_ORGANIZATION if team is None else team.organization


async def removals(registry: Registry, owner: User | Team) -> list[Write]:
    """The writes that delete an owner's keys and memberships."""
    keys = [key.hash for key in await Collection(registry, Key, "").all(owner)]
    members = [member.id for member in await Collection(registry, Member, "").all(owner)]
    stored = [*await registry.get(Key, keys), *await registry.get(Member, members)]
    return [Write(each, None) for each in stored if each is not None]
