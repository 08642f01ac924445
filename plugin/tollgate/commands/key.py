"""tollgate key"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, Fields, MasterKey, Url, get, parsed, post, show

app = typer.Typer(help="Virtual keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="KEY", help="the key, or its hash")]
_COLUMNS = (
    "key_name",
    "key_alias",
    "user_id",
    "team_id",
    "spend",
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "blocked",
    "token",
)


@app.command()
def generate(
    fields: Fields = None, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Make a key. Its secret is printed once."""
    show(post(url, master_key, "/key/generate", parsed(fields)), as_json=as_json)


@app.command()
def info(key: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """A key, its limits and what it has spent."""
    answer = get(url, master_key, "/key/info", {"key": key})
    show(answer if as_json else answer["info"], as_json=as_json)


@app.command()
def update(
    key: Name, fields: Fields = None, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a key; null clears a field."""
    show(post(url, master_key, "/key/update", {**parsed(fields), "key": key}), as_json=as_json)


@app.command()
def delete(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="the keys, or their hashes")],
    url: Url = DEFAULT_URL,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Delete keys, all or none."""
    show(post(url, master_key, "/key/delete", {"keys": keys}), as_json=as_json)


@app.command()
def block(key: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Stop a key, everywhere within a second."""
    show(post(url, master_key, "/key/block", {"key": key}), as_json=as_json)


@app.command()
def unblock(key: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False) -> None:
    """Let a blocked key work again."""
    show(post(url, master_key, "/key/unblock", {"key": key}), as_json=as_json)


@app.command()
def regenerate(
    key: Name, fields: Fields = None, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Give a key a new secret; spend and limits stay."""
    show(post(url, master_key, "/key/regenerate", {**parsed(fields), "key": key}), as_json=as_json)


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
    """Keys, newest first."""
    query = {"user_id": user_id, "team_id": team_id, "page": page, "size": size, "return_full_object": True}
    answer = get(url, master_key, "/key/list", query)
    show(answer if as_json else answer["keys"], as_json=as_json, columns=_COLUMNS)
