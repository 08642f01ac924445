"""LiteLLM's settings of what new keys, users and teams have, and the most that keys may have."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from tollgate.core.entities import NO_LIMITS, LimitSet, MemberRole, Role
from tollgate.core.errors import BadRequest
from tollgate.core.limits.bucket import MAX_LIMIT
from tollgate.core.limits.duration import parse_duration
from tollgate.core.limits.limit import KINDS
from tollgate.core.money.dollars import nanousd_of


def _dollars(value: object) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal(-1)
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise ValueError("must be an amount of dollars, 0 or more")
    return amount


Dollars = Annotated[Decimal, BeforeValidator(_dollars)]


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except BadRequest as error:
        raise ValueError(str(error)) from error
    return text


BudgetDuration = Annotated[str, AfterValidator(_duration)]


class PageSection(BaseModel):
    """A section in LiteLLM's form: unknown keys are kept and reported, not refused."""

    model_config = ConfigDict(
        extra="allow", frozen=True, protected_namespaces=(), coerce_numbers_to_str=True
    )

    @property
    def extra(self) -> Mapping[str, Any]:
        """Return the keys that are no fields."""
        return self.model_extra or {}


_Amount = Annotated[int, Field(ge=0, le=MAX_LIMIT)]


class LimitParams(PageSection):
    """The limits of something new, in LiteLLM's names."""

    max_budget: Dollars | None = None
    budget_duration: BudgetDuration | None = None
    rpm_limit: _Amount | None = None
    tpm_limit: _Amount | None = None
    rpd_limit: _Amount | None = None
    tpd_limit: _Amount | None = None
    max_parallel_requests: _Amount | None = None

    @property
    def limits(self) -> LimitSet:
        """Return them as limits."""
        budget = None if self.max_budget is None else nanousd_of(self.max_budget)
        found = LimitSet(max_budget_nanousd=budget, budget_duration=self.budget_duration)
        for name in KINDS.keys() & type(self).model_fields.keys():
            if (amount := getattr(self, name)) is not None:
                found = found.with_amount(name, amount)
        return found


class NewKeyParams(LimitParams):
    """`default_key_generate_params`."""

    models: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    user_id: str | None = None
    team_id: str | None = None
    duration: BudgetDuration | None = None


class MostKeyParams(LimitParams):
    """`upperbound_key_generate_params`."""

    duration: BudgetDuration | None = None


class DefaultMembership(BaseModel):
    """A team that new users join."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    team_id: str
    user_role: MemberRole = MemberRole.USER
    max_budget_in_team: Dollars | None = None

    @property
    def budget_nanousd(self) -> int | None:
        """Return the budget that a user has in the team."""
        return None if self.max_budget_in_team is None else nanousd_of(self.max_budget_in_team)


def _team(value: object) -> object:
    return {"team_id": value} if isinstance(value, str) else value


class NewUserParams(LimitParams):
    """`default_internal_user_params`."""

    user_role: Role = Role.USER
    models: tuple[str, ...] = ()
    teams: tuple[Annotated[DefaultMembership, BeforeValidator(_team)], ...] = ()


class NewTeamParams(LimitParams):
    """`default_team_params`."""

    models: tuple[str, ...] = ()


MOST_OF_KEYS = "upperbound_key_generate_params"
CREATION_PARAMS = (
    "default_key_generate_params",
    MOST_OF_KEYS,
    "default_internal_user_params",
    "default_team_params",
)
"""The sections of `litellm_settings` that hold fields of new entities."""


def team_budget(team_settings: object) -> object:
    """Return the budget of new teams in `default_team_settings`; None if it has none.

    LiteLLM takes it from the first entry, whichever team that names, where `default_team_params`
    says nothing (proxy/management_endpoints/team_endpoints.py).
    """
    if not isinstance(team_settings, list) or not team_settings:
        return None
    first = team_settings[0]
    return first.get("max_budget") if isinstance(first, dict) else None


class CreationSettings(PageSection):
    """The part of `litellm_settings` that says what new entities have.

    `max_internal_user_budget` and `internal_user_budget_duration` are of users who administer
    nothing and have no budget of their own.
    """

    default_key_generate_params: NewKeyParams = NewKeyParams()
    upperbound_key_generate_params: MostKeyParams = MostKeyParams()
    default_internal_user_params: NewUserParams = NewUserParams()
    default_team_params: NewTeamParams = NewTeamParams()
    max_internal_user_budget: Dollars | None = Field(
        None,
        validation_alias=AliasChoices(
            "max_internal_user_budget", "default_max_internal_user_budget"
        ),
    )
    internal_user_budget_duration: BudgetDuration | None = None

    @model_validator(mode="before")
    @classmethod
    def _budget_of_older_files(cls, given: Any) -> Any:
        budget = team_budget(given.get("default_team_settings"))
        params = given.get("default_team_params") or {}
        if budget is None or not isinstance(params, dict) or params.get("max_budget") is not None:
            return given
        return {**given, "default_team_params": {**params, "max_budget": budget}}

    @field_validator(*CREATION_PARAMS, mode="before")
    @classmethod
    def _nothing(cls, value: object) -> object:
        return {} if value is None else value

    @property
    def internal_user_limits(self) -> LimitSet:
        """Return the budget of users who administer nothing."""
        if self.max_internal_user_budget is None:
            return NO_LIMITS
        return LimitSet(
            max_budget_nanousd=nanousd_of(self.max_internal_user_budget),
            budget_duration=self.internal_user_budget_duration,
        )
