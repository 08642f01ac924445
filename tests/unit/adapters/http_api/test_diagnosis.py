"""What `tollgate doctor` asks the management server, and the provider of its probes there."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.unit.management_fixtures import MASTER, World

from tollgate.adapters.http_api import create_api
from tollgate.core.models.probe_model import PROBE_PATH

CALL = f"{PROBE_PATH}/chat/completions"


class Facts:
    async def facts(self) -> dict[str, Any]:
        return {"lease_seconds": 60}


@pytest.fixture
def client(world: World) -> httpx.AsyncClient:
    app = create_api(world.management, version="test", watched=world.watched, diagnosed=Facts())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t")


async def test_only_an_administrator_reads_the_facts(client: httpx.AsyncClient) -> None:
    refused = await client.get("/health/diagnosis")
    told = await client.get("/health/diagnosis", headers={"authorization": f"Bearer {MASTER}"})
    assert (refused.status_code, told.json()) == (401, {"lease_seconds": 60})


async def test_the_provider_says_what_has_arrived_but_no_header_s_value(
    client: httpx.AsyncClient,
) -> None:
    """Some of them may be secrets that should not have come this far."""
    reply = await client.post(CALL, json={"model": "m"}, headers={"x-api-key": "sk-secret"})
    arrived = reply.json()["arrived"]
    assert (arrived["model"], "x-api-key" in arrived["headers"]) == ("m", True)
    assert "sk-secret" not in reply.text


@pytest.mark.parametrize("asked", [False, True])
async def test_a_stream_tells_its_usage_if_it_was_asked_to(
    client: httpx.AsyncClient, asked: bool
) -> None:
    body = {"probe": {"word": "stream"}, "stream_options": {"include_usage": asked}}
    text = (await client.post(CALL, json=body)).text
    events = [json.loads(each[6:]) for each in text.splitlines() if each.startswith("data: {")]
    assert any("usage" in each for each in events) is asked
    assert text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("body", "status"),
    [({"probe": {"word": "error"}}, 418), ({"probe": {"word": "other"}}, 400), ([], 400)],
)
async def test_a_probe_may_ask_for_an_error(
    client: httpx.AsyncClient, body: object, status: int
) -> None:
    assert (await client.post(CALL, json=body)).status_code == status


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"model": "probe"]', b'{"probe": {"word": "other"}}']
)
async def test_a_body_that_is_no_probe_is_told_as_damaged(
    client: httpx.AsyncClient, body: bytes
) -> None:
    """By a code of its own: Tollgate's own refusals of a body have others."""
    answer = await client.post(CALL, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "damaged_probe")
