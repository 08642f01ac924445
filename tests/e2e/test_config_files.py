"""LiteLLM files through a whole gateway: wildcards, aliases, variables, and what providers are
asked for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.envoy_lab import Seen, Server
from tests.e2e.gateway import Gateway, bearer, gateway

MODES = pytest.mark.parametrize("mode", ["grpc", "native"])
OPENAI = {
    "id": "c",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21},
}
ANTHROPIC = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "ok"}],
    "usage": {"input_tokens": 12, "output_tokens": 9},
}
WILDCARDS = """
environment_variables:
  OPENAI_API_KEY: sk-oa
  ANTHROPIC_API_KEY: sk-ant
  OPENAI_BASE_URL: http://127.0.0.1:{openai}/v1
  ANTHROPIC_API_BASE: http://127.0.0.1:{anthropic}
model_list:
  - {{model_name: "openai/*", litellm_params: {{model: "openai/*"}},
      model_info: {{access_groups: [labs]}}}}
  - {{model_name: "anthropic/*", litellm_params: {{model: "anthropic/*"}}}}
  - {{model_name: "*", litellm_params: {{model: "openai/*", api_key: sk-rest}}}}
  - {{model_name: openai/gpt-4.1, litellm_params: {{model: openai/the-one-that-we-host}}}}
router_settings:
  model_group_alias:
    mini: openai/gpt-4o-mini
    old-name: {{model: openai/gpt-4o-mini, hidden: true}}
general_settings: {{master_key: sk-1234}}
"""


@asynccontextmanager
async def running(folder: Path, mode: str) -> AsyncIterator[tuple[Gateway, Server, Server]]:
    """A gateway on the file above, and its providers."""
    openai, anthropic = (
        Server(body=json.dumps(OPENAI).encode()),
        Server(body=json.dumps(ANTHROPIC).encode()),
    )
    async with openai.serving() as first, anthropic.serving() as second:
        file = WILDCARDS.format(openai=first, anthropic=second)
        async with gateway(folder, file, "--mode", mode) as started:
            yield started, openai, anthropic


def asked(seen: Seen) -> tuple[str, Any]:
    """The path of a provider's request, and the model in its body."""
    return seen.path, json.loads(seen.body)["model"]


@MODES
async def test_wildcards_are_served_by_the_rest_of_the_name(tmp_path: Path, mode: str) -> None:
    """Routed, priced, recorded, limited and allowed by the name that was asked for."""
    async with running(tmp_path, mode) as (started, openai, anthropic):
        key = await started.key(max_budget=1, model_rpm_limit={"openai/gpt-4o-mini": 2})
        reply = await started.chat(key, model="openai/gpt-4o-mini")
        assert reply.status_code == 200, reply.text
        assert asked(openai.seen[-1]) == ("/v1/chat/completions", "gpt-4o-mini")
        assert openai.seen[-1].headers["authorization"] == "Bearer sk-oa"
        # $0.15 and $0.60 a million
        assert await started.spend(key, at_least=0.0000072) == pytest.approx(0.0000072)
        (record,) = await started.records(request_id=reply.headers["x-tollgate-request-id"])
        assert record["model"] == "openai/gpt-4o-mini"

        messages = {
            "model": "anthropic/claude-haiku-4-5",
            "max_tokens": 20,
            "messages": [{"role": "user", "content": "a"}],
        }
        reply = await started.client.post(
            f"{started.url}/v1/messages", json=messages, headers={"x-api-key": key}
        )
        assert reply.status_code == 200, reply.text
        assert asked(anthropic.seen[-1]) == ("/v1/messages", "claude-haiku-4-5")
        assert anthropic.seen[-1].headers["x-api-key"] == "sk-ant"

        for name, model, credential in (
            ("gpt-4.1-nano", "gpt-4.1-nano", "sk-rest"),
            ("openai/gpt-4.1", "the-one-that-we-host", "sk-oa"),
        ):
            reply = await started.chat(await started.key(), model=name)
            assert reply.status_code == 200, reply.text
            assert asked(openai.seen[-1]) == ("/v1/chat/completions", model)
            assert openai.seen[-1].headers["authorization"] == f"Bearer {credential}"

        reply = await started.chat(key, model="groq/nobody-knows-it")
        assert (reply.status_code, "no price" in reply.text) == (400, True)
        assert (await started.chat(await started.key(), model="groq/x")).status_code == 200
        assert asked(openai.seen[-1])[1] == "groq/x"

        # an alias is the same model, with the same limit
        assert (await started.chat(key, model="mini")).status_code == 200
        assert asked(openai.seen[-1])[1] == "gpt-4o-mini"
        assert (await started.chat(key, model="old-name")).status_code == 429
        assert (await started.chat(key, model="openai/gpt-4o")).status_code == 200


