"""tollgate budget"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, Fields, MasterKey, Url, get, parsed, post, show

app = typer.Typer(help="Budgets: limits that keys and customers share.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="BUDGET_ID")]
Names = Annotated[list[str], typer.Argument(metavar="BUDGET_ID...")]
_COLUMNS = ("budget_id", "max_budget", "budget_duration", "rpm_limit", "tpm_limit", "max_parallel_requests")


@app.command()
def new(
    budget_id: Name,
    fields: Fields = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Make a budget."""
    show(post(url, master_key, "/budget/new", {**parsed(fields), "budget_id": budget_id}), as_json=as_json)


@app.command()
def info(budget_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Some budgets."""
    show(post(url, master_key, "/budget/info", {"budgets": budget_ids}), as_json=as_json, columns=_COLUMNS)


@app.command()
def update(
    budget_id: Name,
    fields: Fields = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Change a budget, and all that use it; null clears a field."""
    show(post(url, master_key, "/budget/update", {**parsed(fields), "budget_id": budget_id}), as_json=as_json)


@app.command()
def delete(budget_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Delete a budget: what used it loses its limits."""
    show(post(url, master_key, "/budget/delete", {"id": budget_id}), as_json=as_json)


@app.command("list")
def list_budgets(url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Budgets, newest first."""
    show(get(url, master_key, "/budget/list"), as_json=as_json, columns=_COLUMNS)
