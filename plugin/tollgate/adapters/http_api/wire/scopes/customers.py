"""Customers over HTTP."""

from __future__ import annotations

from typing import ClassVar

from tollgate.adapters.http_api.wire.budgets import BudgetRow
from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.entity_fields import PayerFields
from tollgate.adapters.http_api.wire.parts.entity_rows import PayerRow, payer_row
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.adapters.http_api.wire.parts.types import Dollars, Identifier, Names
from tollgate.core.entities import Customer
from tollgate.management.spending.spending import Live


class CustomerFields(PayerFields[Customer]):
    """POST /customer/new and /customer/update."""

    attributes: ClassVar = {"alias": "alias", "budget_id": "budget_id"}

    user_id: Identifier
    alias: Identifier | None = None
    budget_id: Identifier | None = None
    soft_budget: Dollars | None = None


class NamedCustomers(RequestBody):
    """POST /customer/delete, /customer/block and /customer/unblock."""

    user_ids: Names


class CustomerRow(PayerRow):
    """A customer. `litellm_budget_table` is the budget named by `budget_id`."""

    user_id: str
    alias: str | None
    budget_id: str | None
    soft_budget: float | None
    litellm_budget_table: BudgetRow | None
    registered: bool = True


class DeletedCustomers(ResponseBody):
    """The answer of /customer/delete."""

    deleted_customers: int
    message: str


class BlockedCustomers(ResponseBody):
    """The answer of /customer/block and /customer/unblock."""

    blocked_users: tuple[CustomerRow, ...]


def row(live: Live[Customer], budget: BudgetRow | None) -> CustomerRow:
    """Return a customer with its spend."""
    customer = live.entity
    return CustomerRow(
        **payer_row(live),
        user_id=customer.id,
        alias=customer.alias,
        budget_id=customer.budget_id,
        soft_budget=printed_dollars(customer.soft_budget_nanousd),
        litellm_budget_table=budget,
    )
