"""Members of teams over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody, patched
from tollgate.adapters.http_api.wire.parts.entity_rows import printed_limits_with_models
from tollgate.adapters.http_api.wire.parts.limits import LimitFields, ModelLimitFields
from tollgate.adapters.http_api.wire.parts.types import (
    Dollars,
    Identifier,
    Names,
    OneOrMore,
    PrintedTime,
    TeamId,
)
from tollgate.core.entities import Member, MemberRole
from tollgate.core.money.dollars import dollars_of
from tollgate.management.members import NewMember
from tollgate.management.spending.spending import Live


class MemberName(RequestBody):
    """A user in a request, by id or by e-mail address."""

    user_id: Identifier | None = None
    user_email: Identifier | None = None
    role: MemberRole

    def new_member(self) -> NewMember:
        """Return the member to add."""
        return NewMember(self.role, self.user_id, self.user_email)


class MemberFields(LimitFields, ModelLimitFields):
    """The fields of a membership in a request.

    `max_budget_in_team` is the user's budget within the team.
    """

    team_id: TeamId
    max_budget_in_team: Dollars | None = None
    allowed_models: Names | None = None
    role: MemberRole | None = None

    def change(self, member: Member, now_us: int) -> Member:
        """Return the membership with these fields applied."""
        after = patched(member, self, {"allowed_models": "models", "role": "role"})
        limits = patched(
            self.limits_over(member.limits, now_us),
            self,
            {"max_budget_in_team": "max_budget_nanousd"},
        )
        narrowed = self.model_limits_over(member.model_limits, now_us)
        return replace(after, limits=limits, model_limits=narrowed)


class AddMembers(MemberFields):
    """POST /team/member_add: one member, or several."""

    member: Annotated[tuple[MemberName, ...], OneOrMore]

    def member_change(self, member: Member, now_us: int) -> Member:
        """Return each new membership with these fields applied; the role is each member's own."""
        return replace(self.change(member, now_us), role=member.role)


class UpdateMember(MemberFields):
    """POST /team/member_update."""

    user_id: Identifier | None = None
    user_email: Identifier | None = None


class DeleteMember(RequestBody):
    """POST /team/member_delete."""

    team_id: TeamId
    user_id: Identifier | None = None
    user_email: Identifier | None = None


class MemberRef(ResponseBody):
    """A member in `members_with_roles`, as in LiteLLM's documentation."""

    role: MemberRole
    user_id: str


class MembershipRow(ResponseBody):
    """A membership with its spend.

    `litellm_budget_table` contains its limits, as in LiteLLM.
    """

    user_id: str
    team_id: str
    role: MemberRole
    spend: float
    total_spend: float
    budget_reset_at: PrintedTime | None
    allowed_models: tuple[str, ...]
    budget_id: None = None
    litellm_budget_table: dict[str, Any]


class UpdatedMember(ResponseBody):
    """The answer of /team/member_update."""

    team_id: str
    user_id: str
    role: MemberRole
    max_budget_in_team: float | None
    tpm_limit: int | None
    rpm_limit: int | None
    model_max_budget: dict[str, Any]
    model_rpm_limit: dict[str, int]
    model_tpm_limit: dict[str, int]
    budget_duration: str | None
    allowed_models: tuple[str, ...]


class MemberSpendReset(ResponseBody):
    """The answer of /team/{team_id}/member/{user_id}/reset_spend."""

    team_id: str
    user_id: str
    spend: float
    previous_spend: float
    max_budget: float | None


def reference(member: Member) -> MemberRef:
    """Return a member, as in LiteLLM's documentation."""
    return MemberRef(role=member.role, user_id=member.user_id)


def row(live: Live[Member]) -> MembershipRow:
    """Return a membership with its spend."""
    member = live.entity
    return MembershipRow(
        user_id=member.user_id,
        team_id=member.team_id,
        role=member.role,
        spend=dollars_of(live.spend.used_nanousd),
        total_spend=dollars_of(live.spend.total_nanousd),
        budget_reset_at=live.reset_us,
        allowed_models=member.models,
        litellm_budget_table=printed_limits_with_models(member),
    )


def updated(member: Member) -> UpdatedMember:
    """Return a membership after a change."""
    limits = printed_limits_with_models(member)
    return UpdatedMember(
        team_id=member.team_id,
        user_id=member.user_id,
        role=member.role,
        max_budget_in_team=limits["max_budget"],
        tpm_limit=limits["tpm_limit"],
        rpm_limit=limits["rpm_limit"],
        model_max_budget=limits["model_max_budget"],
        model_rpm_limit=limits["model_rpm_limit"],
        model_tpm_limit=limits["model_tpm_limit"],
        budget_duration=limits["budget_duration"],
        allowed_models=member.models,
    )
