"""Manage teams: users who share limits, and may each have limits within the team."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tollgate.core.entities import Key, Member, Team
from tollgate.core.errors import BadRequest, Conflict
from tollgate.management.collection import MOST_TRIES, Collection
from tollgate.management.lookups import home_in, removals
from tollgate.management.members import Members, NewMember
from tollgate.management.nouns import Noun
from tollgate.management.organizations import moved
from tollgate.management.spending.creation import Creation
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Clock, Registry, Write


@dataclass(frozen=True, slots=True)
class TeamInfo:
    """A team, its members and its keys."""

    team: Live[Team]
    members: list[Live[Member]]
    keys: list[Live[Key]]


class Teams(Noun[Team]):
    """The use cases on teams."""

    def __init__(
        self, registry: Registry, spending: Spending, clock: Clock, rules: Creation
    ) -> None:
        self._rules = rules
        super().__init__(registry, spending, clock, Team, "Team not found, passed team id: {}.")
        self.members = Members(registry, spending, clock, rules.users)
        self._keys = Collection(registry, Key, "Key not found.")

    async def aliases(self, team_ids: Sequence[str]) -> dict[str, str]:
        """Return the aliases of the teams that exist and have one."""
        ids = [each for each in dict.fromkeys(team_ids) if each]
        found = await self.registry.get(Team, ids) if ids else []
        teams = [stored.entity for stored in found if stored is not None]
        return {team.id: team.alias for team in teams if team.alias}

    async def create_with(
        self,
        team: Team,
        change: Callable[[Team, int], Team],
        new: Sequence[NewMember],
    ) -> tuple[Live[Team], list[Member]]:
        """Create a team with its members, all or none. Raises BadRequest if its id is in use."""
        for _ in range(MOST_TRIES):
            stored = await self.entities.find_stored(team.id)
            if stored is not None and not stored.entity.implied:
                raise BadRequest(
                    f"Team id = {team.id} already exists. Please use a different team id.",
                    "team_id",
                )
            made = self._rules.teams.made(self.made(team, change))
            home = await home_in(self.registry, made.organization, made.id)
            made = made if home is None else replace(made, home=home)
            writes, _, members = await self.members.additions(
                team.id, new, lambda member, _: member
            )
            if stored is not None:
                writes = await self._over_memberships(writes)
            try:
                await self.registry.write(Write(stored, made), *writes)
            except Conflict:
                # One of the users, or the team itself, was created concurrently: look again.
                continue
            return await self.live_one(made), members
        raise Conflict(f"team {team.id} is being changed by others all the time; try again")

    async def _over_memberships(self, writes: Sequence[Write]) -> list[Write]:
        """Return the writes, turned into changes for members that an implied team already has."""
        found = []
        for each in writes:
            member = each.after
            before = (
                await self.members.entities.find_stored(member.id)
                if isinstance(member, Member)
                else None
            )
            if before is None or not isinstance(member, Member):
                found.append(each)
            else:
                found.append(Write(before, replace(before.entity, role=member.role)))
        return found

    async def info(self, team_id: str) -> TeamInfo:
        """Return a team with its members and keys. Raises NotFound."""
        live = await self.live_by_id(team_id)
        keys = await self._keys.all(Team(team_id))
        return TeamInfo(
            live, await self.members.of_team(live.entity), await self.spending.live(keys)
        )

    async def update(
        self, identity: str, change: Callable[[Team, int], Team], spend_nanousd: int | None = None
    ) -> Live[Team]:
        """Change a team; its keys follow it into another organization."""

        def stay(team: Team, now_us: int) -> Team:
            return moved(team, change(team, now_us))

        live = await super().update(identity, stay, spend_nanousd)
        organization = live.entity.organization
        for key in await self._keys.all(Team(identity)):
            if key.organization != organization:
                await self._keys.change(
                    key.hash, lambda each: moved(each, replace(each, organization=organization))
                )
        return live

    async def delete(self, team_ids: Sequence[str]) -> list[str]:
        """Delete teams with their keys and memberships, all or none. The ledger stays."""
        teams = await self.stored(team_ids)
        writes = [Write(each, None) for each in teams]
        for each in teams:
            writes += await removals(self.registry, each.entity)
        await self.registry.write(*writes)
        await self.spending.forget_all(
            [write.before.entity for write in writes if write.before is not None]
        )
        return [each.entity.id for each in teams]
