"""What a provider says in its headers, and what the client reads: nothing under a name of ours is
another's word.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import Server
from tests.e2e.gateway import Gateway, gateway

CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_base: "http://127.0.0.1:{port}/v1", api_key: k}}
general_settings: {{master_key: sk-1234}}
tollgate: {{workers: 1}}
"""
USAGE = b'"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21}'
JSON = b'{"id":"c","object":"chat.completion","choices":[],' + USAGE + b"}"
SSE = (
    b'data: {"id":"c","choices":[{"delta":{"content":"hi"}}]}\n\ndata: {"choices":[],'
    + USAGE
    + b"}\n\ndata: [DONE]\n\n"
)

# Names of ours, whose account it is, and what a browser would take for the gateway's word.
SPOOFED = {
    "x-litellm-response-cost": "999",
    "x-litellm-key-spend": "999",
    "x-litellm-key-remaining-requests-gpt-4o": "5",
    "x-litellm-anything": "999",
    "x-tollgate-request-id": "spoof",
    "x-tollgate-anything": "spoof",
    "ratelimit": "spoof",
    "ratelimit-policy": "spoof",
    "ratelimit-reset": "spoof",
    "anthropic-ratelimit-requests-limit": "999",
    "x-ratelimit-limit-images": "999",
    "set-cookie": "a=b; Domain=provider.example",
    "openai-organization": "acme",
    "openai-project": "p",
    "anthropic-organization-id": "acme",
    "access-control-allow-origin": "https://provider.example",
    "alt-svc": 'h3=":443"',
    "strict-transport-security": "max-age=1",
}
KEPT = {
    "retry-after": "7",
    "request-id": "req_1",
    "x-should-retry": "true",
    "openai-processing-ms": "12",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway and the provider behind it."""

    gateway: Gateway
    provider: Server

    async def chat(self, *, stream: bool) -> httpx.Response:
        self.provider.body = SSE if stream else JSON
        self.provider.content_type = "text/event-stream" if stream else "application/json"
        key = await self.gateway.key(rpm_limit=100)
        reply = await self.gateway.chat(key, stream=stream)
        assert reply.status_code == 200
        return reply


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("headers")
    said = {**SPOOFED, **KEPT, "x-ratelimit-limit-requests": "9999"}
    provider = Server(headers="".join(f"{name}: {value}\r\n" for name, value in said.items()))
    async with (
        provider.serving() as port,
        gateway(folder, CONFIG.format(port=port), "--mode", request.param) as running,
    ):
        yield Stage(running, provider)


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_that_a_provider_says_stands_under_a_name_of_ours(
    stage: Stage, stream: bool
) -> None:
    """Whatever the name is: what is shown under it is not the provider's value."""
    shown = (await stage.chat(stream=stream)).headers
    assert {name: shown[name] for name, value in SPOOFED.items() if shown.get(name) == value} == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_request_is_found_under_the_id_that_its_reply_shows(
    stage: Stage, stream: bool
) -> None:
    """The ledger knows it, so it is ours."""
    identity = (await stage.chat(stream=stream)).headers["x-tollgate-request-id"]
    for _ in range(100):
        if records := await stage.gateway.records(request_id=identity):
            break
    assert [each["request_id"] for each in records] == [identity]


@pytest.mark.parametrize("stream", [False, True])
async def test_limits_are_ours_and_the_providers_stand_beside_them(
    stage: Stage, stream: bool
) -> None:
    shown = (await stage.chat(stream=stream)).headers
    assert shown["x-ratelimit-limit-requests"] == "100"
    assert shown["llm_provider-x-ratelimit-limit-requests"] == "9999"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_true_of_the_call_stays(stage: Stage, stream: bool) -> None:
    shown = (await stage.chat(stream=stream)).headers
    assert {name: shown.get(name) for name in KEPT} == KEPT
