"""Our own tables of prices: corrections, fees, multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tollgate.adapters.prices import PriceBook, price_table
from tollgate.core.calls.usage import Usage
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.billing import bill
from tollgate.core.money.costs import OwnPrice, costs_of
from tollgate.core.money.pricing import Price, Rates
from tollgate.shipped_tables import price_rows

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def price(model: str, own: Mapping[str, Any] | None = None, **fields: Any) -> Price:
    """The price of a model as a file names it: `provider/model`."""
    provider, _, name = model.partition("/")
    deployment = Deployment("d", "d", provider, name, fields.pop("api_base", "http://x"), **fields)
    return price_table([deployment], {"d": OwnPrice(costs_of(own or {}))}, NOVEMBER)["d"]


def charged(model: str, usage: Usage, **fields: Any) -> tuple[int, tuple[str, ...]]:
    """What a call costs, and which of its parts have no price."""
    found = bill(usage, price(model, **fields))
    return found.cost_nanousd, found.unpriced


def test_every_row_has_its_page_and_day() -> None:
    """And says something, in kinds that rates have."""
    kinds = {each.name for each in fields(Rates)}
    for row in price_rows():
        assert row.source.startswith("https://")
        assert datetime.fromisoformat(row.written)
        assert {kind for kind, _ in row.costs} <= kinds
        assert {*row.bounds, *row.as_text} <= kinds
        assert (
            row.costs
            or row.bounds
            or row.tiers
            or row.geographies
            or row.regional
            or row.same_as
            or row.as_text
            or row.pictures
        )


MILLION = Usage(1_000_000)


@pytest.mark.parametrize(
    ("model", "usage", "nanousd"),
    [
        # sound and pictures
        (
            "openai/gpt-4o-audio-preview-2024-12-17",
            Usage(0, 1000, output_audio_tokens=900),
            73_000_000,
        ),
        ("openai/gpt-4o-mini-audio-preview", Usage(1000, input_audio_tokens=1000), 10_000_000),
        (
            "openrouter/google/gemini-2.5-flash-image",
            Usage(0, 1290, output_image_tokens=1290),
            38_700_000,
        ),
        ("openai/gpt-image-1", Usage(0, 1000, output_image_tokens=1000), 40_000_000),
        (
            "gemini/gemini-2.5-flash-preview-tts",
            Usage(0, 1000, output_audio_tokens=1000),
            10_000_000,
        ),
        ("gemini/gemini-2.5-pro", Usage(1000, input_audio_tokens=1000), 1_250_000),
        ("gemini/gemini-2.5-flash", Usage(1000, input_audio_tokens=1000), 1_000_000),
        # searches and other tools
        ("openai/gpt-5", Usage(searches=2, file_searches=2), 25_000_000),
        ("openai/gpt-5", Usage(code_containers=1), 30_000_000),
        ("openai/gpt-4o-search-preview", Usage(), 25_000_000),
        ("openai/gpt-4o-search-preview", Usage(searches=7), 25_000_000),
        ("azure/gpt-5", Usage(searches=1), 14_000_000),
        ("anthropic/claude-opus-4-6", Usage(searches=3), 30_000_000),
        ("vertex_ai/claude-sonnet-4-5@20250929", Usage(searches=3), 30_000_000),
        ("gemini/gemini-2.5-flash", Usage(searches=3), 35_000_000),
        ("vertex_ai/gemini-2.5-pro", Usage(searches=3, map_searches=1), 60_000_000),
        ("gemini/gemini-3.1-pro-preview", Usage(searches=3), 42_000_000),
        ("perplexity/sonar-deep-research", Usage(citation_tokens=1000, searches=2), 12_000_000),
        ("perplexity/sonar-pro", Usage(searches=9, citation_tokens=99), 14_000_000),
        ("xai/grok-4", Usage(sources=4), 100_000_000),
        ("xai/grok-4", Usage(searches=4), 20_000_000),
        ("mistral/mistral-large-latest", Usage(searches=1), 30_000_000),
        ("groq/openai/gpt-oss-120b", Usage(searches=1), 5_000_000),
        ("cohere/rerank-v3.5", Usage(searches=1), 2_000_000),
        ("mistral/mistral-ocr-latest", Usage(pages=2), 8_000_000),
        # tiers and places
        ("vertex_ai/gemini-2.5-flash", Usage(1000, 100, service_tier="ON_DEMAND_FLEX"), 275_000),
        ("gemini/gemini-2.5-flash", Usage(1000, 100, service_tier="priority"), 990_000),
        ("anthropic/claude-opus-4-6", Usage(1000, 1000, service_tier="fast"), 180_000_000),
        ("anthropic/claude-opus-4-8", Usage(1000, service_tier="fast"), 10_000_000),
        ("anthropic/claude-opus-4-6", Usage(100_000, 1000, geography="us"), 577_500_000),
        ("anthropic/claude-opus-4-5", Usage(100_000, 1000, geography="us"), 525_000_000),
        ("groq/openai/gpt-oss-120b", Usage(1_000_000, service_tier="flex"), 150_000_000),
        ("bedrock/amazon.nova-lite-v1:0", Usage(1_000_000, service_tier="flex"), 30_000_000),
        # stale rows of the built-in table
        ("deepseek/deepseek-chat", Usage(1_000_000, 1_000_000), 700_000_000),
        ("mistral/mistral-large-latest", Usage(1_000_000, 1_000_000), 2_000_000_000),
        ("xai/grok-code-fast-1", Usage(1_000, 1_000), 3_000_000),
        # fine-tuned, and OpenRouter's free ones
        ("openai/ft:gpt-4o-2024-08-06:org::id", MILLION, 3_750_000_000),
        ("openai/ft:gpt-4.1-mini-2025-04-14:org::id", MILLION, 800_000_000),
        ("openrouter/deepseek/deepseek-chat:free", MILLION, 0),
        ("groq/whisper-large-v3", Usage(audio_seconds=1), 308_333),
    ],
)
def test_what_is_told_is_charged_at_its_price(model: str, usage: Usage, nanousd: int) -> None:
    """By the providers' pages, and nothing is left without a price."""
    assert charged(model, usage) == (nanousd, ())


