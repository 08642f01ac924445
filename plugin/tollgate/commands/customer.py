"""tollgate customer"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, Fields, MasterKey, Url, get, parsed, post, show

app = typer.Typer(help="Customers: the end users whom the user field of a request names.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="CUSTOMER_ID")]
Names = Annotated[list[str], typer.Argument(metavar="CUSTOMER_ID...")]
_COLUMNS = ("user_id", "alias", "budget_id", "spend", "max_budget", "rpm_limit", "tpm_limit", "blocked")


@app.command()
def new(
    customer_id: Name,
    fields: Fields = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Register a customer."""
    show(post(url, master_key, "/customer/new", {**parsed(fields), "user_id": customer_id}), as_json=as_json)


@app.command()
def info(customer_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """A customer and what it has spent."""
    show(get(url, master_key, "/customer/info", {"end_user_id": customer_id}), as_json=as_json)


@app.command()
def update(
    customer_id: Name,
    fields: Fields = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Change a customer; null clears a field."""
    show(post(url, master_key, "/customer/update", {**parsed(fields), "user_id": customer_id}), as_json=as_json)


@app.command()
def delete(customer_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Delete customers."""
    show(post(url, master_key, "/customer/delete", {"user_ids": customer_ids}), as_json=as_json)


@app.command()
def block(customer_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Stop customers, everywhere within a second."""
    show(post(url, master_key, "/customer/block", {"user_ids": customer_ids}), as_json=as_json)


@app.command()
def unblock(customer_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Let blocked customers work again."""
    show(post(url, master_key, "/customer/unblock", {"user_ids": customer_ids}), as_json=as_json)


@app.command("list")
def list_customers(
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Customers, newest first."""
    answer = get(url, master_key, "/customer/list", {"page": page, "page_size": size})
    show(answer, as_json=as_json, columns=_COLUMNS)
