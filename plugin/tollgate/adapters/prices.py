"""Prices: genai-prices' table, flattened to integers for the models that the file lists; a price file and the file's own prices win.

Only listed models are looked up, so names that clients invent neither cost a look-up nor memory. Admission and metering read a
plain dictionary, which is made anew off the event loop: at each full minute, because some prices have a date or a time of day.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from tollgate import telemetry
from tollgate.core.catalog import Catalog
from tollgate.core.costs import CostName, Costs, OwnPrice, costs_of
from tollgate.core.entities import Deployment
from tollgate.core.errors import SettingsError
from tollgate.core.pricing import FEMTO_PER_DOLLAR, Price, Rates

# LiteLLM's provider names where genai-prices has others; the rest are the same in both.
_PROVIDERS = {
    "azure_ai": "azure",
    "azure_text": "azure",
    "bedrock": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "moonshot": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
}
# genai-prices' units: its name, ours, and how many a price is for. The first that has a price counts.
_UNITS = (
    ("input_mtok", "input", 10**6),
    ("output_mtok", "output", 10**6),
    ("cache_read_mtok", "cache_read", 10**6),
    ("cache_write_5m_mtok", "cache_write_5m", 10**6),
    ("cache_write_mtok", "cache_write_5m", 10**6),
    ("cache_write_1h_mtok", "cache_write_1h", 10**6),
    ("input_audio_mtok", "input_audio", 10**6),
    ("input_image_mtok", "input_image", 10**6),
    ("output_audio_mtok", "output_audio", 10**6),
    ("output_image_mtok", "output_image", 10**6),
    ("output_reasoning_mtok", "reasoning", 10**6),
    ("web_searches_kcount", "search", 10**3),
    ("rerank_searches_kcount", "search", 10**3),
    ("input_audio_hours", "audio_second", 3600),
    ("audio_hours", "audio_second", 3600),
    ("input_mchars", "character", 10**6),
    ("requests_kcount", "request", 10**3),
)
_MAIN = ("input", "output", "audio_second", "character", "search")
_CONTEXTS = (
    *((name, {"service_tier": name}) for name in ("flex", "priority", "fast")),
    ("fast", {"speed": "fast"}),
    ("batch", {"processing": "batch"}),
)
_GROQ_LEAST_SECONDS = 10  # https://groq.com/pricing: sound is billed for ten seconds at least

Row = dict[str, int]
"""Femto-dollars by kind of unit. What is not there costs what the kind that includes it does."""
Rows = dict[tuple[str, int], Row]
"""Rows by service tier and the input above which they hold."""


class PriceBook:
    """The prices of some deployments: the file's own, over those of a price file, over the table's."""

    def __init__(
        self, deployments: Iterable[Deployment], own: Mapping[str, OwnPrice], file: Path | None = None
    ) -> None:
        """Raises SettingsError when the price file cannot be used."""
        self._deployments = tuple(deployments)
        self._own = own
        self._file = file
        self._read_ns = 0
        self._overlay: Mapping[str, Costs] = {}
        self._read()

    def at(self, now: datetime) -> dict[str, Price]:
        """Prices by deployment id, for those that have one. A price file that has become unusable stays what it was."""
        try:
            self._read()
        except SettingsError as error:
            telemetry.prices_not_read(error)
        return price_table(self._deployments, self._own, now, self._overlay)

    def _read(self) -> None:
        """Read the price file if it has changed."""
        if self._file is None:
            return
        try:
            changed_ns = self._file.stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._read_ns = changed_ns
                self._overlay = _overlay(self._file, self._deployments, self._own)
        except OSError as error:
            raise SettingsError(f"cannot read the price file {self._file}: {error.strerror}") from error


async def keep_current(catalog: Catalog, book: PriceBook) -> None:
    """Bring the catalog's prices up to date at each full minute, for ever."""
    while True:
        now = datetime.now(UTC)
        await asyncio.sleep(60 - now.second - now.microsecond / 1e6)
        catalog.reprice(await asyncio.to_thread(book.at, datetime.now(UTC)))


def price_of_file(input_cost: Decimal, output_cost: Decimal, source: str) -> Price:
    """A price of so many dollars a token. Cached tokens cost what others do: the file says nothing of them."""
    costs = {CostName("input"): input_cost, CostName("output"): output_cost}
    return _price(source, _with_costs({}, costs))


def price_table(
    deployments: Iterable[Deployment],
    own: Mapping[str, OwnPrice],
    now: datetime | None = None,
    overlay: Mapping[str, Costs] | None = None,
) -> dict[str, Price]:
    """Prices by deployment id, for those that have one. `own`, `overlay`: what the settings and the price file say, by deployment id."""
    snapshot, now = get_snapshot(), now or datetime.now(UTC)
    nothing = OwnPrice()
    table = {}
    for deployment in deployments:
        mine = own.get(deployment.id, nothing)
        source, rows = _listed(snapshot, deployment, mine.base_model, now)
        for name, costs in (("price_file", (overlay or {}).get(deployment.id, {})), ("file", mine.costs)):
            if costs:
                whole = CostName("input") in costs and CostName("output") in costs
                source, rows = (name, {}) if whole or not rows else (f"{name} over {source}", rows)
                rows = _with_costs(rows, costs)
        if rows:
            table[deployment.id] = _price(source, rows)
    return table


