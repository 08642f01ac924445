"""A gateway whose provider keeps what reaches it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import Seen, Server
from tests.e2e.gateway import Gateway, gateway

CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_base: "http://127.0.0.1:{port}/v1",
        api_key: provider-key}}
  - model_name: cheap
    litellm_params: {{model: openai/cheap, api_base: "http://127.0.0.1:{port}/v1",
        api_key: provider-key}}
  - model_name: small
    litellm_params: {{model: ollama/small, api_base: "http://127.0.0.1:{port}"}}
  - model_name: claude
    litellm_params: {{model: anthropic/claude-sonnet-4-5, api_base: "http://127.0.0.1:{port}",
        api_key: provider-key}}
  - model_name: flash
    litellm_params: {{model: gemini/gemini-2.5-flash, api_base: "http://127.0.0.1:{port}",
        api_key: provider-key}}
  - model_name: whisper
    litellm_params: {{model: openai/whisper-1, api_base: "http://127.0.0.1:{port}/v1",
        api_key: provider-key}}
  - model_name: theirs
    litellm_params: {{model: anthropic/claude-sonnet-4-5, api_base: "http://127.0.0.1:{port}",
        pass_credentials: true}}
general_settings: {{master_key: sk-1234}}
tollgate: {{workers: 1, unpriced_models: default_price, max_request_bytes: 2000000,
    pass_client_headers: [openai-project]}}
"""
ANSWER = (
    b'{"id":"x","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"hello"}}],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21}}'
)
CHAT, FORM = "/v1/chat/completions", "/v1/audio/transcriptions"
MESSAGES = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Door:
    """A gateway, and what its provider was sent."""

    gateway: Gateway
    provider: Server

    async def post(self, path: str, headers: dict[str, str], **sent: Any) -> httpx.Response:
        """One request, its `content`, `json` or `files` as httpx takes them."""
        return await self.gateway.client.post(self.gateway.url + path, headers=headers, **sent)

    async def chat(
        self, headers: dict[str, str], path: str = CHAT, **members: Any
    ) -> httpx.Response:
        """A chat of gpt-4o, unless members say otherwise."""
        return await self.post(
            path, headers, json={"model": "gpt-4o", "messages": MESSAGES, **members}
        )

    def took(self) -> Seen:
        """The one request that the provider was sent since it was asked last."""
        (seen,) = self.provider.seen
        self.provider.seen.clear()
        return seen


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    provider = Server(body=ANSWER)
    async with provider.serving() as port:
        config = CONFIG.format(port=port)
        async with gateway(
            tmp_path_factory.mktemp("requests"), config, "--mode", request.param
        ) as each:
            yield Door(each, provider)


@pytest.fixture
def door(running: Door) -> Door:
    """The running gateway, with nothing sent yet."""
    running.provider.seen.clear()
    return running


def form(boundary: str, model: str) -> str:
    return (
        f"--{boundary}\r\nContent-Disposition: form-data;"
        f' name="model"\r\n\r\n{model}\r\n--{boundary}--\r\n'
    )
