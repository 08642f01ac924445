"""Organizations over HTTP, as LiteLLM answers: limits are repeated in `litellm_budget_table`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody, patched
from tollgate.adapters.http_api.wire.parts.entity_fields import PayerFields
from tollgate.adapters.http_api.wire.parts.entity_rows import (
    PayerRow,
    payer_row,
    printed_limits_with_models,
)
from tollgate.adapters.http_api.wire.parts.limits import (
    LimitFields,
    ModelLimitFields,
    printed_dollars,
)
from tollgate.adapters.http_api.wire.parts.types import (
    Dollars,
    Identifier,
    Names,
    ObjectText,
    OneOrMore,
    PrintedObject,
    PrintedTime,
    TeamId,
    wrong,
)
from tollgate.adapters.http_api.wire.teams import TeamRow
from tollgate.core.entities import Organization, OrganizationMember, OrganizationRole
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.limits.limit_parts import MOST_PARTS
from tollgate.core.money.dollars import dollars_of
from tollgate.management.organizations import NewOrganizationMember
from tollgate.management.spending.spending import Live


def _not_default(value: str) -> str:
    if value == DEFAULT_ORGANIZATION:
        raise wrong(f"must not be {DEFAULT_ORGANIZATION!r}, the organization of who has none")
    return value


OrganizationId = Annotated[TeamId, AfterValidator(_not_default)]


Shards = Annotated[int, Field(ge=1, le=MOST_PARTS)]


class OrganizationFields(PayerFields[Organization]):
    """The fields of an organization in a request."""

    attributes: ClassVar = {
        "organization_alias": "alias",
        "budget_id": "budget_id",
        "shards": "shards",
    }

    organization_alias: Identifier | None = None
    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None
    shards: Shards | None = None
    metadata: ObjectText | None = None


class NewOrganization(OrganizationFields):
    """POST /organization/new."""

    organization_id: OrganizationId | None = None


class UpdateOrganization(OrganizationFields):
    """PATCH /organization/update."""

    organization_id: OrganizationId


class QueryOrganizations(RequestBody):
    """POST /organization/info."""

    organizations: Names


class DeleteOrganizations(RequestBody):
    """DELETE /organization/delete."""

    organization_ids: Names


class OrganizationMemberName(RequestBody):
    """A user in a request, by id or by e-mail address."""

    user_id: Identifier | None = None
    user_email: Identifier | None = None
    role: OrganizationRole = OrganizationRole.USER

    def new_member(self) -> NewOrganizationMember:
        """Return the member to add."""
        return NewOrganizationMember(self.role, self.user_id, self.user_email)


class OrganizationMemberFields(LimitFields, ModelLimitFields):
    """The fields of a membership in a request.

    `max_budget_in_organization` is the user's budget within the organization.
    """

    organization_id: OrganizationId
    max_budget_in_organization: Dollars | None = None
    role: OrganizationRole | None = None

    def change(self, member: OrganizationMember, now_us: int) -> OrganizationMember:
        """Return the membership with these fields applied."""
        after = patched(member, self, {"role": "role"})
        limits = patched(
            self.limits_over(member.limits, now_us),
            self,
            {"max_budget_in_organization": "max_budget_nanousd"},
        )
        narrowed = self.model_limits_over(member.model_limits, now_us)
        return replace(after, limits=limits, model_limits=narrowed)


class AddOrganizationMembers(OrganizationMemberFields):
    """POST /organization/member_add: one member, or several."""

    member: Annotated[tuple[OrganizationMemberName, ...], OneOrMore]

    def member_change(self, member: OrganizationMember, now_us: int) -> OrganizationMember:
        """Return each new membership with these fields applied; the role is each member's own."""
        return replace(self.change(member, now_us), role=member.role)


class UpdateOrganizationMember(OrganizationMemberFields):
    """PATCH /organization/member_update."""

    user_id: Identifier | None = None
    user_email: Identifier | None = None


class DeleteOrganizationMember(RequestBody):
    """DELETE /organization/member_delete."""

    organization_id: OrganizationId
    user_id: Identifier | None = None
    user_email: Identifier | None = None


class OrganizationRow(PayerRow):
    """An organization with its spend. `litellm_budget_table` contains its limits."""

    organization_id: str
    organization_alias: str | None
    budget_id: str | None
    soft_budget: float | None
    shards: int
    metadata: PrintedObject
    litellm_budget_table: dict[str, Any]
    created_at: PrintedTime
    updated_at: PrintedTime


class OrganizationMembershipRow(ResponseBody):
    """A membership with its spend. `litellm_budget_table` contains its limits."""

    user_id: str
    organization_id: str
    user_role: OrganizationRole
    spend: float
    total_spend: float
    budget_reset_at: PrintedTime | None
    budget_id: None = None
    litellm_budget_table: dict[str, Any]
    created_at: PrintedTime
    updated_at: PrintedTime


class OrganizationAnswer(OrganizationRow):
    """The answer of /organization/info, and an entry of /organization/list."""

    members: tuple[OrganizationMembershipRow, ...]
    teams: tuple[TeamRow, ...]


class AddedOrganizationMembers(ResponseBody):
    """The answer of /organization/member_add."""

    organization_id: str
    updated_users: tuple[dict[str, str | None], ...]
    updated_organization_memberships: tuple[OrganizationMembershipRow, ...]


def row(live: Live[Organization]) -> OrganizationRow:
    """Return an organization with its spend."""
    return OrganizationRow(**_values(live))


def answer(
    live: Live[Organization],
    members: Iterable[Live[OrganizationMember]],
    teams: Iterable[TeamRow],
) -> OrganizationAnswer:
    """Return an organization with its members and teams."""
    return OrganizationAnswer(
        **_values(live), members=tuple(map(member_row, members)), teams=tuple(teams)
    )


def _values(live: Live[Organization]) -> dict[str, Any]:
    organization = live.entity
    return {
        **payer_row(live),
        "organization_id": organization.id,
        "organization_alias": organization.alias,
        "budget_id": organization.budget_id,
        "soft_budget": printed_dollars(organization.soft_budget_nanousd),
        "shards": organization.shards,
        "metadata": organization.metadata,
        "litellm_budget_table": printed_limits_with_models(organization),
        "created_at": organization.created_us,
        "updated_at": organization.updated_us,
    }


def member_row(live: Live[OrganizationMember]) -> OrganizationMembershipRow:
    """Return a membership with its spend."""
    member = live.entity
    return OrganizationMembershipRow(
        user_id=member.user_id,
        organization_id=member.organization_id,
        user_role=member.role,
        spend=dollars_of(live.spend.used_nanousd),
        total_spend=dollars_of(live.spend.total_nanousd),
        budget_reset_at=live.reset_us,
        litellm_budget_table=printed_limits_with_models(member),
        created_at=member.created_us,
        updated_at=member.updated_us,
    )
