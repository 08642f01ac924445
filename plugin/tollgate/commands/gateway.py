"""Ask the gateway: its address, authentication and errors, shared by all commands."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from tollgate.commands.errors import fail
from tollgate.commands.printing.tables import show

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


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that a command asks, with the key that administers it."""

    url: str
    master_key: str | None
    as_json: bool = False

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a GET; parameters that are None are left out."""
        return self.page(path, query)[0]

    def page(
        self, path: str, query: Mapping[str, Any] | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        """Return the answer to a GET, and its headers; parameters that are None are left out."""
        answer = self._successful("GET", path, params=_given(query))
        return self._json_of(answer), answer.headers

    def find(self, path: str, query: Mapping[str, Any]) -> Any | None:
        """Return the answer to a GET; None where there is nothing of that name."""
        answer = self._answer("GET", path, params=query)
        if answer.status_code == _NOT_FOUND:
            return None
        return self._json_of(self._checked(answer))

    def download(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """Return the answer to a GET as it came; parameters that are None are left out."""
        params = _given(query)
        return self._successful("GET", path, params=params, timeout=_DOWNLOAD_TIMEOUT_S).content

    def post(self, path: str, body: Mapping[str, Any], timeout_s: float = _TIMEOUT_S) -> Any:
        """Return the answer to a POST."""
        return self.send("POST", path, body, timeout_s)

    def send(
        self, method: str, path: str, body: Mapping[str, Any], timeout_s: float = _TIMEOUT_S
    ) -> Any:
        """Return the answer to a request with a body."""
        try:
            content = json.dumps(dict(body), allow_nan=False)
        except ValueError:
            fail("a value is too large for a JSON number")
        headers = {"content-type": "application/json"}
        return self._json_of(
            self._successful(method, path, content=content, headers=headers, timeout=timeout_s)
        )

    def show(self, answer: Any, columns: Sequence[str] = ()) -> None:
        """Print an answer, as JSON if the command was asked to."""
        show(answer, as_json=self.as_json, columns=columns)

    def show_part(self, answer: Any, name: str, columns: Sequence[str] = ()) -> None:
        """Print one member of an answer, or with --json all of it."""
        self.show(answer if self.as_json else part(answer, name), columns)

    def _successful(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._checked(self._answer(method, path, **options))

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        if self.master_key is None:
            fail("no master key: give --master-key, or set TOLLGATE_MASTER_KEY")
        headers = {**options.pop("headers", {}), "authorization": f"Bearer {self.master_key}"}
        options = {"timeout": _TIMEOUT_S, **options}
        try:
            return httpx.request(method, self.url.rstrip("/") + path, headers=headers, **options)
        except unreachable() as error:
            fail(f"cannot reach the gateway at {self.url}: {reason(error)}")

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if not answer.is_success:
            fail(_error(answer.status_code, self._json_of(answer)))
        return answer

    def _json_of(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except (ValueError, RecursionError):
            fail(f"{self.url} answered with {answer.status_code} and no JSON; is it Tollgate?")


def asks_gateway(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options --url, --master-key and --json, as its first argument
    `gateway: Gateway`.
    """

    @functools.wraps(command)
    def run(*, url: str, master_key: str | None, as_json: bool, **given: Any) -> None:
        command(Gateway(url, master_key, as_json), **given)

    hints = get_type_hints(command, include_extras=True)
    own = [
        each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for each in list(inspect.signature(command).parameters.values())[1:]
    ]
    # Typer reads a command's options from its signature.
    run.__signature__ = inspect.Signature([*own, *_OPTIONS])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (*own, *_OPTIONS)}
    return run


_OPTIONS = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("url", DEFAULT_URL, Url),
        ("master_key", None, MasterKey),
        ("as_json", False, AsJson),
    )
)


def unreachable() -> tuple[type[Exception], ...]:
    """Return what httpx raises for invalid addresses, headers and connections."""
    import httpx

    return httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError, OSError


def part(answer: Any, name: str) -> Any:
    """Return a member that an answer must have."""
    if not isinstance(answer, dict) or name not in answer:
        fail(f"the answer has no {name!r}; is it Tollgate that answers there?")
    return answer[name]


def reason(error: Exception) -> str:
    """Return an exception's message, or its name if it has none."""
    return str(error) or type(error).__name__


def _given(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _error(status: int, body: Any) -> str:
    detail = body.get("error", body) if isinstance(body, dict) else body
    message = detail.get("message", detail) if isinstance(detail, dict) else detail
    return f"{message} ({status})"