def _overlay(file: Path, deployments: Iterable[Deployment], own: Mapping[str, OwnPrice]) -> dict[str, Costs]:
    """What a price file in the form of LiteLLM's model_prices_and_context_window.json says of these deployments."""
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except ValueError as error:
        raise SettingsError(f"the price file {file} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"the price file {file} must hold an object, from names of models to their prices")
    overlay: dict[str, Costs] = {}
    for deployment in deployments:
        base_model = own.get(deployment.id, OwnPrice()).base_model
        for name in (base_model, f"{deployment.provider}/{deployment.model}", deployment.model):
            entry = document.get(name) if name is not None else None
            if not isinstance(entry, dict) or (
                name == deployment.model and entry.get("litellm_provider", deployment.provider) != deployment.provider
            ):
                continue
            try:
                overlay[deployment.id] = costs_of(entry)
            except ValueError as error:
                raise SettingsError(f"the price file {file}: {name}: {error}") from error
            break
    return overlay


def _listed(snapshot: DataSnapshot, deployment: Deployment, base_model: str | None, now: datetime) -> tuple[str, Rows]:
    """The table's rows; none when it lacks the model, or prices it by units that no reply tells (pages, pixels)."""
    provider, model_name = deployment.provider, deployment.model
    if base_model is not None:
        prefix, slash, rest = base_model.partition("/")
        model_name = rest if slash and prefix == provider else base_model
    try:
        found, model = snapshot.find_provider_model(model_name, None, _PROVIDERS.get(provider, provider), None)
    except LookupError:
        return "", {}
    standard = _tiers(model.get_prices(now))
    if not any(kind in row for row in standard.values() for kind in _MAIN):
        return "", {}
    rows: Rows = {("", start): row for start, row in standard.items()}
    for service_tier, context in _contexts(model):
        tiers = _tiers(model.get_prices(now, context))
        if tiers != standard:
            rows |= {(service_tier, start): row for start, row in tiers.items()}
    if found.id == "groq":
        for row in rows.values():
            if "audio_second" in row:
                row["least_audio_seconds"] = _GROQ_LEAST_SECONDS
    return f"{found.id}/{model.id}", rows


def _contexts(model: ModelInfo) -> list[tuple[str, dict[str, str]]]:
    """The service tiers that the model has variants for, and how the table is asked for each."""
    whens = [variant.when for variant in model.price_variants or ()]
    return [(name, context) for name, context in _CONTEXTS if context in whens]


def _tiers(prices: ModelPrice) -> dict[int, Row]:
    """Rows by the input above which they hold."""
    tiered = [price for price in vars(prices).values() if isinstance(price, TieredPrices)]
    starts = sorted({0, *(tier.start for price in tiered for tier in price.tiers)})
    rows: dict[int, Row] = {}
    for start in starts:
        row: Row = {}
        for unit, kind, per in _UNITS:
            price = getattr(prices, unit, None)
            if isinstance(price, TieredPrices):
                price = next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)
            if price is not None:
                row.setdefault(kind, _femto(price / per))
        rows[start] = row
    return rows


def _with_costs(rows: Rows, costs: Costs) -> Rows:
    """The rows with these prices in them. One without tier and service tier holds in all rows; others in theirs, and in higher tiers."""
    rows = {place: dict(row) for place, row in rows.items()} or {("", 0): {}}
    for name, dollars in sorted(costs.items(), key=_general_first):
        _open(rows, name.service_tier, name.above_input_tokens)
        everywhere = not name.service_tier and not name.above_input_tokens
        for (service_tier, above), row in rows.items():
            if everywhere or (service_tier == name.service_tier and above >= name.above_input_tokens):
                row[name.kind] = _femto(dollars)
                if everywhere and name.kind == "input":
                    for kind in ("cache_read", "cache_write_5m", "cache_write_1h"):
                        row.pop(kind, None)  # the table's discount was on another price
    return rows


def _general_first(item: tuple[CostName, Decimal]) -> tuple[str, int, bool]:
    name = item[0]
    return name.service_tier, name.above_input_tokens, name.kind != "input"


def _open(rows: Rows, service_tier: str, above: int) -> None:
    """Make a row where there is none, from what held there until now."""
    if all(each != service_tier for each, _ in rows):
        rows |= {(service_tier, start): dict(row) for (each, start), row in rows.items() if not each}
    if (service_tier, above) not in rows:
        below = max(start for each, start in rows if each == service_tier and start < above)
        rows[service_tier, above] = dict(rows[service_tier, below])


def _price(source: str, rows: Rows) -> Price:
    tiers: dict[str, tuple[Rates, ...]] = {}
    for service_tier, above in sorted(rows):
        tiers[service_tier] = (*tiers.get(service_tier, ()), _rates(rows[service_tier, above], above))
    return Price(source, tiers.pop(""), tiers)


def _rates(row: Row, above: int) -> Rates:
    into = row.get("input", 0)
    write = row.get("cache_write_5m", into)
    filled = {"input": into, "output": 0, "cache_read": into, "cache_write_5m": write, "cache_write_1h": write} | row
    return Rates(**filled, above_input_tokens=above)


def _femto(dollars: Decimal) -> int:
    return round(dollars * FEMTO_PER_DOLLAR)
