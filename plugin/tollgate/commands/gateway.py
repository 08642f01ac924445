"""Ask the gateway: its address, authentication and errors, shared by all commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollgate.commands.errors import fail

if TYPE_CHECKING:
    import httpx

Url = Annotated[str, typer.Option("--url", envvar="TOLLGATE_URL", help="where the gateway is")]
MasterKey = Annotated[
    str | None,
    typer.Option(
        "--master-key",
        envvar="TOLLGATE_MASTER_KEY",
        show_envvar=True,
        help="the key that administers",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print the gateway's answer as it came")]

DEFAULT_URL = "http://127.0.0.1:4000"
_TIMEOUT_S = 30.0
_NOT_FOUND = 404
_DOWNLOAD_TIMEOUT_S = 600.0


def unreachable() -> tuple[type[Exception], ...]:
    """Return what httpx raises for invalid addresses, headers and connections."""
    import httpx

    return httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError, OSError


def post(
    url: str,
    master_key: str | None,
    path: str,
    body: Mapping[str, Any],
    timeout_s: float = _TIMEOUT_S,
) -> Any:
    """Return the answer to a POST."""
    return send("POST", url, master_key, path, body, timeout_s)


def send(
    method: str,
    url: str,
    master_key: str | None,
    path: str,
    body: Mapping[str, Any],
    timeout_s: float = _TIMEOUT_S,
) -> Any:
    """Return the answer to a request with a body."""
    try:
        content = json.dumps(dict(body), allow_nan=False)
    except ValueError:
        fail("a value is too large for a JSON number")
    headers = {"content-type": "application/json"}
    return _ask(url, master_key, method, path, content=content, headers=headers, timeout=timeout_s)


def get(url: str, master_key: str | None, path: str, query: Mapping[str, Any] | None = None) -> Any:
    """Return the answer to a GET; parameters that are None are left out."""
    return ask(url, master_key, path, query)[0]


def find(url: str, master_key: str | None, path: str, query: Mapping[str, Any]) -> Any | None:
    """Return the answer to a GET; None where there is nothing of that name."""
    answer = _answer(url, master_key, "GET", path, params=query)
    if answer.status_code == _NOT_FOUND:
        return None
    return _json_of(_successful(answer, url), url)


def ask(
    url: str, master_key: str | None, path: str, query: Mapping[str, Any] | None = None
) -> tuple[Any, Mapping[str, str]]:
    """Return the answer to a GET, and its headers."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return _exchange(url, master_key, "GET", path, params=given)


def download(
    url: str, master_key: str | None, path: str, query: Mapping[str, Any] | None = None
) -> bytes:
    """Return the answer to a GET as it came; parameters that are None are left out."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return _request(url, master_key, "GET", path, params=given, timeout=_DOWNLOAD_TIMEOUT_S).content


def part(answer: Any, name: str) -> Any:
    """Return a member that an answer must have."""
    if not isinstance(answer, dict) or name not in answer:
        fail(f"the answer has no {name!r}; is it Tollgate that answers there?")
    return answer[name]


def _ask(url: str, master_key: str | None, method: str, path: str, **options: Any) -> Any:
    return _exchange(url, master_key, method, path, **options)[0]


def _exchange(
    url: str, master_key: str | None, method: str, path: str, **options: Any
) -> tuple[Any, Mapping[str, str]]:
    answer = _request(url, master_key, method, path, **options)
    return _json_of(answer, url), answer.headers


def _request(
    url: str, master_key: str | None, method: str, path: str, **options: Any
) -> httpx.Response:
    """Return an answer that is no error."""
    return _successful(_answer(url, master_key, method, path, **options), url)


def _answer(
    url: str, master_key: str | None, method: str, path: str, **options: Any
) -> httpx.Response:
    import httpx

    if master_key is None:
        fail("no master key: give --master-key, or set TOLLGATE_MASTER_KEY")
    headers = {**options.pop("headers", {}), "authorization": f"Bearer {master_key}"}
    options = {"timeout": _TIMEOUT_S, **options}
    try:
        return httpx.request(method, url.rstrip("/") + path, headers=headers, **options)
    except unreachable() as error:
        fail(f"cannot reach the gateway at {url}: {reason(error)}")


def _successful(answer: httpx.Response, url: str) -> httpx.Response:
    if not answer.is_success:
        fail(_error(answer.status_code, _json_of(answer, url)))
    return answer


def _json_of(answer: httpx.Response, url: str) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        fail(f"{url} answered with {answer.status_code} and no JSON; is it Tollgate?")


def reason(error: Exception) -> str:
    """Return an exception's message, or its name if it has none."""
    return str(error) or type(error).__name__


def _error(status: int, body: Any) -> str:
    detail = body.get("error", body) if isinstance(body, dict) else body
    message = detail.get("message", detail) if isinstance(detail, dict) else detail
    return f"{message} ({status})"
