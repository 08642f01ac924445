"""tollgate tag"""

from __future__ import annotations

from typing import Annotated

import typer

from tollgate.commands.gateway import DEFAULT_URL, AsJson, MasterKey, Url, get, post
from tollgate.commands.printing.tables import show
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(help="Tags: labels of requests that have limits.", no_args_is_help=True)

_ID = "name"
Words = Annotated[list[str], words("NAME")]
Name = Annotated[str, words("NAME", fields=False)]
Names = Annotated[list[str], words("NAME...", fields=False)]
_COLUMNS = ("name", "description", "spend", "max_budget", "budget_duration", "rpm_limit")


@app.command()
def new(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Register a tag.

    Example: `tollgate tag new nightly max_budget=20 budget_duration=1d`
    """
    show(post(url, master_key, "/tag/new", body_of(given, _ID)), as_json=as_json)


@app.command()
def info(
    names: Names, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Show tags and their spend.

    Example: `tollgate tag info nightly`
    """
    show(post(url, master_key, "/tag/info", {"names": ids_of(names, _ID)}), as_json=as_json)


@app.command()
def update(
    given: Words, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Change a tag; null clears a field.

    Example: `tollgate tag update nightly rpm_limit=60`
    """
    show(post(url, master_key, "/tag/update", body_of(given, _ID)), as_json=as_json)


@app.command()
def delete(
    name: Name, url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """Delete a tag.

    Example: `tollgate tag delete nightly`
    """
    show(post(url, master_key, "/tag/delete", {"name": id_of(name, _ID)}), as_json=as_json)


@app.command("list")
def list_tags(
    url: Url = DEFAULT_URL, master_key: MasterKey = None, as_json: AsJson = False
) -> None:
    """List registered tags, newest first.

    Example: `tollgate tag list`
    """
    show(get(url, master_key, "/tag/list"), as_json=as_json, columns=_COLUMNS)
