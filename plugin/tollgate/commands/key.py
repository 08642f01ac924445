"""tollgate key"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tollgate.commands.gateway import Gateway, asks_gateway, part
from tollgate.commands.printing.words import body_of, id_of, ids_of, words

app = typer.Typer(
    help="Virtual keys, each named by its alias, its secret or its hash.", no_args_is_help=True
)

_ID = "key"
Fields = Annotated[list[str] | None, words()]
Words = Annotated[list[str], words("KEY")]
Name = Annotated[str, words("KEY", fields=False)]
Names = Annotated[list[str], words("KEY...", fields=False)]
# LiteLLM and Tollgate make secrets that begin so; a hash is SHA-256.
_SECRET_OR_HASH = re.compile(r"sk-.*|[0-9a-f]{64}", re.DOTALL)
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


_TOP = (
    "key_alias",
    "key_name",
    "spend",
    "requests",
    "tokens",
    "budget_spent",
    "max_budget",
)


@app.command()
@asks_gateway
def generate(
    gateway: Gateway,
    given: Fields = None,
) -> None:
    """Create a key. Its secret is printed once.

    Example: `tollgate key generate key_alias=bob max_budget=5 budget_duration=30d`
    """
    gateway.show(gateway.post("/key/generate", body_of(given)))


@app.command()
@asks_gateway
def top(
    gateway: Gateway,
    since: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="a UTC day, inclusive; default today")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="how many at most")] = 10,
) -> None:
    """List the keys that spent most since a day, each with its budget.

    Example: `tollgate key top --since 2026-11-01 --count 20`
    """
    start = since or datetime.now(UTC).date().isoformat()
    sums = gateway.get("/spend/sums", {"group_by": "key", "start_date": start})
    spent = [each for each in sums if each["group"]]
    spent.sort(key=lambda each: each["nanousd"], reverse=True)
    rows = []
    for each in spent[:count]:
        # A deleted key has only what was recorded of it.
        known = gateway.find("/key/info", {"key": each["group"]})
        told = {"key_name": each["group"]} if known is None else known["info"]
        rows.append(
            {
                "key_alias": told.get("key_alias"),
                "key_name": told["key_name"],
                "spend": each["spend"],
                "requests": each["requests"],
                "tokens": each["prompt_tokens"] + each["completion_tokens"],
                "budget_spent": told.get("spend"),
                "max_budget": told.get("max_budget"),
            }
        )
    gateway.show(rows, _TOP)


@app.command()
@asks_gateway
def info(gateway: Gateway, key: Name) -> None:
    """Show a key, its limits and its spend.

    Example: `tollgate key info bob`
    """
    name = named_key(gateway, id_of(key, _ID))
    answer = gateway.get("/key/info", {"key": name})
    gateway.show_part(answer, "info")


@app.command()
@asks_gateway
def update(gateway: Gateway, given: Words) -> None:
    """Change a key; null clears a field.

    Example: `tollgate key update bob rpm_limit=60 max_budget=null`
    """
    body = _named_in(gateway, body_of(given, _ID))
    gateway.show(gateway.post("/key/update", body))


@app.command()
@asks_gateway
def delete(
    gateway: Gateway,
    keys: Names,
) -> None:
    """Delete keys: all of them, or none if one is unknown.

    Example: `tollgate key delete bob`
    """
    names = [named_key(gateway, each) for each in ids_of(keys, _ID)]
    gateway.show(gateway.post("/key/delete", {"keys": names}))


@app.command()
@asks_gateway
def block(gateway: Gateway, key: Name) -> None:
    """Block a key; takes effect everywhere within a second.

    Example: `tollgate key block bob`
    """
    name = named_key(gateway, id_of(key, _ID))
    gateway.show(gateway.post("/key/block", {"key": name}))


@app.command()
@asks_gateway
def unblock(gateway: Gateway, key: Name) -> None:
    """Unblock a key.

    Example: `tollgate key unblock bob`
    """
    name = named_key(gateway, id_of(key, _ID))
    gateway.show(gateway.post("/key/unblock", {"key": name}))


@app.command()
@asks_gateway
def regenerate(gateway: Gateway, given: Words) -> None:
    """Give a key a new secret; spend and limits stay.

    Example: `tollgate key regenerate bob grace_period=24h`
    """
    body = _named_in(gateway, body_of(given, _ID))
    gateway.show(gateway.post("/key/regenerate", body))


@app.command("list")
@asks_gateway
def list_keys(
    gateway: Gateway,
    user_id: Annotated[str | None, typer.Option(help="only keys of this user")] = None,
    team_id: Annotated[str | None, typer.Option(help="only keys of this team")] = None,
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """List keys, newest first.

    Example: `tollgate key list --team-id search`
    """
    query = {
        "user_id": user_id,
        "team_id": team_id,
        "page": page,
        "size": size,
        "return_full_object": True,
    }
    answer = gateway.get("/key/list", query)
    gateway.show_part(answer, "keys", _COLUMNS)


def _named_in(gateway: Gateway, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a request with its key by secret or hash."""
    return {**body, _ID: named_key(gateway, str(body[_ID]))} if _ID in body else body


def named_key(gateway: Gateway, given: str) -> str:
    """Return the hash of the key with that alias, or what is given if it is no alias of any."""
    if _SECRET_OR_HASH.fullmatch(given):
        return given
    found = part(gateway.get("/key/list", {"key_alias": given, "size": 2}), "keys")
    return str(found[0]) if isinstance(found, list) and len(found) == 1 else given
