"""Prices: genai-prices' table, flattened at start to integers for the models that the file lists; the file's own prices win.

Only listed models are looked up, so names that clients invent neither cost a look-up nor memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from tollgate.core.entities import Deployment
from tollgate.core.pricing import FEMTO_PER_DOLLAR, Price, Rates

# LiteLLM's provider names where genai-prices has others; the rest are the same in both.
_PROVIDERS = {
    "azure_ai": "azure",
    "bedrock": "aws",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "together_ai": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
}
_FEMTO_PER_DOLLAR_PER_MILLION = FEMTO_PER_DOLLAR // 10**6


def price_of_file(input_cost: Decimal, output_cost: Decimal, source: str) -> Price:
    """A price of so many dollars a token. Cached tokens cost what others do: the file says nothing of them."""
    into, out = int(input_cost * FEMTO_PER_DOLLAR), int(output_cost * FEMTO_PER_DOLLAR)
    return Price(source, (Rates(into, out, into, into, into),))


def price_table(
    deployments: Iterable[Deployment],
    own: Mapping[str, tuple[Decimal | None, Decimal | None]],
    now: datetime | None = None,
) -> dict[str, Price]:
    """Prices by deployment id, for those that have one. `own`: dollars a token for input and output, where the file gives them."""
    snapshot, now = get_snapshot(), now or datetime.now(UTC)
    table = {}
    for deployment in deployments:
        price = _listed(snapshot, deployment, now)
        input_cost, output_cost = own.get(deployment.id, (None, None))
        if input_cost is not None and output_cost is not None:
            price = price_of_file(input_cost, output_cost, "file")
        elif price is not None and (input_cost is not None or output_cost is not None):
            price = _overridden(price, input_cost, output_cost)
        elif input_cost is not None or output_cost is not None:
            price = price_of_file(input_cost or Decimal(0), output_cost or Decimal(0), "file")
        if price is not None:
            table[deployment.id] = price
    return table


def _listed(snapshot: DataSnapshot, deployment: Deployment, now: datetime) -> Price | None:
    provider = _PROVIDERS.get(deployment.provider, deployment.provider)
    try:
        found, model = snapshot.find_provider_model(deployment.model, None, provider, None)
    except LookupError:
        return None
    prices = model.get_prices(now)
    starts = sorted(
        {0, *(tier.start for price in vars(prices).values() if isinstance(price, TieredPrices) for tier in price.tiers)}
    )
    return Price(f"{found.id}/{model.id}", tuple(_rates(prices, start) for start in starts))


def _rates(prices: ModelPrice, start: int) -> Rates:
    into = _femto(prices, "input_mtok", start) or 0
    write = _femto(prices, "cache_write_mtok", start)
    write_1h = _femto(prices, "cache_write_1h_mtok", start)
    read = _femto(prices, "cache_read_mtok", start)
    write = into if write is None else write
    return Rates(
        input=into,
        output=_femto(prices, "output_mtok", start) or 0,
        cache_read=into if read is None else read,
        cache_write_5m=write,
        cache_write_1h=write if write_1h is None else write_1h,
        above_input_tokens=start,
    )


def _femto(prices: ModelPrice, unit: str, start: int) -> int | None:
    """Femto-dollars a token in the tier that begins above `start` input tokens; None when the table has no such price."""
    price = getattr(prices, unit, None)
    if isinstance(price, TieredPrices):
        price = next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)
    return None if price is None else int(price * _FEMTO_PER_DOLLAR_PER_MILLION)


def _overridden(price: Price, input_cost: Decimal | None, output_cost: Decimal | None) -> Price:
    rates = price.tiers[0]
    if input_cost is not None:
        into = int(input_cost * FEMTO_PER_DOLLAR)
        rates = replace(rates, input=into, cache_read=into, cache_write_5m=into, cache_write_1h=into)
    if output_cost is not None:
        rates = replace(rates, output=int(output_cost * FEMTO_PER_DOLLAR))
    return Price(f"file over {price.source}", (rates,))
