"""Budgets over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
from tollgate.core.entities import Budget
from tollgate.management.spending.spending import Live


class BudgetFields(LimitFields, ModelLimitFields):
    """POST /budget/new and /budget/update."""

    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None

    def change(self, budget: Budget, now_us: int) -> Budget:
        """The budget that these fields make of another."""
        return replace(
            patched(budget, self, {"soft_budget": "soft_budget_nanousd"}),
            limits=self.limits_over(budget.limits),
            model_limits=self.model_limits_over(budget.model_limits, now_us),
        )


class QueryBudgets(Request):
    """POST /budget/info."""

    budgets: Names


class DeleteBudget(Request):
    """POST /budget/delete."""

    id: Identifier


class BudgetRow(Answer):
    """A budget."""

    budget_id: str
    soft_budget: float | None
    max_budget: float | None
    max_parallel_requests: int | None
    tpm_limit: int | None
    rpm_limit: int | None
    model_max_budget: dict[str, Any]
    model_rpm_limit: dict[str, int]
    model_tpm_limit: dict[str, int]
    budget_duration: str | None
    budget_reset_at: PrintedTime | None
    budget_anchor: str
    budget_timezone: str | None
    created_at: PrintedTime
    updated_at: PrintedTime


def row(live: Live[Budget]) -> BudgetRow:
    """A budget, as it is printed."""
    budget, limits = live.entity, live.entity.limits
    return BudgetRow(
        budget_id=budget.id,
        soft_budget=printed_dollars(budget.soft_budget_nanousd),
        max_budget=printed_dollars(limits.max_budget_nanousd),
        max_parallel_requests=limits.parallel,
        tpm_limit=limits.tpm,
        rpm_limit=limits.rpm,
        model_max_budget=printed_model_budgets(budget.model_limits),
        model_rpm_limit=printed_model_rpm(budget.model_limits),
        model_tpm_limit=printed_model_tpm(budget.model_limits),
        budget_duration=limits.budget_duration,
        budget_reset_at=live.reset_us,
        budget_anchor="rolling" if limits.calendar_timezone is None else "calendar",
        budget_timezone=limits.calendar_timezone,
        created_at=budget.created_us,
        updated_at=budget.updated_us,
    )
