"""What clients ask before they call: which models there are, in each API's own way, through real
Envoy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, Gateway, bearer, gateway

MORE = """
  - model_name: openai/x
    litellm_params: {model: openai/x, api_base: http://mock-llm/v1, api_key: provider-key}
  - model_name: flash
    litellm_params: {model: gemini/gemini-2.5-flash, api_base: http://mock-llm,
        api_key: provider-key}
  - model_name: small
    litellm_params: {model: ollama/llama3, api_base: http://mock-llm}
general_settings:"""


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def ours(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway with models of several APIs."""
    config = CONFIG.replace("\ngeneral_settings:", MORE)
    async with gateway(
        tmp_path_factory.mktemp("models"), config, "--mode", request.param
    ) as running:
        yield running


async def test_one_model_is_found_by_its_name(ours: Gateway) -> None:
    """A slash in it, plain or encoded; Anthropic's header; one that the key may not use."""
    headers = bearer(await ours.key(models=["openai/x", "claude"]))
    for path in ("/v1/models/openai/x", "/v1/models/openai%2Fx", "/v1/models/openai/x/"):
        reply = await ours.client.get(ours.url + path, headers=headers)
        assert (reply.status_code, reply.json()["id"], reply.json()["object"]) == (
            200,
            "openai/x",
            "model",
        )
    version = {"anthropic-version": "2023-06-01"}
    reply = await ours.client.get(f"{ours.url}/v1/models/claude", headers=headers | version)
    assert (reply.status_code, reply.json()["type"]) == (200, "model")
    reply = await ours.client.get(f"{ours.url}/v1/models/gpt-4o", headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")


async def test_googles_and_ollamas_lists(ours: Gateway) -> None:
    """Under their own paths, with the key where their clients put it."""
    key = await ours.key()
    google = {"x-goog-api-key": key}
    listed = (await ours.client.get(f"{ours.url}/v1beta/models", headers=google)).json()
    one = (await ours.client.get(f"{ours.url}/v1beta/models/flash", headers=google)).json()
    assert listed == {"models": [one]}
    assert one["name"] == "models/flash"
    tags = (await ours.client.get(f"{ours.url}/api/tags", headers=bearer(key))).json()
    assert "small" in [each["name"] for each in tags["models"]]
    assert "claude" not in [each["name"] for each in tags["models"]]
    refused = await ours.client.get(
        f"{ours.url}/v1beta/models", headers={"x-goog-api-key": "sk-wrong"}
    )
    assert (refused.status_code, refused.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1beta/models", "/api/tags"])
async def test_head_is_answered_without_a_body(ours: Gateway, path: str) -> None:
    """As GET would be."""
    reply = await ours.client.head(ours.url + path, headers=bearer(await ours.key()))
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/chat/completions/",
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        ),
        (
            "/v1/messages/",
            {"model": "claude", "max_tokens": 3, "messages": [{"role": "user", "content": "hi"}]},
        ),
        (
            "/v1beta/models/flash:generateContent/",
            {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        ),
        ("/v1/embeddings/", {"model": "embed", "input": "hi"}),
        (
            "/api/chat/",
            {"model": "small", "messages": [{"role": "user", "content": "hi"}], "stream": False},
        ),
    ],
)
async def test_a_slash_at_the_end_changes_nothing(
    ours: Gateway, path: str, body: dict[str, object]
) -> None:
    """Served, and refused, as without it."""
    headers = bearer(await ours.key(rpm_limit=1))
    replies = [
        await ours.client.post(ours.url + path, json=body, headers=headers) for _ in range(2)
    ]
    assert [each.status_code for each in replies] == [200, 429], replies[0].text
    plain = await ours.client.post(ours.url + path.rstrip("/"), json=body, headers=headers)
    assert set(plain.json()) == set(replies[1].json())


async def test_management_paths_too(ours: Gateway) -> None:
    """Those that stand alone, and those under a prefix."""
    headers = bearer("sk-1234")
    for path in ("/v1/models/", "/key/list/", "/model/info/", "/health/readiness/", "/metrics/"):
        reply = await ours.client.get(ours.url + path, headers=headers)
        assert reply.status_code == 200, path