@MODES
async def test_lists_of_a_key_hold_for_what_wildcards_serve(tmp_path: Path, mode: str) -> None:
    """Patterns, names and access groups; /v1/models shows what can be called, and no wildcard's
    name.
    """
    async with running(tmp_path, mode) as (started, _, __):
        for models, status in (
            (["anthropic/*"], 403),
            (["openai/*"], 200),
            (["openai/gpt-4o-mini"], 200),
            (["labs"], 200),
            (["openai/gpt-4o"], 403),
        ):
            reply = await started.chat(await started.key(models=models), model="openai/gpt-4o-mini")
            assert reply.status_code == status, (models, reply.text)
        key = await started.key(models=["anthropic/*", "mini"])
        listed = await started.client.get(f"{started.url}/v1/models", headers=bearer(key))
        names = [each["id"] for each in listed.json()["data"]]
        assert "anthropic/claude-haiku-4-5" in names
        assert "mini" in names
        assert not [
            each
            for each in names
            if "*" in each or each.startswith("openai/") or each == "old-name"
        ]
        for name, status in (
            ("anthropic/claude-of-tomorrow", 200),
            ("openai/gpt-4o", 404),
            ("mini", 200),
        ):
            card = await started.client.get(f"{started.url}/v1/models/{name}", headers=bearer(key))
            assert card.status_code == status, name
            assert status != 200 or card.json()["id"] == name
        infos = await started.client.get(f"{started.url}/model/info", headers=bearer(key))
        assert {each["model_name"] for each in infos.json()["data"]} == {"anthropic/*", "openai/*"}


FROM_OUTSIDE = """
model_list:
  - model_name: house-4o
    litellm_params: {model: azure/weu-4o-prod}
    model_info: {base_model: azure/gpt-4o}
  - model_name: qwen
    litellm_params: {model: hosted_vllm/Qwen/Qwen3-8B}
  - model_name: llama
    litellm_params: {model: groq/llama-3.3-70b-versatile, api_base: os.environ/CASE_BASE}
  - model_name: claude
    litellm_params: {model: claude-sonnet-4-5-20250929, api_base: os.environ/CASE_BASE, api_key: k1}
litellm_settings:
"""


async def test_what_the_file_leaves_out_comes_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Master key, addresses, keys and versions; a deployment that nothing tells the address of is
    no model.
    """
    provider = Server(body=json.dumps(OPENAI).encode())
    async with provider.serving() as port:
        for name, value in {
            "LITELLM_MASTER_KEY": "sk-1234",
            "AZURE_API_BASE": f"http://127.0.0.1:{port}",
            "AZURE_API_KEY": "az-1",
            "AZURE_API_VERSION": "2024-10-21",
            "CASE_BASE": f"http://127.0.0.1:{port}",
        }.items():
            monkeypatch.setenv(name, value)
        for name in ("GROQ_API_KEY", "HOSTED_VLLM_API_BASE"):
            monkeypatch.delenv(name, raising=False)
        async with gateway(tmp_path, FROM_OUTSIDE) as started:
            key = await started.key()
            assert (await started.chat(key, model="house-4o")).status_code == 200
            seen = provider.seen[-1]
            assert (
                seen.path
                == "/openai/deployments/weu-4o-prod/chat/completions?api-version=2024-10-21"
            )
            assert seen.headers["api-key"] == "az-1"
            # $2.50 and $10 a million
            assert await started.spend(key, at_least=0.00012) == pytest.approx(0.00012)
            reply = await started.chat(key, model="qwen")
            assert (reply.status_code, "qwen" in reply.text) == (404, True)
            assert (await started.chat(key, model="llama")).status_code == 200
            assert "authorization" not in provider.seen[-1].headers
            body = {
                "model": "claude",
                "max_tokens": 20,
                "messages": [{"role": "user", "content": "a"}],
            }
            reply = await started.client.post(
                f"{started.url}/v1/messages", json=body, headers=bearer(key)
            )
            assert reply.status_code == 200
            assert provider.seen[-1].headers["x-api-key"] == "k1"
