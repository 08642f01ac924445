"""/budget/*"""

from __future__ import annotations

from uuid import uuid4

from fastapi import APIRouter

from tollgate.adapters.http_api.bodies import JsonRoute
from tollgate.adapters.http_api.dependencies import Administered
from tollgate.adapters.http_api.wire import budgets as wire
from tollgate.core.entities import Budget
from tollgate.core.errors import BadRequest

router = APIRouter(prefix="/budget", tags=["budgets"], route_class=JsonRoute)


@router.post("/new")
async def new(body: wire.BudgetFields, management: Administered) -> wire.BudgetRow:
    """Create a budget for keys and customers to share."""
    return wire.row(
        await management.budgets.create(Budget(body.budget_id or str(uuid4())), body.change)
    )


@router.post("/update")
async def update(body: wire.BudgetFields, management: Administered) -> wire.BudgetRow:
    """Change a budget, and with it everything that uses it; takes effect
    everywhere within a second.
    """
    if body.budget_id is None:
        raise BadRequest("budget_id is required", "budget_id")
    return wire.row(await management.budgets.update(body.budget_id, body.change))


@router.post("/info")
async def info(body: wire.QueryBudgets, management: Administered) -> list[wire.BudgetRow]:
    """Return those of the given budgets that exist."""
    return [wire.row(each) for each in await management.budgets.several(body.budgets)]


@router.get("/list")
async def list_budgets(management: Administered) -> list[wire.BudgetRow]:
    """List all budgets, newest first."""
    budgets = await management.budgets.entities.all()
    return [wire.row(each) for each in await management.budgets.live(budgets)]


@router.post("/delete")
async def delete(body: wire.DeleteBudget, management: Administered) -> wire.BudgetRow:
    """Delete an unused budget; 409 names its users."""
    return wire.row(await management.budgets.delete(body.id))
