"""Models whose names are free text: Envoy takes every header that is built from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.gateway import gateway

NAMES = (
    "claude-sonnet-4-5@20250929",
    "gpt-4o (eu)",
    "gpt 4o",
    "claude-opus-4-8[1m]",
    "模型",
    " two\nlines%20",
)


def config() -> str:
    """A file with a model of each name."""
    models = [
        {
            "model_name": name,
            "litellm_params": {
                "model": "openai/gpt-4o",
                "api_base": "http://mock-llm/v1",
                "api_key": "k",
            },
        }
        for name in NAMES
    ]
    return json.dumps({"model_list": models, "general_settings": {"master_key": "sk-1234"}})


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_models_of_any_name_are_served(tmp_path: Path, mode: str) -> None:
    """The name of a header has a hyphen for what it may not hold."""
    async with gateway(tmp_path, config(), "--mode", mode) as running:
        key = await running.key(rpm_limit=100, tpm_limit=1_000_000)
        for name in NAMES:
            reply = await running.chat(key, model=name, max_tokens=9)
            assert reply.status_code == 200, (name, reply.text)
            told = {
                header
                for header in reply.headers
                if header.startswith("x-litellm-key-remaining-requests-")
            }
            assert len(told) == 1, (name, told)