@pytest.mark.parametrize(
    ("model", "fields", "nanousd"),
    [
        ("vertex_ai/claude-sonnet-4-5@20250929", {"vertex_location": "us-east5"}, 3_300_000),
        ("vertex_ai/claude-sonnet-4-5@20250929", {"vertex_location": "global"}, 3_000_000),
        ("vertex_ai/claude-sonnet-4-5@20250929", {}, 3_000_000),
        ("vertex_ai/claude-3-7-sonnet@20250219", {"vertex_location": "us-east5"}, 3_000_000),
        ("vertex_ai/gemini-2.5-flash", {"vertex_location": "us-central1"}, 300_000),
        ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", {}, 3_300_000),
        ("bedrock/global.anthropic.claude-sonnet-4-5-20250929-v1:0", {}, 3_000_000),
        ("azure/eu/gpt-4o-2024-08-06", {}, 2_750_000),
        ("azure/us/gpt-4o-2024-08-06", {}, 2_750_000),
        ("azure/global/gpt-4o-2024-08-06", {}, 2_500_000),
        ("azure/gpt-4o-2024-08-06", {}, 2_500_000),
        ("openai/gpt-5.4", {"api_base": "https://eu.api.openai.com/v1"}, 2_750_000),
        ("openai/gpt-5.4", {"api_base": "https://api.openai.com/v1"}, 2_500_000),
        ("openai/gpt-4o", {"api_base": "https://eu.api.openai.com/v1"}, 2_500_000),
    ],
)
def test_a_region_may_cost_more(model: str, fields: dict[str, Any], nanousd: int) -> None:
    """Where the provider asks more at endpoints that are bound to one."""
    assert charged(model, Usage(1000), **fields) == (nanousd, ())


def test_a_fine_tuned_model_without_a_row_is_marked() -> None:
    """It costs something else than its base model does."""
    assert charged("openai/ft:gpt-5:org::id", Usage(1000)) == (1_250_000, ("fine_tuned",))


