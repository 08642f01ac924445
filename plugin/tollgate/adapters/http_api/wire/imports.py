"""Imported entities over HTTP: the fields of each kind's requests, plus hash,
timestamps and spend.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import PlainValidator, StringConstraints, WithJsonSchema

from tollgate.adapters.http_api.wire.budgets import BudgetFields
from tollgate.adapters.http_api.wire.keys import KeyFields
from tollgate.adapters.http_api.wire.members import MemberFields
from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.types import Dollars, Identifier, TeamId, wrong
from tollgate.adapters.http_api.wire.scopes.customers import CustomerFields
from tollgate.adapters.http_api.wire.scopes.organizations import (
    OrganizationFields,
    OrganizationId,
    OrganizationMemberFields,
)
from tollgate.adapters.http_api.wire.scopes.tags import TagFields
from tollgate.adapters.http_api.wire.teams import TeamFields
from tollgate.adapters.http_api.wire.users import UserFields
from tollgate.core.entities import (
    Budget,
    Customer,
    Entity,
    Key,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.management.imports import EntityToImport, Outcome
from tollgate.management.spending.limits import new_entity

_LONGEST_BATCH = 1000


def _instant_us(value: object) -> int:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise wrong("must be a time in ISO 8601") from error
    # LiteLLM prints some UTC times without a zone.
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


Instant = Annotated[
    int, PlainValidator(_instant_us), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""ISO 8601 on the wire, UTC if it names no zone; microseconds inside."""

TokenHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Carried(RequestBody):
    """Fields of an import that all kinds share.

    A budget's period ends at `budget_reset_at`; if that has passed, its spend belongs to an earlier
    period.
    """

    created_at: Instant | None = None
    budget_reset_at: Instant | None = None
    spend: Dollars | None = None
    model_spend: dict[Identifier, Dollars] | None = None

    def carried(self, now_us: int) -> EntityToImport:
        """Return the entity, and its spend in the current period."""
        blank: Any = self._blank()
        reset_us = self.budget_reset_at
        # Periods are counted in both directions, so the end of one is as good an origin as its
        # start.
        blank = new_entity(blank, self.created_at or now_us, period_us=reset_us)
        entity = self.change(replace(blank, updated_us=now_us), now_us)  # type: ignore[attr-defined]
        over = reset_us is not None and reset_us <= now_us
        return EntityToImport(entity, 0 if over else self.spend or 0, self.model_spend or {})

    @abstractmethod
    def _blank(self) -> Entity:
        """Return the entity with nothing but its name."""


class CarriedBudget(_Carried, BudgetFields):
    """A budget."""

    budget_id: Identifier

    def _blank(self) -> Budget:
        return Budget(self.budget_id)


class CarriedUser(_Carried, UserFields):
    """An internal user, without keys and memberships."""

    user_id: Identifier

    def _blank(self) -> User:
        return User(self.user_id)


class CarriedTeam(_Carried, TeamFields):
    """A team, without its members."""

    team_id: TeamId

    def _blank(self) -> Team:
        return Team(self.team_id)


class CarriedMember(_Carried, MemberFields):
    """A user in a team."""

    user_id: Identifier

    def _blank(self) -> Member:
        return Member(self.team_id, self.user_id)


class CarriedOrganization(_Carried, OrganizationFields):
    """An organization, without its teams and members."""

    organization_id: OrganizationId

    def _blank(self) -> Organization:
        return Organization(self.organization_id)


class CarriedOrganizationMember(_Carried, OrganizationMemberFields):
    """A user in an organization."""

    user_id: Identifier

    def _blank(self) -> OrganizationMember:
        return OrganizationMember(self.organization_id, self.user_id)


class CarriedTag(_Carried, TagFields):
    """A tag."""

    def _blank(self) -> Tag:
        return Tag(self.name)


class CarriedCustomer(_Carried, CustomerFields):
    """A customer."""

    def _blank(self) -> Customer:
        return Customer(self.user_id)


class CarriedKey(_Carried, KeyFields):
    """A key by the SHA-256 of its secret, which keeps working.

    `key_name` is the form shown to people: sk-...abcd.
    """

    token: TokenHash
    key_name: Identifier = "sk-..."
    expires: Instant | None = None

    def _blank(self) -> Key:
        return Key(self.token, self.key_name, expires_us=self.expires)


KINDS: dict[str, tuple[type[_Carried], tuple[str, ...]]] = {
    "budgets": (CarriedBudget, ("budget_id",)),
    "organizations": (CarriedOrganization, ("organization_id",)),
    "users": (CarriedUser, ("user_id",)),
    "teams": (CarriedTeam, ("team_id",)),
    "members": (CarriedMember, ("team_id", "user_id")),
    "organization_members": (CarriedOrganizationMember, ("organization_id", "user_id")),
    "customers": (CarriedCustomer, ("user_id",)),
    "tags": (CarriedTag, ("name",)),
    "keys": (CarriedKey, ("token",)),
}
"""The lists of an import in order of creation, and the fields that name an entity of each."""

# Rows are validated one by one, so that an invalid one does not stop the others.
Rows = tuple[dict[str, Any], ...]


class Import(RequestBody):
    """POST /global/import: at most a thousand entities.

    `dry_run` changes nothing and reports what would happen.
    """

    dry_run: bool = False
    budgets: Rows = ()
    organizations: Rows = ()
    users: Rows = ()
    teams: Rows = ()
    members: Rows = ()
    organization_members: Rows = ()
    customers: Rows = ()
    tags: Rows = ()
    keys: Rows = ()

    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all rows with their kinds, in order of creation."""
        return [(kind, row) for kind in KINDS for row in getattr(self, kind)]

    @property
    def is_too_long(self) -> bool:
        """Return whether it contains more entities than one call accepts."""
        return len(self.rows()) > _LONGEST_BATCH


class ImportResult(ResponseBody):
    """The outcome for one entity."""

    kind: str
    id: str
    outcome: Outcome
    message: str | None


class ImportAnswer(ResponseBody):
    """The answer of /global/import: one result per entity, in the order of the lists."""

    results: tuple[ImportResult, ...]
