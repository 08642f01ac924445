"""What LiteLLM's Terraform providers and its Python client send, and what they read back.

Terraform compares what it reads with what it wrote: any difference is a change in every later plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import httpx
import pytest
from tests.unit.adapters.http_api.terraform_requests import (
    MODEL,
    PYTHON_CLIENT,
    RESOURCES,
    Request,
)
from tests.unit.management_fixtures import MASTER, Api

EMPTY = (None, "", [], {}, 0, False)

Send = Callable[[Request], Awaitable[httpx.Response]]


@pytest.fixture
def send(api: Api) -> Send:
    """A request as the providers sign it."""

    async def sent(request: Request) -> httpx.Response:
        method, path, body = request
        return await api.client.request(method, path, json=body, headers={"x-api-key": MASTER})

    return sent


@pytest.mark.parametrize("name", RESOURCES)
async def test_what_terraform_reads_is_what_it_wrote(send: Send, name: str) -> None:
    """After creation and each update; then it is gone."""
    resource = RESOURCES[name]
    for path, body in (
        ("/organization/new", {"organization_id": "acme"}),
        ("/team/new", {"team_id": "core"}),
    ):
        assert (await send(("POST", path, body))).status_code == 200
    wanted: dict[str, Any] = {}
    for request in (resource.create, *resource.updates):
        answer = await send(request)
        assert answer.status_code == 200, answer.text
        wanted |= request[2]
        shown = (await send(resource.read)).json()
        for step in resource.place:
            shown = shown[step]
        differing = {
            field: (value, _at(shown, resource.names.get(field, field)))
            for field, value in wanted.items()
            if field not in (*resource.silent, "key")
            and not _same(value, _at(shown, resource.names.get(field, field)))
        }
        assert differing == {}
    assert (await send(resource.delete)).status_code == 200
    left = await send(resource.read)
    if resource.gone == 404:
        assert left.status_code == 404
    else:
        found = left.json()
        assert not (found["team_memberships"] if name == "team member" else found)


def _at(row: Any, path: str) -> Any:
    for name in path.split("."):
        row = row.get(name)
    return row


def _same(written: Any, read: Any) -> bool:
    """As Terraform compares: empty text, list and map are what is not set."""
    if written in EMPTY and not isinstance(written, int | float):
        return read in EMPTY
    return bool(written == read)


async def test_terraform_knows_a_key_by_its_token_id(send: Send, api: Api) -> None:
    """LiteLLM's provider takes it from the answer of /key/generate; the page's curl sees null."""
    made = (await send(("POST", "/key/generate", {"models": None, "blocked": False}))).json()
    assert made["token_id"] == sha256(made["key"].encode()).hexdigest()
    assert (await send(("GET", f"/key/info?key={made['token_id']}", None))).status_code == 200
    assert (await api.made())["token_id"] is None


async def test_a_key_with_an_alias_gets_no_user(send: Send) -> None:
    """Terraform would see a user that its configuration does not have."""
    body = {"models": None, "blocked": False, "key_alias": "ci"}
    made = (await send(("POST", "/key/generate", body))).json()
    assert made["user_id"] is None


async def test_a_service_account_has_a_team(send: Send) -> None:
    """Without one, it would be nobody's."""
    answer = await send(("POST", "/key/service-account/generate", {"key_alias": "robot"}))
    assert (answer.status_code, "team_id is required" in answer.text) == (400, True)


async def test_the_python_client_is_served(api: Api) -> None:
    """Each of its requests, one after the other."""
    headers = {"authorization": f"Bearer {MASTER}"}
    for method, path, body in PYTHON_CLIENT:
        answer = await api.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 200, (path, answer.text)


async def test_terraform_adds_changes_and_removes_a_model(send: Send) -> None:
    """And tells by the words of an error that there is none, yet or any more."""
    assert (await send(("POST", "/model/new", MODEL))).status_code == 200
    params = {**MODEL["litellm_params"], "model": "openai/gpt-4o-mini"}  # type: ignore[dict-item]
    changed = await send(("POST", "/model/update", {**MODEL, "litellm_params": params}))
    assert changed.status_code == 200, changed.text
    assert (await send(("POST", "/model/delete", {"id": "6f0c5a9e"}))).status_code == 200
    again = await send(("POST", "/model/update", MODEL))
    unseen = await send(("GET", "/model/info?litellm_model_id=6f0c5a9e", None))
    for answer in (again, unseen):
        assert (answer.status_code, "model not found" in answer.text) == (404, True)
