"""Teams over HTTP. The answer of /team/new is that of LiteLLM's documentation, field for field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from tollgate.adapters.http_api.wire.keys import KeyRow
from tollgate.adapters.http_api.wire.members import MemberName, MemberRef, MembershipRow, reference
from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody, patched
from tollgate.adapters.http_api.wire.parts.entity_fields import OwnedFields
from tollgate.adapters.http_api.wire.parts.entity_rows import OwnedRow, owned_row
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars, with_amounts
from tollgate.adapters.http_api.wire.parts.session_fields import (
    SessionFields,
    SessionRow,
    session_row,
)
from tollgate.adapters.http_api.wire.parts.types import (
    Count,
    Dollars,
    DurationText,
    Identifier,
    Names,
    PrintedObject,
    PrintedTime,
    TeamId,
)
from tollgate.core.entities import Member, Team
from tollgate.management.spending.limits import restarted
from tollgate.management.spending.spending import Live

_MEMBER_BUDGET = {
    "team_member_budget": "max_budget_nanousd",
    "team_member_budget_duration": "budget_duration",
}


class TeamFields(OwnedFields[Team], SessionFields):
    """The fields of a team in a request.

    `team_member_*` are the limits of each member who has none of their own.
    """

    attributes: ClassVar = {"team_alias": "alias", "admins": "admins", "members": "members"}

    team_alias: Identifier | None = None
    soft_budget: Dollars | None = None
    admins: Names | None = None
    members: Names | None = None
    model_aliases: dict[Identifier, Identifier] | None = None
    team_member_budget: Dollars | None = None
    team_member_budget_duration: DurationText | None = None
    team_member_rpm_limit: Count | None = None
    team_member_tpm_limit: Count | None = None

    def change(self, entity: Team, now_us: int) -> Team:
        """Return the team with these fields applied."""
        before = entity.member_limits
        member_limits = with_amounts(
            patched(before, self, _MEMBER_BUDGET), self, prefix="team_member_"
        )
        after = replace(
            super().change(entity, now_us),
            member_limits=restarted(before, member_limits, now_us),
        )
        if "model_aliases" in self.model_fields_set:
            after = replace(after, model_aliases=tuple((self.model_aliases or {}).items()))
        limits = self.session_limits_over(after.session_limits)
        return replace(after, session_limits=limits)


class NewTeam(TeamFields):
    """POST /team/new."""

    team_id: TeamId | None = None
    members_with_roles: tuple[MemberName, ...] | None = None


class UpdateTeam(TeamFields):
    """POST /team/update."""

    team_id: TeamId


class NamedTeam(RequestBody):
    """POST /team/block and /team/unblock."""

    team_id: TeamId


class DeleteTeams(RequestBody):
    """POST /team/delete."""

    team_ids: tuple[TeamId, ...]


class TeamModels(RequestBody):
    """POST /team/model/add and /team/model/delete."""

    team_id: TeamId
    models: Names


class CreatedTeam(ResponseBody):
    """The answer of /team/new, in the order of LiteLLM's documentation."""

    team_alias: str | None
    team_id: str
    admins: tuple[str, ...]
    members: tuple[str, ...]
    members_with_roles: tuple[MemberRef, ...]
    metadata: PrintedObject
    tpm_limit: int | None
    rpm_limit: int | None
    max_budget: float | None
    models: tuple[str, ...]
    spend: float
    max_parallel_requests: int | None
    budget_duration: str | None
    budget_reset_at: PrintedTime | None


class TeamRow(OwnedRow, SessionRow):
    """A team as /team/info and /team/list show it."""

    team_alias: str | None
    team_id: str
    admins: tuple[str, ...]
    members: tuple[str, ...]
    members_with_roles: tuple[MemberRef, ...]
    soft_budget: float | None
    model_aliases: dict[str, str]
    team_member_budget: float | None
    team_member_budget_duration: str | None
    team_member_rpm_limit: int | None
    team_member_tpm_limit: int | None


class TeamAnswer(ResponseBody):
    """The answer of /team/info."""

    team_id: str
    team_info: TeamRow
    keys: tuple[KeyRow, ...]
    team_memberships: tuple[MembershipRow, ...]


class UpdatedTeam(ResponseBody):
    """The answer of /team/update."""

    team_id: str
    data: TeamRow


class DeletedTeams(ResponseBody):
    """The answer of /team/delete."""

    deleted_teams: tuple[str, ...]


class TeamWithNewMembers(TeamRow):
    """The answer of /team/member_add."""

    updated_users: tuple[dict[str, str | None], ...]
    updated_team_memberships: tuple[dict[str, str], ...]


def created(live: Live[Team], members: Iterable[Member]) -> CreatedTeam:
    """Return a new team, as in LiteLLM's documentation."""
    shown = row(live, members)
    return CreatedTeam(**{name: getattr(shown, name) for name in CreatedTeam.model_fields})


def row(live: Live[Team], members: Iterable[Member]) -> TeamRow:
    """Return a team with its spend and its members."""
    team = live.entity
    return TeamRow(
        **owned_row(live),
        **session_row(team.session_limits),
        team_alias=team.alias,
        team_id=team.id,
        admins=team.admins,
        members=team.members,
        members_with_roles=tuple(reference(member) for member in members),
        soft_budget=printed_dollars(team.soft_budget_nanousd),
        model_aliases=dict(team.model_aliases),
        team_member_budget=printed_dollars(team.member_limits.max_budget_nanousd),
        team_member_budget_duration=team.member_limits.budget_duration,
        team_member_rpm_limit=team.member_limits.amount("rpm_limit"),
        team_member_tpm_limit=team.member_limits.amount("tpm_limit"),
    )
