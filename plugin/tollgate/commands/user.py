"""tollgate user"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, Fields, MasterKey, Url, get, parsed, post, show

app = typer.Typer(help="Internal users: whoever owns keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="USER_ID")]
Names = Annotated[list[str], typer.Argument(metavar="USER_ID...")]
_COLUMNS = ("user_id", "user_email", "user_role", "teams", "spend", "max_budget", "rpm_limit", "tpm_limit", "key_count")


@app.command()
def new(fields: Fields = None, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Make a user, and a key of theirs."""
    show(post(url, master_key, "/user/new", parsed(fields)), as_json=as_json)


@app.command()
def info(user_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """A user, their keys and teams."""
    show(get(url, master_key, "/user/info", {"user_id": user_id}), as_json=as_json)


@app.command()
def update(
    user_id: Name, fields: Fields = None, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a user; null clears a field."""
    show(post(url, master_key, "/user/update", {**parsed(fields), "user_id": user_id}), as_json=as_json)


@app.command()
def delete(user_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Delete users with their keys and memberships."""
    show(post(url, master_key, "/user/delete", {"user_ids": user_ids}), as_json=as_json)


@app.command("list")
def list_users(
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Users, newest first."""
    answer = get(url, master_key, "/user/list", {"page": page, "page_size": size})
    show(answer if as_json else answer["users"], as_json=as_json, columns=_COLUMNS)
