"""tollgate customer"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, MasterKey, Url, get, post
from tollgate.commands.printing.tables import show
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(
    help="Customers: the end users whom the user field of a request names.", no_args_is_help=True
)

_ID = "user_id"
Words = Annotated[list[str], words("USER_ID")]
Name = Annotated[str, words("USER_ID", fields=False)]
Names = Annotated[list[str], words("USER_ID...", fields=False)]
_COLUMNS = (
    "user_id",
    "alias",
    "budget_id",
    "spend",
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "blocked",
)


@app.command()
def new(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Register a customer.

    Example: `tollgate customer new acme max_budget=50`
    """
    show(post(url, master_key, "/customer/new", body_of(given, _ID)), as_json=as_json)


@app.command()
def info(
    user_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Show a customer and its spend.

    Example: `tollgate customer info acme`
    """
    show(
        get(url, master_key, "/customer/info", {"end_user_id": id_of(user_id, _ID)}),
        as_json=as_json,
    )


@app.command()
def update(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a customer; null clears a field.

    Example: `tollgate customer update acme max_budget=null`
    """
    show(post(url, master_key, "/customer/update", body_of(given, _ID)), as_json=as_json)


@app.command()
def delete(
    user_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Delete customers.

    Example: `tollgate customer delete acme`
    """
    show(
        post(url, master_key, "/customer/delete", {"user_ids": ids_of(user_ids, _ID)}),
        as_json=as_json,
    )


@app.command()
def block(
    user_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Block customers; takes effect everywhere within a second.

    Example: `tollgate customer block acme`
    """
    show(
        post(url, master_key, "/customer/block", {"user_ids": ids_of(user_ids, _ID)}),
        as_json=as_json,
    )


@app.command()
def unblock(
    user_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Unblock customers.

    Example: `tollgate customer unblock acme`
    """
    show(
        post(url, master_key, "/customer/unblock", {"user_ids": ids_of(user_ids, _ID)}),
        as_json=as_json,
    )


@app.command("list")
def list_customers(
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """List customers, newest first.

    Example: `tollgate customer list`
    """
    answer = get(url, master_key, "/customer/list", {"page": page, "page_size": size})
    show(answer, as_json=as_json, columns=_COLUMNS)
