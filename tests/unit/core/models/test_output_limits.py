"""The most that models can write, by their names."""

from __future__ import annotations

import pytest
from tests.desk import Desk, admission, chat

from tollgate.core.models.deployment import Deployment
from tollgate.core.models.model_names import ModelName, parse_model_name, undated
from tollgate.core.models.output_limits import OutputLimits
from tollgate.shipped_tables import output_limits


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("gpt-4o", ModelName("gpt-4o")),
        ("gpt-4.1-mini", ModelName("gpt-4.1-mini")),
        ("eu/gpt-4o-2024-08-06", ModelName("gpt-4o-2024-08-06", zone="eu")),
        ("global-standard/gpt-4o", ModelName("gpt-4o", zone="global")),
        ("ft:gpt-4o-2024-08-06:org::id", ModelName("gpt-4o-2024-08-06", tuned=True)),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ModelName("claude-sonnet-4-5-20250929", zone="us"),
        ),
        ("anthropic.claude-3-haiku-20240307-v1:0", ModelName("claude-3-haiku-20240307")),
        ("eu.amazon.nova-pro-v1:0", ModelName("nova-pro", zone="eu")),
        ("converse/meta.llama3-1-70b-instruct-v1:0", ModelName("llama3-1-70b-instruct")),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-6-v1",
            ModelName("claude-opus-4-6", zone="us"),
        ),
        ("anthropic/claude-sonnet-4.5:online", ModelName("claude-sonnet-4.5", variant="online")),
        ("claude-sonnet-4-5@20250929", ModelName("claude-sonnet-4-5@20250929")),
        ("llama3.1:8b", ModelName("llama3.1:8b")),
        ("", ModelName("")),
        ("///", ModelName("")),
        (":free", ModelName("", variant="free")),
    ],
)
def test_a_name_is_taken_apart(name: str, parsed: ModelName) -> None:
    """The vendor's own name stands in all of them, beside regions, vendors, versions
    and variants.
    """
    assert parse_model_name(name) == parsed


@pytest.mark.parametrize(
    ("bare", "without"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("mistral-large-2411", "mistral-large"),
        ("chatgpt-4o-latest", "chatgpt-4o"),
        ("gpt-4o", "gpt-4o"),
        ("claude-opus-4-6", "claude-opus-4-6"),
    ],
)
def test_a_version_at_the_end_can_be_left_out(bare: str, without: str) -> None:
    """Dates in all their spellings, numbers and `latest`; not the number of a generation."""
    assert undated(bare) == without


@pytest.mark.parametrize(
    ("provider", "model", "tokens"),
    [
        ("openai", "gpt-4o", 16_384),
        ("openai", "gpt-4o-2024-05-13", 4096),
        ("openai", "gpt-4o-mini-tts", 16_384),
        ("openai", "gpt-4o-transcribe", 2000),
        ("azure", "eu/gpt-4.1-mini", 32_768),
        ("openai", "gpt-5-chat-latest", 16_384),
        ("openai", "gpt-5.1", 128_000),
        ("openai", "ft:gpt-3.5-turbo-0125:org::id", 4096),
        ("openai", "o3-mini", 100_000),
        ("anthropic", "claude-opus-4-20250514", 32_000),
        ("anthropic", "claude-opus-4-6", 128_000),
        ("anthropic", "claude-sonnet-4-5", 64_000),
        ("bedrock", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", 8192),
        ("openrouter", "anthropic/claude-haiku-4.5", 64_000),
        ("gemini", "gemini-2.5-flash", 65_536),
        ("gemini", "gemini-2.5-flash-image", 32_768),
        ("deepseek", "deepseek-chat", 8192),
        ("bedrock", "amazon.nova-lite-v1:0", 10_000),
        ("openai", "local", 131_072),
    ],
)
def test_the_table_knows_the_most_of_common_models(provider: str, model: str, tokens: int) -> None:
    """Whoever serves it, under whichever name; what nobody knows has the ceiling."""
    assert output_limits().most(Deployment("d", "d", provider, model, "http://x")) == tokens


def test_the_file_knows_better_than_the_table() -> None:
    """model_info.max_output_tokens wins, also where it is more."""
    deployment = Deployment("d", "d", "openai", "gpt-4o", "http://x", max_output_tokens=200_000)
    assert output_limits().most(deployment) == 200_000


@pytest.mark.parametrize("limit", [16_385, 10**9, 10**12, 2**63, 10**30])
async def test_no_request_is_held_for_more_than_its_model_can_write(limit: int) -> None:
    """The limit that a body names is the client's wish, not the model's ability."""
    desk = Desk()
    desk.limit_outputs([(("gpt-4o",), 16_384)])
    for members, tokens in (({}, 16_384), ({"n": 2}, 32_768), ({"n": 10**9}, 128 * 16_384)):
        reservation = admission(await desk.ask(chat(max_tokens=limit, **members))).reservation
        assert reservation is not None
        assert reservation.output_tokens == tokens


def test_a_deployment_of_another_name_has_the_most_of_its_base_model() -> None:
    """Azure's deployments are named by their owners."""
    deployment = Deployment("d", "d", "azure", "ours", "http://x", base_model="azure/gpt-4o")
    assert output_limits().most(deployment) == 16_384


def test_a_model_without_a_row_has_the_ceiling() -> None:
    """It is a setting of its own."""
    limits = OutputLimits([(("gpt-*",), 10)], ceiling=77)
    of = {
        name: limits.most(Deployment(name, name, "openai", name, "")) for name in ("gpt-x", "other")
    }
    assert of == {"gpt-x": 10, "other": 77}
