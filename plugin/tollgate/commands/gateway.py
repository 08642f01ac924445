"""What all commands share: where the gateway is, how it is asked, and how its answers are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.table import Table

Url = Annotated[str, typer.Option("--url", envvar="TOLLGATE_URL", help="where the gateway is")]
MasterKey = Annotated[
    str | None,
    typer.Option("--master-key", envvar="TOLLGATE_MASTER_KEY", show_envvar=True, help="the key that administers"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print the gateway's answer as it came")]
Fields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]...",
        help="fields of the request, such as rpm_limit=2 max_budget=0.5 models='[\"gpt-4o\"]'; "
        "a value is JSON if it can be read as such (null clears), else text",
    ),
]

DEFAULT_URL = "http://127.0.0.1:4000"
_TIMEOUT_S = 30.0


def parsed(fields: Sequence[str] | None) -> dict[str, Any]:
    """`FIELD=VALUE` arguments as a request body."""
    body: dict[str, Any] = {}
    for field in fields or ():
        name, equals, value = field.partition("=")
        if not equals or not name:
            fail(f"{field!r} is not FIELD=VALUE")
        try:
            body[name] = json.loads(value)
        except ValueError:
            body[name] = value
    return body


def post(url: str, master_key: str | None, path: str, body: Mapping[str, Any]) -> Any:
    """The answer to a POST."""
    return _ask(url, master_key, "POST", path, json=dict(body))


def get(url: str, master_key: str | None, path: str, query: Mapping[str, Any] | None = None) -> Any:
    """The answer to a GET. What is None is not asked."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return _ask(url, master_key, "GET", path, params=given)


def show(answer: Any, *, as_json: bool, columns: Sequence[str] = ()) -> None:
    """Print an answer: as JSON, a list of objects as a table of some columns, anything else line by line."""
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    if isinstance(answer, list) and columns:
        _print_rows(answer, columns)
    elif isinstance(answer, dict):
        _print_object(answer)
    else:
        typer.echo(_shown(answer))


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with status 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _ask(url: str, master_key: str | None, method: str, path: str, **options: Any) -> Any:
    if master_key is None:
        fail("no master key: give --master-key, or set TOLLGATE_MASTER_KEY")
    try:
        answer = httpx.request(
            method,
            url.rstrip("/") + path,
            headers={"authorization": f"Bearer {master_key}"},
            timeout=_TIMEOUT_S,
            **options,
        )
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
        fail(f"cannot reach the gateway at {url}: {error}")
    try:
        body = answer.json()
    except ValueError:
        fail(f"{url} answered with {answer.status_code} and no JSON; is it Tollgate?")
    if not answer.is_success:
        fail(_error(answer.status_code, body))
    return body


def _error(status: int, body: Any) -> str:
    detail = body.get("error", body) if isinstance(body, dict) else body
    message = detail.get("message", detail) if isinstance(detail, dict) else detail
    return f"{message} ({status})"


def _print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_shown(row.get(column)) for column in columns))
    Console(soft_wrap=True, markup=False).print(table)


def _print_object(answer: Mapping[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in answer.items():
        table.add_row(name, _shown(value))
    Console(soft_wrap=True, markup=False).print(table)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
