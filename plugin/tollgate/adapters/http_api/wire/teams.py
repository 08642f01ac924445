"""Teams over HTTP. The answer of /team/new is the page's, field for field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tollgate.adapters.http_api.wire.keys import KeyRow
from tollgate.adapters.http_api.wire.members import MemberName, MemberRef, MembershipRow, reference
from tollgate.adapters.http_api.wire.parts.base import Answer, Request, patched
from tollgate.adapters.http_api.wire.parts.limits import (
    LimitFields,
    ModelLimitFields,
    printed_dollars,
    printed_model_budgets,
    printed_model_rpm,
    printed_model_tpm,
)
from tollgate.adapters.http_api.wire.parts.types import (
    Count,
    Dollars,
    DurationText,
    Identifier,
    Names,
    ObjectText,
    PrintedObject,
    PrintedTime,
    TeamId,
)
from tollgate.core.entities import Member, Team
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.money.dollars import dollars_of
from tollgate.management.spending.limits import restarted
from tollgate.management.spending.spending import Live

_FIELDS = {
    "team_alias": "alias",
    "organization_id": "organization",
    "models": "models",
    "metadata": "metadata",
    "blocked": "blocked",
    "soft_budget": "soft_budget_nanousd",
    "admins": "admins",
    "members": "members",
}
_MEMBER_LIMITS = {
    "team_member_budget": "max_budget_nanousd",
    "team_member_budget_duration": "budget_duration",
    "team_member_rpm_limit": "rpm",
    "team_member_tpm_limit": "tpm",
}


class TeamFields(LimitFields, ModelLimitFields):
    """What can be said of a team.

    `team_member_*` are the limits of each member who has none of their own.
    """

    team_alias: Identifier | None = None
    organization_id: Identifier | None = None
    models: Names | None = None
    metadata: ObjectText | None = None
    blocked: bool | None = None
    soft_budget: Dollars | None = None
    admins: Names | None = None
    members: Names | None = None
    model_aliases: dict[Identifier, Identifier] | None = None
    spend: Dollars | None = None
    team_member_budget: Dollars | None = None
    team_member_budget_duration: DurationText | None = None
    team_member_rpm_limit: Count | None = None
    team_member_tpm_limit: Count | None = None

    def change(self, team: Team, now_us: int) -> Team:
        """The team that these fields make of another."""
        member_limits = patched(team.member_limits, self, _MEMBER_LIMITS)
        after = replace(
            patched(team, self, _FIELDS),
            limits=self.limits_over(team.limits),
            model_limits=self.model_limits_over(team.model_limits, now_us),
            member_limits=restarted(team.member_limits, member_limits, now_us),
        )
        if "model_aliases" in self.model_fields_set:
            after = replace(after, model_aliases=tuple((self.model_aliases or {}).items()))
        return after


class NewTeam(TeamFields):
    """POST /team/new."""

    team_id: TeamId | None = None
    members_with_roles: tuple[MemberName, ...] | None = None


class UpdateTeam(TeamFields):
    """POST /team/update."""

    team_id: TeamId


class NamedTeam(Request):
    """POST /team/block and /team/unblock."""

    team_id: TeamId


class DeleteTeams(Request):
    """POST /team/delete."""

    team_ids: tuple[TeamId, ...]


class TeamModels(Request):
    """POST /team/model/add and /team/model/delete."""

    team_id: TeamId
    models: Names


class CreatedTeam(Answer):
    """The answer of /team/new, in the page's order."""

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


class TeamRow(CreatedTeam):
    """A team as /team/info and /team/list show it."""

    organization_id: str | None
    blocked: bool
    soft_budget: float | None
    total_spend: float
    model_spend: dict[str, float]
    model_max_budget: dict[str, Any]
    model_rpm_limit: dict[str, int]
    model_tpm_limit: dict[str, int]
    model_aliases: dict[str, str]
    budget_anchor: str
    budget_timezone: str | None
    team_member_budget: float | None
    team_member_budget_duration: str | None
    team_member_rpm_limit: int | None
    team_member_tpm_limit: int | None
    created_at: PrintedTime
    updated_at: PrintedTime


class TeamAnswer(Answer):
    """The answer of /team/info."""

    team_id: str
    team_info: TeamRow
    keys: tuple[KeyRow, ...]
    team_memberships: tuple[MembershipRow, ...]


class UpdatedTeam(Answer):
    """The answer of /team/update."""

    team_id: str
    data: TeamRow


class DeletedTeams(Answer):
    """The answer of /team/delete."""

    deleted_teams: tuple[str, ...]


class TeamWithNewMembers(TeamRow):
    """The answer of /team/member_add."""

    updated_users: tuple[dict[str, str | None], ...]
    updated_team_memberships: tuple[dict[str, str], ...]


def created(live: Live[Team], members: Iterable[Member]) -> CreatedTeam:
    """A new team, as the page prints it."""
    shown = row(live, members)
    return CreatedTeam(**{name: getattr(shown, name) for name in CreatedTeam.model_fields})


def row(live: Live[Team], members: Iterable[Member]) -> TeamRow:
    """A team with its live numbers and its members."""
    team, limits, spend = live.entity, live.entity.limits, live.spend
    return TeamRow(
        team_alias=team.alias,
        team_id=team.id,
        admins=team.admins,
        members=team.members,
        members_with_roles=tuple(reference(member) for member in members),
        metadata=team.metadata,
        tpm_limit=limits.tpm,
        rpm_limit=limits.rpm,
        max_budget=printed_dollars(limits.max_budget_nanousd),
        models=team.models,
        spend=dollars_of(spend.used_nanousd),
        max_parallel_requests=limits.parallel,
        budget_duration=limits.budget_duration,
        budget_reset_at=live.reset_us,
        organization_id=None if team.organization == DEFAULT_ORGANIZATION else team.organization,
        blocked=team.blocked,
        soft_budget=printed_dollars(team.soft_budget_nanousd),
        total_spend=dollars_of(spend.total_nanousd),
        model_spend={
            model: dollars_of(nanousd) for model, nanousd in spend.by_model_nanousd.items()
        },
        model_max_budget=printed_model_budgets(team.model_limits),
        model_rpm_limit=printed_model_rpm(team.model_limits),
        model_tpm_limit=printed_model_tpm(team.model_limits),
        model_aliases=dict(team.model_aliases),
        budget_anchor="rolling" if limits.calendar_timezone is None else "calendar",
        budget_timezone=limits.calendar_timezone,
        team_member_budget=printed_dollars(team.member_limits.max_budget_nanousd),
        team_member_budget_duration=team.member_limits.budget_duration,
        team_member_rpm_limit=team.member_limits.rpm,
        team_member_tpm_limit=team.member_limits.tpm,
        created_at=team.created_us,
        updated_at=team.updated_us,
    )
