"""Compare prices with those of a file in LiteLLM's form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from msgspec import Struct

from tollgate.adapters.prices.price_file import PriceFile, costs_in_file
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.costs import CostName, OwnPrice
from tollgate.core.money.picture_rates import PictureCosts, PictureRate
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
    file: PriceFile,
) -> Iterator[Difference]:
    """Yield prices that differ by more than 5 %, and models that only one side knows."""
    for each in deployments:
        price = prices.get(each.id)
        named = own.get(each.id)
        costs, pictures = costs_in_file(file, each, None if named is None else named.base_model)
        if price is None or not (costs or pictures):
            if price is not None or costs or pictures:
                known = _dollars(price.tiers[0].input) if price is not None else None
                yield Difference(each.model_name, "input", known, costs.get(CostName("input")))
            continue
        if price.pictures:
            yield from _pictures(each.model_name, price.pictures, pictures)
        for name, theirs in costs.items():
            ours = _rate(price, name)
            if ours is None and not theirs:
                continue
            if _differ(ours, theirs):
                yield Difference(each.model_name, _words(name), ours, theirs)


def _pictures(
    model: str, rates: Iterable[PictureRate], theirs: PictureCosts
) -> Iterator[Difference]:
    """Yield prices of pictures that differ; those that only one side states do."""
    ours = {each.kind: _dollars(each.femtousd) for each in rates}
    for kind in sorted(ours.keys() | theirs.keys(), key=str):
        if _differ(ours.get(kind), theirs.get(kind)):
            yield Difference(model, f"image {kind}".strip(), ours.get(kind), theirs.get(kind))


def _differ(ours: Decimal | None, theirs: Decimal | None) -> bool:
    return ours is None or theirs is None or abs(ours - theirs) > TOLERANCE * max(ours, theirs)


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
