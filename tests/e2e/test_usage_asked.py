"""Who is asked to tell a stream's usage, and what is charged either way: what the provider gets,
byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import Server
from tests.e2e.gateway import Gateway, gateway

CONFIG = """
model_list:
  - model_name: openai
    litellm_params: {{model: openai/gpt-4o, api_base: "http://127.0.0.1:{port}/v1", api_key: k}}
  - model_name: mistral
    litellm_params: {{model: mistral/mistral-small, api_base: "http://127.0.0.1:{port}/v1",
        api_key: k, {price}}}
  - model_name: perplexity
    litellm_params: {{model: perplexity/sonar, api_base: "http://127.0.0.1:{port}/v1", api_key: k,
        {price}}}
  - model_name: dropped
    litellm_params:
      model: openai/gpt-4o
      api_base: "http://127.0.0.1:{port}/v1"
      api_key: k
      additional_drop_params: ["stream_options"]
general_settings: {{master_key: sk-1234}}
tollgate: {{workers: 1}}
"""
PRICE = "input_cost_per_token: 0.000001, output_cost_per_token: 0.000001"
WORDS = (
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi'
    b' there"}}]}\n\n'
)
USAGE = (
    b"data:"
    b' {"id":"c","object":"chat.completion.chunk",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21}}\n\n'
)
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway and the provider behind it."""

    gateway: Gateway
    provider: Server

    async def stream(
        self, model: str, *, told: bool, **members: Any
    ) -> tuple[dict[str, Any], str, dict[str, Any]]:
        """What the provider got, what the client read, and the call's record."""
        self.provider.body = WORDS + (USAGE if told else b"") + DONE
        self.provider.seen.clear()
        key = await self.gateway.key()
        reply = await self.gateway.chat(key, model=model, stream=True, **members)
        assert reply.status_code == 200, reply.text
        (seen,) = self.provider.seen
        (record,) = await self.gateway.records(request_id=reply.headers["x-tollgate-request-id"])
        return json.loads(seen.body), reply.text, record


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    provider = Server(content_type="text/event-stream")
    folder = tmp_path_factory.mktemp("asked")
    async with (
        provider.serving() as port,
        gateway(folder, CONFIG.format(port=port, price=PRICE), "--mode", request.param) as running,
    ):
        yield Stage(running, provider)


async def test_a_provider_that_knows_the_option_is_asked(stage: Stage) -> None:
    """And its event is hidden from a client that did not ask."""
    got, read, record = await stage.stream("openai", told=True)
    assert got["stream_options"] == {"include_usage": True}
    assert (record["prompt_tokens"], record["completion_tokens"], record["usage"]) == (
        12,
        9,
        "exact",
    )
    assert "hi there" in read


@pytest.mark.parametrize("model", ["mistral", "perplexity"])
async def test_a_provider_that_has_no_such_option_is_not_asked(stage: Stage, model: str) -> None:
    """It tells unasked, and what it tells reaches the client; the body goes up as it came but for
    the model's name.
    """
    got, read, record = await stage.stream(model, told=True)
    assert set(got) == {"model", "messages", "stream"}
    assert '"completion_tokens":9' in read
    assert (record["prompt_tokens"], record["completion_tokens"], record["usage"]) == (
        12,
        9,
        "exact",
    )


@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": True}}])
async def test_a_deployment_that_drops_the_option_gets_none(
    stage: Stage, asked: dict[str, Any]
) -> None:
    """Neither ours nor the client's own; usage that is told all the same is read."""
    got, _, record = await stage.stream("dropped", told=True, **asked)
    assert set(got) == {"model", "messages", "stream"}
    assert (record["completion_tokens"], record["usage"]) == (9, "exact")


@pytest.mark.parametrize("model", ["mistral", "dropped"])
async def test_usage_that_nobody_tells_is_estimated(stage: Stage, model: str) -> None:
    """Never silently zero."""
    _, _, record = await stage.stream(model, told=False)
    assert record["usage"] == "estimated"
    assert record["prompt_tokens"] > 0
    assert record["completion_tokens"] > 0
