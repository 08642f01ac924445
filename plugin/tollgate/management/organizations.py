"""Manage organizations: teams, keys and users that share limits, and may have limits within."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tollgate.core.entities import Key, Organization, OrganizationMember, OrganizationRole, Team
from tollgate.core.errors import BadRequest, Conflict, NotFound
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.management.collection import MOST_TRIES, Collection
from tollgate.management.lookups import find_or_make_user, removals, user_id_of
from tollgate.management.nouns import Noun
from tollgate.management.spending.creation import NewUsers
from tollgate.management.spending.limits import new_entity
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Clock, Registry, Write

M = TypeVar("M", Key, Team)


@dataclass(frozen=True, slots=True)
class OrganizationInfo:
    """An organization, its members and its teams."""

    organization: Live[Organization]
    members: list[Live[OrganizationMember]]
    teams: list[Live[Team]]


@dataclass(frozen=True, slots=True)
class NewOrganizationMember:
    """A user to add to an organization, by id or e-mail address."""

    role: OrganizationRole
    user_id: str | None = None
    email: str | None = None


class Organizations(Noun[Organization]):
    """The use cases on organizations."""

    def __init__(
        self, registry: Registry, spending: Spending, clock: Clock, rules: NewUsers
    ) -> None:
        self._rules = rules
        super().__init__(registry, spending, clock, Organization, "Organization={} not found")
        self.members = OrganizationMembers(registry, spending, clock, rules)

    async def check(self, organization_id: str | None) -> None:
        """Raise BadRequest for an unknown organization, whose limits nobody would have."""
        if organization_id in (None, DEFAULT_ORGANIZATION):
            return
        if await self.entities.find_stored(organization_id) is None:
            raise BadRequest(
                f"organization_id={organization_id} does not exist; make it with /organization/new",
                "organization_id",
            )

    def changed(
        self, change: Callable[[Organization, int], Organization]
    ) -> Callable[[Organization], Organization]:
        """Return a change. It raises BadRequest where it moves counters, which stay where they
        are.
        """
        changed = super().changed(change)

        def apply(before: Organization) -> Organization:
            after = changed(before)
            if after.shards != before.shards:
                raise BadRequest(
                    f"shards is {before.shards}, as {before.id} was made with: what its teams and"
                    " keys have used is kept where they are; make another organization",
                    "shards",
                )
            return after

        return apply

    async def info(self, identity: str) -> OrganizationInfo:
        """Return an organization with its members and teams. Raises NotFound."""
        live = await self.live_by_id(identity)
        teams = await self._belonging(Team, identity)
        return OrganizationInfo(
            live, await self.members.of(identity), await self.spending.live(teams)
        )

    async def delete(self, identities: Sequence[str]) -> list[Live[Organization]]:
        """Delete organizations with their teams, keys and memberships, all or none.

        Return them as they were. The ledger stays.
        """
        organizations = await self.stored(identities)
        lives = await self.live([each.entity for each in organizations])
        writes = {("", each.entity.id): Write(each, None) for each in organizations}
        for each in organizations:
            found = await removals(self.registry, each.entity)
            for team in await self.registry.get(
                Team, [team.id for team in await self._belonging(Team, each.entity.id)]
            ):
                if team is not None:
                    found += [Write(team, None), *await removals(self.registry, team.entity)]
            keys = [key.hash for key in await self._belonging(Key, each.entity.id)]
            found += [
                Write(key, None) for key in await self.registry.get(Key, keys) if key is not None
            ]
            for write in found:
                assert write.before is not None
                entity = write.before.entity
                writes[type(entity).__name__, entity.id] = write
        await self.registry.write(*writes.values())
        await self.spending.forget_all(
            [write.before.entity for write in writes.values() if write.before is not None]
        )
        return lives

    async def _belonging(self, kind: type[M], identity: str) -> list[M]:
        found = await Collection(self.registry, kind, "").all()
        return [each for each in found if each.organization == identity]


class OrganizationMembers(Noun[OrganizationMember]):
    """The use cases on members of organizations."""

    def __init__(
        self, registry: Registry, spending: Spending, clock: Clock, rules: NewUsers
    ) -> None:
        self._rules = rules
        super().__init__(
            registry,
            spending,
            clock,
            OrganizationMember,
            "User not found in organization. Member: {}",
        )

    async def of(self, organization_id: str) -> list[Live[OrganizationMember]]:
        """Return an organization's members, oldest first."""
        found = await self.entities.all(Organization(organization_id))
        return await self.live(list(reversed(found)))

    async def add(
        self,
        organization_id: str,
        new: Sequence[NewOrganizationMember],
        change: Callable[[OrganizationMember, int], OrganizationMember],
    ) -> list[OrganizationMember]:
        """Add users to an organization, all or none; unknown ones are created.

        Raises NotFound, or BadRequest for an existing member.
        """
        if (await self.registry.get(Organization, [organization_id]))[0] is None:
            raise NotFound(f"Organization not found for organization_id={organization_id}")
        now_us = self.clock.now_us()
        for _ in range(MOST_TRIES):
            writes: dict[str, Write] = {}
            members: list[OrganizationMember] = []
            for each in new:
                stored, user = await find_or_make_user(
                    self.registry, each.user_id, each.email, now_us, self._rules
                )
                member = OrganizationMember(organization_id, user.id, each.role)
                if await self.entities.find_stored(member.id) is not None:
                    raise BadRequest(
                        f"User already in organization. Member: user_id={user.id}", "member"
                    )
                if f"member {user.id}" in writes:
                    raise BadRequest(f"{user.id} is named twice", "member")
                members.append(change(new_entity(member, now_us), now_us))
                writes[f"member {user.id}"] = Write(None, members[-1])
                if stored is None:
                    writes[f"user {user.id}"] = Write(None, user)
            try:
                await self.registry.write(*writes.values())
            except Conflict:
                continue  # one of them was created concurrently: look again
            return members
        raise Conflict(f"{organization_id} is being changed by others all the time; try again")

    async def change_part(
        self,
        organization_id: str,
        user_id: str | None,
        email: str | None,
        change: Callable[[OrganizationMember, int], OrganizationMember],
    ) -> Live[OrganizationMember]:
        """Change a membership. Raises NotFound."""
        user = await user_id_of(self.registry, user_id, email)
        return await self.update(f"{organization_id}/{user}", change)

    async def remove(
        self, organization_id: str, user_id: str | None, email: str | None
    ) -> Live[OrganizationMember]:
        """End a membership; return it as it was. Raises NotFound."""
        user = await user_id_of(self.registry, user_id, email)
        stored = await self.entities.get(f"{organization_id}/{user}")
        live = await self.live_one(stored.entity)
        await self.registry.write(Write(stored, None))
        await self.spending.forget([stored.entity])
        return live


def moved(before: M, after: M) -> M:
    """Return a changed key or team with its counters where they were before.

    What it spent, and what its calls in flight hold, counts on wherever it belongs.
    """
    home = None if after.organization == before.place else before.place
    return replace(after, home=home)
