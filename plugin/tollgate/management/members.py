"""Manage members: users in teams. Adding an unknown user creates it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tollgate.core.callers.inherit import find_member_of
from tollgate.core.entities import Member, MemberRole, Team, User
from tollgate.core.errors import BadRequest, Conflict, NotFound
from tollgate.core.money.dollars import dollars_of
from tollgate.management.collection import MOST_TRIES
from tollgate.management.lookups import find_or_make_user, organization_of, user_id_of
from tollgate.management.nouns import Noun
from tollgate.management.spending.creation import NewUsers
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Clock, Registry, Write


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member to add, by user id or e-mail address."""

    role: MemberRole
    user_id: str | None = None
    email: str | None = None


class Members(Noun[Member]):
    """The use cases on members."""

    def __init__(
        self, registry: Registry, spending: Spending, clock: Clock, rules: NewUsers
    ) -> None:
        self._rules = rules
        super().__init__(registry, spending, clock, Member, "User not found in team. Member: {}")

    async def add(
        self, team_id: str, new: Sequence[NewMember], change: Callable[[Member, int], Member]
    ) -> tuple[list[User], list[Member]]:
        """Add users to a team, all or none.

        Raises NotFound, or BadRequest for an existing member.
        """
        (team,) = await self.registry.get(Team, [team_id])
        if team is None:
            raise NotFound(f"Team not found for team_id={team_id}")
        for _ in range(MOST_TRIES):
            writes, users, members = await self.additions(team_id, new, change)
            for member in members:
                if await self.entities.find_stored(member.id) is not None:
                    raise BadRequest(
                        f"User already in team. Member: user_id={member.user_id}", "member"
                    )
            try:
                await self.registry.write(*writes)
            except Conflict:
                continue  # one of them was created concurrently: look again
            return users, members
        raise Conflict(f"team {team_id} is being changed by others all the time; try again")

    async def additions(
        self, team_id: str, new: Sequence[NewMember], change: Callable[[Member, int], Member]
    ) -> tuple[list[Write], list[User], list[Member]]:
        """Return the writes that add users to a team, the users, and the members."""
        writes: list[Write] = []
        users: dict[str, User] = {}
        members: list[Member] = []
        for each in new:
            stored, user = await find_or_make_user(
                self.registry, each.user_id, each.email, self.clock.now_us(), self._rules
            )
            if user.id in users:
                raise BadRequest(f"{user.id} is named twice", "member")
            users[user.id] = user
            if stored is None:
                writes.append(Write(None, user))
            members.append(self.made(Member(team_id, user.id, each.role), change))
        writes += [Write(None, member) for member in members]
        return writes, list(users.values()), members

    async def of_team(self, team: Team) -> list[Live[Member]]:
        """Return a team's members, oldest first, with their effective limits and spend."""
        found = [
            find_member_of(team, member, member.user_id) or member
            for member in reversed(await self.entities.all(Team(team.id)))
        ]
        return await self.spending.live(found, team.place)

    async def change_part(
        self,
        team_id: str,
        user_id: str | None,
        email: str | None,
        change: Callable[[Member, int], Member],
    ) -> Member:
        """Change a membership. Raises NotFound."""
        identity = f"{team_id}/{await user_id_of(self.registry, user_id, email)}"
        return await self.change(identity, change)

    async def remove(self, team_id: str, user_id: str | None, email: str | None) -> None:
        """End a membership. Raises NotFound."""
        stored = await self.entities.get(
            f"{team_id}/{await user_id_of(self.registry, user_id, email)}"
        )
        await self.registry.write(Write(stored, None))
        await self.spending.forget(
            [stored.entity], await organization_of(self.registry, stored.entity)
        )

    async def reset_spend(
        self, team: Team, user_id: str, to_nanousd: int
    ) -> tuple[Live[Member], int]:
        """Lower a member's spend in the current period; return the member and the former spend."""
        stored = await self.entities.get(f"{team.id}/{user_id}")
        member = find_member_of(team, stored.entity, user_id) or stored.entity
        (live,) = await self.spending.live([member], team.place)
        spent = live.spend.used_nanousd
        if to_nanousd > spent:
            raise BadRequest(
                f"reset_to ({dollars_of(to_nanousd)}) must be <= current spend"
                f" ({dollars_of(spent)})",
                "reset_to",
            )
        await self.spending.correct(live, to_nanousd, team.place)
        (live,) = await self.spending.live([member], team.place)
        return live, spent
