"""Entities from elsewhere over HTTP: what each kind's own requests say, and what only an import
may: its hash, its moments, its spend.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import PlainValidator, StringConstraints, WithJsonSchema

from tollgate.adapters.http_api.wire.budgets import BudgetFields
from tollgate.adapters.http_api.wire.customers import CustomerFields
from tollgate.adapters.http_api.wire.keys import KeyFields
from tollgate.adapters.http_api.wire.members import MemberFields
from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.types import Dollars, Identifier, TeamId, wrong
from tollgate.adapters.http_api.wire.teams import TeamFields
from tollgate.adapters.http_api.wire.users import UserFields
from tollgate.core.entities import Budget, Customer, Entity, Key, Member, Team, User
from tollgate.management.imports import EntityToImport, Outcome
from tollgate.management.spending.limits import new_entity

_LONGEST_BATCH = 1000


def _instant_us(value: object) -> int:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise wrong("must be a time in ISO 8601") from error
    # LiteLLM prints its times of UTC without a zone here and there.
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


Instant = Annotated[
    int, PlainValidator(_instant_us), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""ISO 8601 on the wire, UTC where it names no zone; microseconds inside."""

TokenHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Carried(RequestBody):
    """What an import says of every kind.

    A budget's period ends at `budget_reset_at`: one that is past had its spend before.
    """

    created_at: Instant | None = None
    budget_reset_at: Instant | None = None
    spend: Dollars | None = None
    model_spend: dict[Identifier, Dollars] | None = None

    def carried(self, now_us: int) -> EntityToImport:
        """The entity, and what it has spent in its current period."""
        blank: Any = self._blank()
        reset_us = self.budget_reset_at
        # Periods are counted forwards and backwards, so the end of one is as good a point to count
        # from as its begin.
        blank = new_entity(blank, self.created_at or now_us, period_us=reset_us)
        entity = self.change(replace(blank, updated_us=now_us), now_us)  # type: ignore[attr-defined]
        over = reset_us is not None and reset_us <= now_us
        return EntityToImport(entity, 0 if over else self.spend or 0, self.model_spend or {})

    @abstractmethod
    def _blank(self) -> Entity:
        """The entity by its name alone."""


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


class CarriedCustomer(_Carried, CustomerFields):
    """A customer."""

    def _blank(self) -> Customer:
        return Customer(self.user_id)


class CarriedKey(_Carried, KeyFields):
    """A key by the SHA-256 of its secret, which goes on working.

    `key_name` is how it is shown: sk-...abcd.
    """

    token: TokenHash
    key_name: Identifier = "sk-..."
    expires: Instant | None = None

    def _blank(self) -> Key:
        return Key(self.token, self.key_name, expires_us=self.expires)


KINDS: dict[str, tuple[type[_Carried], tuple[str, ...]]] = {
    "budgets": (CarriedBudget, ("budget_id",)),
    "users": (CarriedUser, ("user_id",)),
    "teams": (CarriedTeam, ("team_id",)),
    "members": (CarriedMember, ("team_id", "user_id")),
    "customers": (CarriedCustomer, ("user_id",)),
    "keys": (CarriedKey, ("token",)),
}
"""The lists of an import in the order in which they are taken, and the fields that name an entity
of each.
"""

# Each entity is judged by itself, so that one that cannot be read does not keep out the others.
Rows = tuple[dict[str, Any], ...]


class Import(RequestBody):
    """POST /global/import: at most a thousand entities.

    `dry_run` changes nothing and says what would happen.
    """

    dry_run: bool = False
    budgets: Rows = ()
    users: Rows = ()
    teams: Rows = ()
    members: Rows = ()
    customers: Rows = ()
    keys: Rows = ()

    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """All rows with their kinds, in the order in which they are taken."""
        return [(kind, row) for kind in KINDS for row in getattr(self, kind)]

    @property
    def is_too_long(self) -> bool:
        """Whether it holds more than are taken at once."""
        return len(self.rows()) > _LONGEST_BATCH


class ImportResult(ResponseBody):
    """What became of one entity."""

    kind: str
    id: str
    outcome: Outcome
    message: str | None


class ImportAnswer(ResponseBody):
    """The answer of /global/import: one result for each entity, in the order of the lists."""

    results: tuple[ImportResult, ...]
