"""/customer/*, also under /end_user"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.queries import PageNumber
from tollgate.adapters.http_api.wire import budgets as budget_wire
from tollgate.adapters.http_api.wire.scopes import customers as wire
from tollgate.core.entities import Customer
from tollgate.management import Management
from tollgate.management.spending.spending import Live

router = APIRouter(tags=["customers"], route_class=JsonRoute)


@router.post("/new")
async def new(body: wire.CustomerFields, management: Administered) -> wire.CustomerRow:
    """Register a customer, with a budget's limits or limits of its own."""
    await management.budgets.check(body.budget_id)
    live = await management.customers.create(Customer(body.user_id), body.change, body.spend or 0)
    return (await _rows(management, [live]))[0]


@router.post("/update")
async def update(body: wire.CustomerFields, management: Administered) -> wire.CustomerRow:
    """Change a customer: what is left out stays, null clears."""
    await management.budgets.check(body.budget_id)
    live = await management.customers.update(body.user_id, body.change, body.spend)
    return (await _rows(management, [live]))[0]


@router.get("/info")
async def info(end_user_id: str, management: Administered) -> wire.CustomerRow:
    """Return a customer and its spend; unregistered ones too, once calls have named them."""
    live, registered = await management.customers.find_seen(end_user_id)
    (row,) = await _rows(management, [live])
    if registered:
        return row
    return row.model_copy(update={"registered": False})


@router.get("/list")
async def list_customers(
    management: Administered,
    page: PageNumber = 1,
    page_size: Annotated[int, Query(ge=1, le=1000)] = 50,
    search: str | None = None,
) -> list[wire.CustomerRow]:
    """List customers, newest first."""

    def keep(customer: Customer) -> bool:
        return search is None or search.lower() in f"{customer.id} {customer.alias or ''}".lower()

    found = await management.customers.page(
        (page - 1) * page_size, page_size, keep if search else None
    )
    return await _rows(management, await management.customers.live(found.entities))


@router.post("/delete")
async def delete(body: wire.NamedCustomers, management: Administered) -> wire.DeletedCustomers:
    """Delete customers. Their spend stays in the ledger."""
    count = await management.customers.delete(body.user_ids)
    message = f"Successfully deleted customers with ids: {list(body.user_ids)}"
    return wire.DeletedCustomers(deleted_customers=count, message=message)


@router.post("/block")
async def block(body: wire.NamedCustomers, management: Administered) -> wire.BlockedCustomers:
    """Block customers; takes effect everywhere within a second."""
    lives = await management.customers.set_blocked(body.user_ids, blocked=True)
    return wire.BlockedCustomers(blocked_users=tuple(await _rows(management, lives)))


@router.post("/unblock")
async def unblock(body: wire.NamedCustomers, management: Administered) -> wire.BlockedCustomers:
    """Unblock customers."""
    lives = await management.customers.set_blocked(body.user_ids, blocked=False)
    return wire.BlockedCustomers(blocked_users=tuple(await _rows(management, lives)))


async def _rows(management: Management, lives: Sequence[Live[Customer]]) -> list[wire.CustomerRow]:
    names = {each.entity.budget_id for each in lives if each.entity.budget_id is not None}
    budgets = await management.budgets.several(sorted(names)) if names else []
    rows = {each.entity.id: budget_wire.row(each) for each in budgets}
    return [wire.row(each, rows.get(each.entity.budget_id or "")) for each in lives]
