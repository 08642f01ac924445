"""tollgate user"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, MasterKey, Url, get, part, post
from tollgate.commands.printing.tables import show
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(help="Internal users: whoever owns keys.", no_args_is_help=True)

_ID = "user_id"
NewWords = Annotated[list[str] | None, words("[USER_ID]")]
Words = Annotated[list[str], words("USER_ID")]
Name = Annotated[str, words("USER_ID", fields=False)]
Names = Annotated[list[str], words("USER_ID...", fields=False)]
_COLUMNS = (
    "user_id",
    "user_email",
    "user_role",
    "teams",
    "spend",
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "key_count",
)


@app.command()
def new(
    given: NewWords = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Create a user, and a key for them.

    Example: `tollgate user new user_id=bob max_budget=20`
    """
    show(post(url, master_key, "/user/new", body_of(given, _ID)), as_json=as_json)


@app.command()
def info(
    user_id: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Show a user with their keys and teams.

    Example: `tollgate user info bob`
    """
    show(get(url, master_key, "/user/info", {"user_id": id_of(user_id, _ID)}), as_json=as_json)


@app.command()
def update(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a user; null clears a field.

    Example: `tollgate user update bob tpm_limit=100000`
    """
    show(post(url, master_key, "/user/update", body_of(given, _ID)), as_json=as_json)


@app.command()
def delete(
    user_ids: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Delete users with their keys and memberships.

    Example: `tollgate user delete bob`
    """
    show(
        post(url, master_key, "/user/delete", {"user_ids": ids_of(user_ids, _ID)}), as_json=as_json
    )


@app.command("list")
def list_users(
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """List users, newest first.

    Example: `tollgate user list --json`
    """
    answer = get(url, master_key, "/user/list", {"page": page, "page_size": size})
    show(answer if as_json else part(answer, "users"), as_json=as_json, columns=_COLUMNS)