def test_a_correction_keeps_the_discounts_of_service_tiers() -> None:
    """Half of the corrected price, as it was half of the listed one."""
    found = price("gemini/gemini-3-pro-image-preview")
    assert found.service_tiers["batch"][0].output_image == 60_000_000_000


def test_a_price_of_the_file_s_own_is_not_multiplied() -> None:
    """It says what a call costs there; and nothing of the tables is left of it."""
    own = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    found = price("vertex_ai/claude-sonnet-4-5", own, vertex_location="us-east5")
    assert (found.source, found.as_of, found.tiers[0].input) == ("file", "", 10**9)
    assert (found.geographies, found.tiers[0].search) == ({}, None)


def test_prices_say_where_they_are_from_and_how_old_they_are() -> None:
    """The table and its version; of a corrected price our page and day."""
    listed, corrected = price("openai/gpt-4o"), price("deepseek/deepseek-chat")
    assert listed.as_of == "genai-prices 0.2.3, 2026-10-19"
    assert (
        corrected.source
        == "deepseek/deepseek-chat, https://api-docs.deepseek.com/quick_start/pricing"
    )
    assert corrected.as_of == "2026-11-27"


def test_another_model_of_the_same_provider_is_found_by_name() -> None:
    """A pass of an advisor; of names that nobody knows, only so many are kept."""
    haiku = Deployment("d", "d", "anthropic", "claude-haiku-4-5", "http://x")
    book = PriceBook([haiku], {})
    found = book.find_price(haiku, "claude-opus-4-6")
    assert found is not None
    assert found.tiers[0].input == 5 * 10**9
    assert book.find_price(haiku, "claude-opus-4-6") is found
    assert [book.find_price(haiku, f"nobody-{number}") for number in range(2000)] == [None] * 2000
    assert len(book._others) < 2000


NAMES = [
    line.split(" ", 1)
    for line in Path(__file__).with_name("model_names.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize(("name", "told"), NAMES, ids=[name for name, _ in NAMES])
def test_names_are_found_as_people_write_them(name: str, told: str) -> None:
    """With dates, regions, vendors, tunings, variants; some are priced by the picture; nobody
    has a price for the last few.
    """
    provider, _, model = name.partition("/")
    found = price_table([Deployment("d", "d", provider, model, "http://x")], {}, NOVEMBER).get("d")
    if told == "none":
        assert found is None
        return
    assert found is not None
    if told == "picture":
        assert found.by_picture
        return
    rates = found.tiers[0]
    into, out, *rest = told.split()
    assert (Decimal(rates.input), Decimal(rates.output)) == (
        Decimal(into) * 10**9,
        Decimal(out) * 10**9,
    )
    said = dict(each.split("=") for each in rest)
    assert rates.character == Decimal(said.get("character", 0)) * 10**9
    assert abs((rates.audio_second or 0) - Decimal(said.get("second", 0)) * 10**15) < 10**8
    assert "+".join(found.unpriced) == said.get("unpriced", "")


@pytest.mark.parametrize(
    ("provider", "base_model", "source"),
    [
        ("azure", "azure/gpt-4o", "azure/gpt-4o"),
        ("azure", "gpt-4o", "azure/gpt-4o"),
        ("azure", "openai/gpt-4o", "openai/gpt-4o"),
        ("openai", "azure/gpt-4o", "azure/gpt-4o"),
        ("hosted_vllm", "anthropic/claude-opus-4-6", "anthropic/claude-opus-4-6"),
        ("litellm_proxy", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("litellm_proxy", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        (
            "bedrock",
            "anthropic.claude-3-haiku-20240307-v1:0",
            "aws/regional.anthropic.claude-3-haiku-20240307-v1:0",
        ),
        ("openrouter", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
    ],
)
def test_a_base_model_may_name_any_provider_or_none(
    provider: str, base_model: str, source: str
) -> None:
    """Whoever its name begins with is asked."""
    deployment = Deployment("d", "d", provider, "our-own-name", "http://x")
    found = price_table([deployment], {"d": OwnPrice(base_model=base_model)}, NOVEMBER)["d"]
    assert found.source.split(", ")[0] == source
