"""Read LiteLLM's rows from a server, page by page, or from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tollgate.core.errors import SettingsError
from tollgate.import_litellm.rows import Row

if TYPE_CHECKING:
    import httpx

Say = Callable[[str], None]

_PAGE = 100
_TIMEOUT_S = 60.0
_NOT_FOUND = 404
_LISTS = ("keys", "teams", "users", "budgets", "customers", "organizations", "tags", "models")


class _NotServed(SettingsError):
    """The server does not know a path."""


@dataclass(frozen=True, slots=True)
class Dump:
    """All rows of a LiteLLM server.

    A team's row may include `team_memberships`, which only /team/info returns.
    """

    keys: tuple[Row, ...] = ()
    teams: tuple[Row, ...] = ()
    users: tuple[Row, ...] = ()
    budgets: tuple[Row, ...] = ()
    customers: tuple[Row, ...] = ()
    organizations: tuple[Row, ...] = ()
    tags: tuple[Row, ...] = ()
    models: tuple[Row, ...] = ()


def read_file(path: Path) -> Dump:
    """Read a dump: an object with the lists, or with the LiteLLM answers that contain them.

    Raises SettingsError.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(document, dict) or not any(name in document for name in _LISTS):
        raise SettingsError(f"{path} must hold an object with {', '.join(_LISTS)}")
    return Dump(**{name: _rows(document.get(name, []), name, str(path)) for name in _LISTS})


def _rows(value: Any, name: str, where: str) -> tuple[Row, ...]:
    rows = value.get(name) if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SettingsError(
            f"{where}: {name} must be a list of objects (of keys: ask with return_full_object=true)"
        )
    return tuple(rows)


class LitellmServer:
    """A LiteLLM server as its administrator sees it."""

    def __init__(self, client: httpx.Client, say: Say) -> None:
        self._client = client
        self._say = say

    def read(self) -> Dump:
        """Read everything the server knows. Raises SettingsError."""
        return Dump(
            keys=self._paged("/key/list", "keys", "size", {"return_full_object": "true"}, "token"),
            teams=tuple(self._teams()),
            users=self._paged("/user/list", "users", "page_size", {}, "user_id"),
            budgets=_rows(self._get("/budget/list", {}), "budgets", "/budget/list"),
            customers=self._paged("/customer/list", "customers", "page_size", {}, "user_id"),
            organizations=self._newer("/organization/list", "organizations"),
            tags=self._newer("/tag/list", "tags"),
            models=self._models(),
        )

    def logs(self, query: dict[str, str]) -> Iterator[Row]:
        """Yield the records of calls that a query asks for. Raises SettingsError."""
        page, pages = 1, 1
        while page <= pages:
            asked = {**query, "page": str(page), "page_size": str(_PAGE)}
            answer = self._get("/spend/logs/v2", asked)
            yield from _rows(answer, "data", "/spend/logs/v2")
            pages = int(answer.get("total_pages") or 1)
            page += 1

    def _newer(self, path: str, name: str) -> tuple[Row, ...]:
        """Read a list that older servers do not have."""
        try:
            return _rows(self._get(path, {}), name, path)
        except _NotServed:
            self._say(f"reading {name}: this LiteLLM has no {path}")
            return ()

    def _models(self) -> tuple[Row, ...]:
        """Read the models, which are only reported: a server without any answers with an error."""
        try:
            return _rows(self._get("/model/info", {}), "data", "/model/info")
        except SettingsError as error:
            self._say(f"reading models: {error}")
            return ()

    def _paged(
        self, path: str, name: str, size: str, query: dict[str, str], identity: str
    ) -> tuple[Row, ...]:
        """Read a whole list.

        Older servers return everything whatever page is asked for, so reading ends when nothing new
        comes.
        """
        found: dict[str, Row] = {}
        page = 0
        while True:
            page += 1
            rows = _rows(
                self._get(path, {**query, "page": str(page), size: str(_PAGE)}), name, path
            )
            new = {
                str(row.get(identity)): row for row in rows if str(row.get(identity)) not in found
            }
            if not new:
                return tuple(found.values())
            found |= new
            self._say(f"reading {name}: {len(found)}")

    def _teams(self) -> Iterator[Row]:
        teams = _rows(self._get("/team/list", {}), "teams", "/team/list")
        for number, team in enumerate(teams, 1):
            info = self._get("/team/info", {"team_id": str(team.get("team_id"))})
            memberships = info.get("team_memberships") if isinstance(info, dict) else None
            yield {**team, "team_memberships": memberships or []}
            if number % _PAGE == 0 or number == len(teams):
                self._say(f"reading teams: {number} of {len(teams)}")

    def _get(self, path: str, query: dict[str, str]) -> Any:
        import httpx

        try:
            answer = self._client.get(path, params=query)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            what = str(error) or type(error).__name__
            raise SettingsError(
                f"cannot reach LiteLLM at {self._client.base_url}: {what}"
            ) from error
        if answer.status_code == _NOT_FOUND:
            raise _NotServed(f"LiteLLM has no {path}")
        if not answer.is_success:
            raise SettingsError(
                f"LiteLLM answered {path} with {answer.status_code}: {answer.text[:200]}"
            )
        try:
            return answer.json()
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"LiteLLM answered {path} with no JSON") from error


def read_server(url: str, master_key: str, say: Say) -> Dump:
    """Read everything from a server. Raises SettingsError."""
    with connected(url, master_key, say) as server:
        return server.read()


@contextmanager
def connected(url: str, master_key: str, say: Say = lambda _: None) -> Iterator[LitellmServer]:
    """Connect to a server. Raises SettingsError for an address that is none."""
    import httpx

    headers = {"authorization": f"Bearer {master_key}"}
    try:
        client = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=_TIMEOUT_S)
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsError(f"cannot reach LiteLLM at {url}: {error}") from error
    with client:
        yield LitellmServer(client, say)
