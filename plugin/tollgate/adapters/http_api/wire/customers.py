"""Customers over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tollgate.adapters.http_api.wire.budgets import BudgetRow
from tollgate.adapters.http_api.wire.parts.base import Answer, Request, patched
from tollgate.adapters.http_api.wire.parts.limits import (
    LimitFields,
    ModelLimitFields,
    printed_dollars,
    printed_model_budgets,
    printed_model_rpm,
    printed_model_tpm,
)
from tollgate.adapters.http_api.wire.parts.types import Dollars, Identifier, Names, PrintedTime
from tollgate.core.entities import Customer
from tollgate.core.money.dollars import dollars_of
from tollgate.management.spending.spending import Live

_FIELDS = {
    "alias": "alias",
    "blocked": "blocked",
    "models": "models",
    "budget_id": "budget_id",
    "soft_budget": "soft_budget_nanousd",
}


class CustomerFields(LimitFields, ModelLimitFields):
    """POST /customer/new and /customer/update."""

    user_id: Identifier
    alias: Identifier | None = None
    blocked: bool | None = None
    models: Names | None = None
    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None
    spend: Dollars | None = None

    def change(self, customer: Customer, now_us: int) -> Customer:
        """The customer that these fields make of another."""
        return replace(
            patched(customer, self, _FIELDS),
            limits=self.limits_over(customer.limits),
            model_limits=self.model_limits_over(customer.model_limits, now_us),
        )


class NamedCustomers(Request):
    """POST /customer/delete, /customer/block and /customer/unblock."""

    user_ids: Names


class CustomerRow(Answer):
    """A customer. `litellm_budget_table` is the budget that is named by `budget_id`."""

    user_id: str
    blocked: bool
    alias: str | None
    spend: float
    total_spend: float
    models: tuple[str, ...]
    budget_id: str | None
    soft_budget: float | None
    max_budget: float | None
    budget_duration: str | None
    budget_reset_at: PrintedTime | None
    budget_anchor: str
    budget_timezone: str | None
    max_parallel_requests: int | None
    tpm_limit: int | None
    rpm_limit: int | None
    model_spend: dict[str, float]
    model_max_budget: dict[str, Any]
    model_rpm_limit: dict[str, int]
    model_tpm_limit: dict[str, int]
    litellm_budget_table: BudgetRow | None
    registered: bool = True


class DeletedCustomers(Answer):
    """The answer of /customer/delete."""

    deleted_customers: int
    message: str


class BlockedCustomers(Answer):
    """The answer of /customer/block and /customer/unblock."""

    blocked_users: tuple[CustomerRow, ...]


def row(live: Live[Customer], budget: BudgetRow | None) -> CustomerRow:
    """A customer with its live numbers."""
    customer, limits, spend = live.entity, live.entity.limits, live.spend
    return CustomerRow(
        user_id=customer.id,
        blocked=customer.blocked,
        alias=customer.alias,
        spend=dollars_of(spend.used_nanousd),
        total_spend=dollars_of(spend.total_nanousd),
        models=customer.models,
        budget_id=customer.budget_id,
        soft_budget=printed_dollars(customer.soft_budget_nanousd),
        max_budget=printed_dollars(limits.max_budget_nanousd),
        budget_duration=limits.budget_duration,
        budget_reset_at=live.reset_us,
        budget_anchor="rolling" if limits.calendar_timezone is None else "calendar",
        budget_timezone=limits.calendar_timezone,
        max_parallel_requests=limits.parallel,
        tpm_limit=limits.tpm,
        rpm_limit=limits.rpm,
        model_spend={
            model: dollars_of(nanousd) for model, nanousd in spend.by_model_nanousd.items()
        },
        model_max_budget=printed_model_budgets(customer.model_limits),
        model_rpm_limit=printed_model_rpm(customer.model_limits),
        model_tpm_limit=printed_model_tpm(customer.model_limits),
        litellm_budget_table=budget,
    )
