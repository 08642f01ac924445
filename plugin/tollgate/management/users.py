"""Manage internal users, who own keys. Their limits apply to all their keys together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tollgate.core.entities import Key, Member, MemberRole, User
from tollgate.management.collection import Collection
from tollgate.management.lookups import home_in, imply_teams, removals
from tollgate.management.nouns import Noun
from tollgate.management.spending.creation import Creation
from tollgate.management.spending.limits import new_entity
from tollgate.management.spending.spending import Live, Spending
from tollgate.management.virtual_keys import Made, blank, new_secret
from tollgate.ports import Clock, Registry, Write


@dataclass(frozen=True, slots=True)
class Membership:
    """A team that a new user joins, and the user's role in it."""

    team_id: str
    change: Callable[[Member, int], Member]


@dataclass(frozen=True, slots=True)
class UserInfo:
    """A user with their keys and teams."""

    user: Live[User]
    keys: list[Live[Key]]
    team_ids: tuple[str, ...]


class Users(Noun[User]):
    """The use cases on users."""

    def __init__(
        self, registry: Registry, spending: Spending, clock: Clock, rules: Creation
    ) -> None:
        self._rules = rules
        super().__init__(registry, spending, clock, User, "User not found, passed user_id={}")
        self._keys = Collection(registry, Key, "Key not found.")
        self._members = Collection(registry, Member, "User not found in team. Member: {}")

    async def create_with(
        self,
        user: User,
        change: Callable[[User, int], User],
        memberships: Sequence[Membership],
        key_change: Callable[[Key, int], Key] | None,
        spend_nanousd: int = 0,
    ) -> tuple[Live[User], Made | None]:
        """Create a user, their memberships and a key, all or none; without `key_change` no key.

        Raises Conflict if the user exists.
        """
        users = self._rules.users
        user = users.made(self.made(users.blank(user), change))
        now_us = self.clock.now_us()
        writes = [Write(None, user)]
        for each in memberships:
            member = new_entity(Member(each.team_id, user.id), now_us)
            writes.append(Write(None, each.change(member, now_us)))
        defaulted = [] if memberships else users.members_of(user.id)
        writes += [Write(None, new_entity(each, now_us)) for each in defaulted]
        secret, key = new_secret(), None
        if key_change is not None:
            key = key_change(replace(blank(secret, now_us), user_id=user.id), now_us)
            key = self._rules.keys.made(
                replace(key, user_id=user.id, organization=user.organization), now_us
            )
            home = await home_in(self.registry, key.organization, key.team_id or key.id)
            key = key if home is None else replace(key, home=home)
            writes.append(Write(None, key))
        await self.registry.write(*writes)
        joined = [each.team_id for each in memberships] + [each.team_id for each in defaulted]
        named = [*joined, None if key is None else key.team_id]
        await imply_teams(self.registry, named, user.organization, now_us)
        if spend_nanousd:
            await self.spending.correct(Live(user), spend_nanousd, user.place)
        return await self.live_one(user), None if key is None else Made(secret, Live(key))

    async def info(self, user_id: str) -> UserInfo:
        """Return a user with their keys and teams. Raises NotFound."""
        live = await self.live_by_id(user_id)
        keys = await self._keys.all(User(user_id))
        return UserInfo(live, await self.spending.live(keys), await self.team_ids(user_id))

    async def team_ids(self, user_id: str) -> tuple[str, ...]:
        """Return the teams of a user, oldest membership first."""
        return tuple(member.team_id for member in reversed(await self._members.all(User(user_id))))

    async def led_team_ids(self, user_id: str) -> tuple[str, ...]:
        """Return the teams that a user is an admin of, oldest membership first."""
        members = await self._members.all(User(user_id))
        return tuple(each.team_id for each in reversed(members) if each.role is MemberRole.ADMIN)

    async def key_count(self, user_id: str) -> int:
        """Return the number of a user's keys."""
        return (await self.registry.page(Key, User(user_id), 0, 1)).total

    async def delete(self, user_ids: Sequence[str]) -> int:
        """Delete users with their keys and memberships, all or none; return the number of users.

        The ledger stays.
        """
        users = await self.stored(user_ids)
        writes = [Write(each, None) for each in users]
        for each in users:
            writes += await removals(self.registry, each.entity)
        await self.registry.write(*writes)
        await self.spending.forget_all(
            [write.before.entity for write in writes if write.before is not None]
        )
        return len(users)
