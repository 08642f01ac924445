"""Questions that several nouns ask of the registry."""

from __future__ import annotations

from tollgate.core.errors import BadRequest, NotFound
from tollgate.core.people import Key, Member, Team, User
from tollgate.management.collection import Collection
from tollgate.ports import Registry, Write


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


async def removals(registry: Registry, owner: User | Team) -> list[Write]:
    """The writes that delete an owner's keys and memberships."""
    keys = [key.hash for key in await Collection(registry, Key, "").all(owner)]
    members = [member.id for member in await Collection(registry, Member, "").all(owner)]
    stored = [*await registry.get(Key, keys), *await registry.get(Member, members)]
    return [Write(each, None) for each in stored if each is not None]
