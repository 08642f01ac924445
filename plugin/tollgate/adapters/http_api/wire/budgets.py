"""Budgets over HTTP."""

from __future__ import annotations

from tollgate.adapters.http_api.wire.parts.base import RequestBody
from tollgate.adapters.http_api.wire.parts.entity_fields import EntityFields
from tollgate.adapters.http_api.wire.parts.entity_rows import LimitsRow, limits_row
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.adapters.http_api.wire.parts.types import Dollars, Identifier, Names, PrintedTime
from tollgate.core.entities import Budget
from tollgate.management.spending.spending import Live


class BudgetFields(EntityFields[Budget]):
    """POST /budget/new and /budget/update."""

    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None


class QueryBudgets(RequestBody):
    """POST /budget/info."""

    budgets: Names


class DeleteBudget(RequestBody):
    """POST /budget/delete."""

    id: Identifier


class BudgetRow(LimitsRow):
    """A budget."""

    budget_id: str
    soft_budget: float | None
    created_at: PrintedTime
    updated_at: PrintedTime


def row(live: Live[Budget]) -> BudgetRow:
    """Return a budget as printed."""
    budget = live.entity
    return BudgetRow(
        **limits_row(live),
        budget_id=budget.id,
        soft_budget=printed_dollars(budget.soft_budget_nanousd),
        created_at=budget.created_us,
        updated_at=budget.updated_us,
    )
