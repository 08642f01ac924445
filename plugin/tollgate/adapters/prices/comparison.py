"""Compare prices with those of a file in LiteLLM's form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from tollgate.adapters.prices.book import costs_in_file
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.costs import CostName, OwnPrice
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Price

TOLERANCE = Decimal("0.05")


class Difference(Struct, frozen=True):
    """A differing price of one model and kind, in dollars per unit; None if one side has none."""

    model: str
    kind: str
    ours: Decimal | None
    theirs: Decimal | None


def differences(
    deployments: Iterable[Deployment],
    prices: Mapping[str, Price],
    own: Mapping[str, OwnPrice],
    document: Mapping[str, Any],
) -> Iterator[Difference]:
    """Yield prices that differ by more than 5 %, and models that only one side knows."""
    for each in deployments:
        price = prices.get(each.id)
        named = own.get(each.id)
        costs = costs_in_file(document, each, None if named is None else named.base_model)
        if price is None or not costs:
            if price is not None or costs:
                known = _dollars(price.tiers[0].input) if price is not None else None
                yield Difference(each.model_name, "input", known, costs.get(CostName("input")))
            continue
        for name, theirs in costs.items():
            ours = _rate(price, name)
            if ours is None and not theirs:
                continue
            if ours is None or abs(ours - theirs) > TOLERANCE * max(ours, theirs):
                yield Difference(each.model_name, _words(name), ours, theirs)


def _rate(price: Price, name: CostName) -> Decimal | None:
    tiers = price.service_tiers.get(name.service_tier) if name.service_tier else price.tiers
    if tiers is None:
        return None
    rates = next(
        each for each in reversed(tiers) if each.above_input_tokens <= name.above_input_tokens
    )
    femtousd: int | None = getattr(rates, name.kind)
    if femtousd is None:
        return None
    return _dollars(femtousd)


def _dollars(femtousd: int) -> Decimal:
    return Decimal(femtousd) / FEMTO_PER_DOLLAR


def _words(name: CostName) -> str:
    above = f" above {name.above_input_tokens}" if name.above_input_tokens else ""
    return f"{name.kind}{above}{' ' + name.service_tier if name.service_tier else ''}"
