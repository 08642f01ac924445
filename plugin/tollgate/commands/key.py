"""tollgate key"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, MasterKey, Url, get, part, post
from tollgate.commands.printing.tables import show
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(help="Virtual keys, each named by its secret or its hash.", no_args_is_help=True)

_ID = "key"
Fields = Annotated[list[str] | None, words()]
Words = Annotated[list[str], words("KEY")]
Name = Annotated[str, words("KEY", fields=False)]
Names = Annotated[list[str], words("KEY...", fields=False)]
_COLUMNS = (
    "token",
    "key_name",
    "key_alias",
    "user_id",
    "team_id",
    "spend",
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "blocked",
)


@app.command()
def generate(
    given: Fields = None,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. Its secret is printed once."""
    show(post(url, master_key, "/key/generate", body_of(given)), as_json=as_json)


@app.command()
def info(
    key: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Show a key, its limits and its spend."""
    answer = get(url, master_key, "/key/info", {"key": id_of(key, _ID)})
    show(answer if as_json else part(answer, "info"), as_json=as_json)


@app.command()
def update(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a key; null clears a field."""
    show(post(url, master_key, "/key/update", body_of(given, _ID)), as_json=as_json)


@app.command()
def delete(
    keys: Names,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Delete keys: all of them, or none if one is unknown."""
    show(post(url, master_key, "/key/delete", {"keys": ids_of(keys, _ID)}), as_json=as_json)


@app.command()
def block(
    key: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Block a key; takes effect everywhere within a second."""
    show(post(url, master_key, "/key/block", {"key": id_of(key, _ID)}), as_json=as_json)


@app.command()
def unblock(
    key: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Unblock a key."""
    show(post(url, master_key, "/key/unblock", {"key": id_of(key, _ID)}), as_json=as_json)


@app.command()
def regenerate(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Give a key a new secret; spend and limits stay."""
    show(post(url, master_key, "/key/regenerate", body_of(given, _ID)), as_json=as_json)


@app.command("list")
def list_keys(
    user_id: Annotated[str | None, typer.Option(help="only keys of this user")] = None,
    team_id: Annotated[str | None, typer.Option(help="only keys of this team")] = None,
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first."""
    query = {
        "user_id": user_id,
        "team_id": team_id,
        "page": page,
        "size": size,
        "return_full_object": True,
    }
    answer = get(url, master_key, "/key/list", query)
    show(answer if as_json else part(answer, "keys"), as_json=as_json, columns=_COLUMNS)
