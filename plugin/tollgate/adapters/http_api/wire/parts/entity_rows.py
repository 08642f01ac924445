"""Share row fields between nouns: limits, spend and ownership."""

from __future__ import annotations

from typing import Any

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.adapters.http_api.wire.parts.general_limits import (
    OWN_FIELDS_OF_MODELS,
    printed_entries,
    printed_windows,
)
from tollgate.adapters.http_api.wire.parts.limits import (
    printed_dollars,
    printed_model_budgets,
    printed_of_models,
)
from tollgate.adapters.http_api.wire.parts.types import PrintedObject, PrintedTime, printed_time
from tollgate.core.entities import Budget, Customer, Key, LimitSet, Team, User
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.limits.limit import KINDS
from tollgate.core.money.dollars import dollars_of
from tollgate.management.spending.spending import Live


class LimitsRow(ResponseBody):
    """The limits of an entity, in total and for single models."""

    max_budget: float | None
    max_parallel_requests: int | None
    tpm_limit: int | None
    rpm_limit: int | None
    tpd_limit: int | None
    rpd_limit: int | None
    budget_limits: list[dict[str, Any]]
    limits: list[dict[str, Any]]
    budget_duration: str | None
    temp_budget_increase: float | None
    temp_budget_expiry: str | None
    shadow: bool
    budget_reset_at: PrintedTime | None
    budget_anchor: str
    budget_timezone: str | None
    model_max_budget: dict[str, Any]
    model_rpm_limit: dict[str, int]
    model_tpm_limit: dict[str, int]


class PayerRow(LimitsRow):
    """An entity that calls are charged to: its limits, models and spend."""

    models: tuple[str, ...]
    blocked: bool
    spend: float
    total_spend: float
    model_spend: dict[str, float]


class OwnedRow(PayerRow):
    """A payer that belongs to an organization, with its owner's metadata."""

    organization_id: str | None
    metadata: PrintedObject
    created_at: PrintedTime
    updated_at: PrintedTime


def printed_limits(limits: LimitSet) -> dict[str, Any]:
    """Return the limits for all models together."""
    increase = limits.budget_increase
    return {
        "max_budget": printed_dollars(limits.max_budget_nanousd),
        **{field: limits.amount(field) for field in KINDS},
        "budget_limits": printed_windows(limits),
        "limits": printed_entries(limits),
        "budget_duration": limits.budget_duration,
        "temp_budget_increase": None if increase is None else dollars_of(increase.amount),
        "temp_budget_expiry": None if increase is None else printed_time(increase.until_us),
        "shadow": limits.shadow,
    }


def printed_limits_with_models(entity: Any) -> dict[str, Any]:
    """Return an entity's limits, those for single models included."""
    return {
        **printed_limits(entity.limits),
        "model_max_budget": printed_model_budgets(entity.model_limits),
        **printed_of_models(entity.model_limits),
        "limits": [
            *printed_entries(entity.limits),
            *(
                {**entry, "model": each.model}
                for each in entity.model_limits
                for entry in printed_entries(each.limits, OWN_FIELDS_OF_MODELS)
            ),
        ],
    }


def limits_row(live: Live[Any]) -> dict[str, Any]:
    """Return the values of a `LimitsRow`."""
    entity: Key | User | Team | Customer | Budget = live.entity
    zone = entity.limits.calendar_timezone
    return {
        **printed_limits_with_models(entity),
        "budget_reset_at": live.reset_us,
        "budget_anchor": "rolling" if zone is None else "calendar",
        "budget_timezone": zone,
    }


def payer_row(live: Live[Any]) -> dict[str, Any]:
    """Return the values of a `PayerRow`."""
    entity: Key | User | Team | Customer = live.entity
    by_model = live.spend.by_model_nanousd
    return {
        **limits_row(live),
        "models": entity.models,
        "blocked": entity.blocked,
        "spend": dollars_of(live.spend.used_nanousd),
        "total_spend": dollars_of(live.spend.total_nanousd),
        "model_spend": {model: dollars_of(nanousd) for model, nanousd in by_model.items()},
    }


def owned_row(live: Live[Any]) -> dict[str, Any]:
    """Return the values of an `OwnedRow`."""
    entity: Key | User | Team = live.entity
    organization = entity.organization
    return {
        **payer_row(live),
        "organization_id": None if organization == DEFAULT_ORGANIZATION else organization,
        "metadata": entity.metadata,
        "created_at": entity.created_us,
        "updated_at": entity.updated_us,
    }
