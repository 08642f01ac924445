"""Look models up in the built-in price table (genai-prices), flattened to integers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from tollgate.adapters.prices.layers import Layers, Row, Rows, femto
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.model_names import parse_model_name, undated

TABLE = "genai-prices 0.2.3"
TABLE_DATE = "2026-10-19"
"""The latest day that a row of this version names."""

# LiteLLM's provider names that differ from genai-prices' names.
_PROVIDERS = {
    "azure_ai": "azure",
    "azure_text": "azure",
    "bedrock": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "moonshot": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}
# Resellers that charge the vendor's price: https://vercel.com/docs/ai-gateway/pricing
_AT_VENDORS_PRICE = frozenset({"vercel_ai_gateway"})
# The vendor of a model by its prefix, since a deployment's base_model need not name it.
_VENDORS = (
    (
        "openai",
        ("gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-", "whisper-", "tts-", "codex-"),
    ),
    ("anthropic", ("claude-",)),
    ("google", ("gemini-", "gemma-")),
    (
        "mistral",
        ("mistral-", "ministral-", "codestral-", "magistral-", "devstral-", "voxtral-", "pixtral-"),
    ),
    ("deepseek", ("deepseek-",)),
    ("x-ai", ("grok-",)),
    ("cohere", ("command-",)),
    ("moonshotai", ("kimi-", "moonshot-")),
)
# genai-prices' units: its name, ours, and how many units a price is for. The first with a price
# counts.
_UNITS = (
    ("input_mtok", "input", 10**6),
    ("output_mtok", "output", 10**6),
    ("cache_read_mtok", "cache_read", 10**6),
    ("cache_write_5m_mtok", "cache_write_5m", 10**6),
    ("cache_write_mtok", "cache_write_5m", 10**6),
    ("cache_write_1h_mtok", "cache_write_1h", 10**6),
    ("cache_audio_read_mtok", "cache_read_audio", 10**6),
    ("cache_image_read_mtok", "cache_read_image", 10**6),
    ("input_audio_mtok", "input_audio", 10**6),
    ("input_image_mtok", "input_image", 10**6),
    ("input_video_mtok", "input_video", 10**6),
    ("output_audio_mtok", "output_audio", 10**6),
    ("output_image_mtok", "output_image", 10**6),
    ("output_video_mtok", "output_video", 10**6),
    ("output_reasoning_mtok", "reasoning", 10**6),
    ("output_citation_mtok", "citation", 10**6),
    ("web_searches_kcount", "search", 10**3),
    ("rerank_searches_kcount", "search", 10**3),
    ("storage_searches_kcount", "file_search", 10**3),
    ("input_audio_hours", "audio_second", 3600),
    ("audio_hours", "audio_second", 3600),
    ("input_mchars", "character", 10**6),
    ("requests_kcount", "request", 10**3),
    ("input_document_kpages", "page", 10**3),
)
_MAIN = ("input", "output", "audio_second", "character", "search", "page")
_CONTEXTS = (
    *((name, {"service_tier": name}) for name in ("flex", "priority", "fast")),
    ("fast", {"speed": "fast"}),
    ("batch", {"processing": "batch"}),
)


def listed(provider: str, model: str, now: datetime) -> Layers:
    """Return the table's price of a model.

    Empty if the table lacks the model, or prices it in units that no reply reports.
    """
    name, rows = _listed(provider, model, now)
    if not rows:
        return Layers()
    return Layers(name, f"{TABLE}, {TABLE_DATE}", {key: dict(row) for key, row in rows.items()})


@lru_cache(maxsize=1024)
def _listed(provider: str, model: str, now: datetime) -> tuple[str, Rows]:
    """Return the model's name in the table and its rows.

    Found once for all deployments that are priced together.
    """
    snapshot = get_snapshot()
    for table_provider, name in _candidates(provider, model):
        try:
            found, info = snapshot.find_provider_model(name, None, table_provider, None)
        except LookupError:
            continue
        rows = _rows(info, now)
        if rows:
            return f"{found.id}/{info.id}", rows
    return "", {}


def _candidates(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Yield the providers and names under which the table may list a model, most likely first."""
    own = _PROVIDERS.get(provider, provider)
    yield own, model
    name = parse_model_name(model)
    last = model.rpartition("/")[2]
    spellings = list(dict.fromkeys((last, last.lower(), name.bare, undated(name.bare))))
    if provider == "openrouter" and "/" in model:
        vendor = model.partition("/")[0]
        spellings = [f"{vendor}/{each}" for each in spellings]
    if provider.startswith("azure"):
        # Azure's names contain no dot: gpt-35-turbo.
        spellings += [each.replace("gpt-35", "gpt-3.5") for each in spellings if "gpt-35" in each]
    yield from ((own, each) for each in spellings)
    if provider in _AT_VENDORS_PRICE and "/" in model:
        vendor, _, rest = model.partition("/")
        yield _PROVIDERS.get(vendor, vendor), rest


def known_names(deployment: Deployment) -> tuple[str, ...]:
    """Return the models that the table lists for a deployment's provider, by the
    names it accepts.
    """
    own = _PROVIDERS.get(deployment.provider, deployment.provider)
    # The table's names for these providers are not the names used in calls.
    found = [
        each for each in get_snapshot().providers if each.id == own and own not in ("aws", "azure")
    ]
    return tuple(model.id for each in found for model in each.models)


def named_provider(provider: str, base_model: str, now: datetime) -> tuple[str, str]:
    """Return the provider that a base_model names or implies, and the rest of the name."""
    prefix, slash, rest = base_model.partition("/")
    if slash and prefix in _known_providers(get_snapshot()):
        return prefix, rest
    bare = parse_model_name(base_model).bare
    vendor = next((vendor for vendor, starts in _VENDORS if bare.startswith(starts)), provider)
    found = listed(provider, base_model, now) if vendor != provider else None
    return (provider if found is None or found.rows else vendor), base_model


def _known_providers(snapshot: DataSnapshot) -> frozenset[str]:
    return frozenset({*_PROVIDERS, *(each.id for each in snapshot.providers)})


def _rows(model: ModelInfo, now: datetime) -> Rows:
    standard = _tiers(model.get_prices(now))
    if not any(kind in row for row in standard.values() for kind in _MAIN):
        return {}
    rows: Rows = {("", start): row for start, row in standard.items()}
    for service_tier, context in _contexts(model):
        tiers = _tiers(model.get_prices(now, context))
        rows |= {(service_tier, start): row for start, row in tiers.items()}
    return rows


def _contexts(model: ModelInfo) -> list[tuple[str, dict[str, str]]]:
    """Return the service tiers that the model has variants for, and the query for each."""
    whens = [variant.when for variant in model.price_variants or ()]
    return [(name, context) for name, context in _CONTEXTS if context in whens]


def _tiers(prices: ModelPrice) -> dict[int, Row]:
    """Return rows by the input tokens above which they apply."""
    tiered = [price for price in vars(prices).values() if isinstance(price, TieredPrices)]
    starts = sorted({0, *(tier.start for price in tiered for tier in price.tiers)})
    rows: dict[int, Row] = {}
    for start in starts:
        row: Row = {}
        for unit, kind, per in _UNITS:
            price = getattr(prices, unit, None)
            if isinstance(price, TieredPrices):
                price = next(
                    (tier.price for tier in reversed(price.tiers) if tier.start <= start),
                    price.base,
                )
            if price is not None:
                row.setdefault(kind, femto(price / per))
        rows[start] = row
    return rows
