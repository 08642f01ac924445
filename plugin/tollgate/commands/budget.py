"""tollgate budget"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, MasterKey, Url, get, post
from tollgate.commands.printing.tables import show
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(help="Budgets: limits that keys and customers share.", no_args_is_help=True)

_ID = "budget_id"
Words = Annotated[list[str], words("BUDGET_ID")]
Names = Annotated[list[str], words("BUDGET_ID...", fields=False)]
Name = Annotated[str, words("BUDGET_ID", fields=False)]
_COLUMNS = (
    "budget_id",
    "max_budget",
    "budget_duration",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
)


@app.command()
def new(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Create a budget.

    Example: `tollgate budget new free-tier max_budget=1 budget_duration=1d`
    """
    show(post(url, master_key, "/budget/new", body_of(given, _ID)), as_json=as_json)


@app.command()
def info(
    budget_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Show budgets.

    Example: `tollgate budget info free-tier`
    """
    answer = post(url, master_key, "/budget/info", {"budgets": ids_of(budget_ids, _ID)})
    show(answer, as_json=as_json, columns=_COLUMNS)


@app.command()
def update(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a budget and everything that uses it; null clears a field.

    Example: `tollgate budget update free-tier max_budget=2`
    """
    show(post(url, master_key, "/budget/update", body_of(given, _ID)), as_json=as_json)


@app.command()
def delete(
    budget_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Delete an unused budget.

    A budget in use is refused, and its keys and customers are named.

    Example: `tollgate budget delete free-tier`
    """
    show(post(url, master_key, "/budget/delete", {"id": id_of(budget_id, _ID)}), as_json=as_json)


@app.command("list")
def list_budgets(
    url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """List budgets, newest first.

    Example: `tollgate budget list`
    """
    show(get(url, master_key, "/budget/list"), as_json=as_json, columns=_COLUMNS)
