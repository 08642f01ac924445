"""Read prices from a configuration file: LiteLLM's names, in dollars per unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from tollgate.core.money.picture_rates import PictureCosts, PictureKind

# https://docs.litellm.ai/docs/proxy/custom_pricing, and the names in its
# model_prices_and_context_window.json. Values are fields of core.money.pricing.Rates.
_KINDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_video_token": "input_video",
    "output_cost_per_video_token": "output_video",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "cache_read_input_image_token_cost": "cache_read_image",
    "citation_cost_per_token": "citation",
    "input_cost_per_query": "search",
    "google_maps_grounding_cost_per_query": "map_search",
    "code_interpreter_cost_per_session": "code_container",
    "ocr_cost_per_page": "page",
    "input_cost_per_request": "request",
    "input_cost_per_second": "audio_second",
    "input_cost_per_character": "character",
}
_SERVICE_TIERS = {"flex": "flex", "priority": "priority", "fast": "fast", "batches": "batch"}
_NAME = re.compile(
    rf"(?P<kind>{'|'.join(sorted(_KINDS, key=len, reverse=True))})"
    rf"(?:_above_(?P<above>\d{{1,6}})k_tokens)?(?:_(?P<service_tier>{'|'.join(_SERVICE_TIERS)}))?"
)

_PRICE = re.compile(r"(^|_)cost(_per|$)|^(tiered_)?pricing$|_uplift_multiplier")


@dataclass(frozen=True, slots=True)
class CostName:
    """What a price applies to: a kind of unit, a service tier (empty: standard), and the input
    tokens above which it applies.
    """

    kind: str
    service_tier: str = ""
    above_input_tokens: int = 0


Costs = Mapping[CostName, Decimal]
"""Dollars per unit."""


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A deployment's price as the configuration states it.

    `base_model`: the name under which the price table lists the model, if different.
    """

    costs: Costs = field(default_factory=dict)
    base_model: str | None = None
    pictures: PictureCosts = field(default_factory=dict)


def find_cost_name(name: str) -> CostName | None:
    """Return the price that a LiteLLM name stands for; None if it is no price that is served."""
    if name in (_SEARCH, _FILE_SEARCH):
        return CostName("search" if name == _SEARCH else "file_search")
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return CostName(
        _KINDS[match["kind"]],
        _SERVICE_TIERS.get(match["service_tier"] or "", ""),
        int(match["above"] or 0) * 1000,
    )


def is_price(name: str) -> bool:
    """Return whether a field of LiteLLM's files is a price, be it served or not."""
    return _PRICE.search(name) is not None


# An object with three sizes of search context. https://docs.litellm.ai/docs/completion/web_search
_SEARCH = "search_context_cost_per_query"
_SEARCH_SIZE = "search_context_size_medium"
_FILE_SEARCH = "file_search_cost_per_1k_calls"
WRONG_COST = "must be dollars, zero or more"
"""What is said of a value that is no price."""


# `input_cost_per_image` and `input_cost_per_pixel` are of the picture that is drawn, where a model
# draws: default_image_cost_calculator in LiteLLM's cost_calculator.py.
_PICTURE = re.compile(
    r"(?:in|out)put_cost_per_(?:image|pixel)"
    r"|output_cost_per_image_(?P<label>[0-9.]+K)"
    r"|output_cost_per_image(?:_above_(?P<width>\d+)_and_(?P<height>\d+)_pixels)?"
    r"(?:_(?:and_)?(?P<premium>premium)_image)?"
)
_OUTPUT_PICTURE = "output_cost_per_image"
_DRAWS = frozenset({"image_generation", "image_edit"})
_READS = ("input_cost_per_token", "output_cost_per_token")


def picture_costs_of(fields: Mapping[str, object], mode: str | None = None) -> PictureCosts:
    """Return the prices of drawn pictures among these fields; null means "no price".

    `mode`: what the model is for, in LiteLLM's terms; None: what the fields say.

    Raises ValueError naming the field.
    """
    found = _picture_costs(fields, mode)
    by_picture = any(dollars and not kind.by_pixel for kind, dollars in found.values())
    costs: dict[PictureKind, Decimal] = {}
    for kind, dollars in found.values():
        if not (by_picture and kind.by_pixel):
            costs[kind] = costs.get(kind, Decimal(0)) + dollars
    return costs


def is_served_price(name: str, fields: Mapping[str, object]) -> bool:
    """Return whether a field is a price that is charged, or one of no picture; `fields`: all."""
    return find_cost_name(name) is not None or (
        _PICTURE.fullmatch(name) is not None and (not fields.get(name) or _applies(name, fields))
    )


def name_instead_of_zero(fields: Mapping[str, object]) -> str | None:
    """Return the price that calls are paid by where all others are zero and it is not served.

    Public files state zero for tokens beside the price of a second of video. Calls would be free.
    """
    costs = costs_of(fields)
    if not costs or any(costs.values()) or any(picture_costs_of(fields).values()):
        return None
    return next(
        (
            name
            for name, value in fields.items()
            if value and is_price(name) and not is_served_price(name, fields)
        ),
        None,
    )


def _picture_costs(
    fields: Mapping[str, object], mode: str | None
) -> dict[str, tuple[PictureKind, Decimal]]:
    """Return the prices of drawn pictures by their names."""
    found: dict[str, tuple[PictureKind, Decimal]] = {}
    for name, value in fields.items():
        match = _PICTURE.fullmatch(name)
        if match is None or value is None:
            continue
        dollars = _dollars(name, value)
        # Public files state zero where a price by another unit holds.
        beside = name.endswith("pixel") or (name.startswith("in") and _OUTPUT_PICTURE in fields)
        if (dollars or not beside) and _applies(name, fields, mode):
            found[name] = _kind(name, match), dollars
    return found


def _applies(name: str, fields: Mapping[str, object], mode: str | None = None) -> bool:
    """Return whether a price is of the picture that a model draws.

    Models that only read pictures have `input_cost_per_image` as well.
    """
    if not name.startswith("input"):
        return True
    if name.endswith("image") and fields.get(_OUTPUT_PICTURE):
        return False
    mode = mode or _text(fields.get("mode"))
    return mode in _DRAWS if mode else not any(fields.get(each) for each in _READS)


def _kind(name: str, match: re.Match[str]) -> PictureKind:
    if name.endswith("pixel"):
        return PictureKind(by_pixel=True)
    width, height = int(match["width"] or 0), int(match["height"] or 0)
    return PictureKind(match["premium"] or "", (match["label"] or "").lower(), width * height)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def costs_of(fields: Mapping[str, object]) -> dict[CostName, Decimal]:
    """Return the prices among these fields; null means "no price".

    Raises ValueError naming the field.
    """
    costs: dict[CostName, Decimal] = {}
    for name, value in fields.items():
        cost_name, value = find_cost_name(name), _cost_value(name, value)
        if cost_name is None or value is None:
            continue
        dollars = _dollars(name, value)
        costs[cost_name] = dollars / 1000 if name == _FILE_SEARCH else dollars
    return costs


def find_wrong_costs(fields: Mapping[str, object]) -> list[str]:
    """Return the names of the prices among these fields that are not dollars."""
    given = {name: _cost_value(name, value) for name, value in fields.items()}
    return [
        name
        for name, value in given.items()
        if value is not None and is_served_price(name, {}) and _find_dollars(value) is None
    ]


def _cost_value(name: str, value: object) -> object:
    if name == _SEARCH and isinstance(value, Mapping):
        return value.get(_SEARCH_SIZE)
    return value


def _dollars(name: str, value: object) -> Decimal:
    dollars = _find_dollars(value)
    if dollars is None:
        raise ValueError(f"{name}: {WRONG_COST} (got {value!r})")
    return dollars


def _find_dollars(value: object) -> Decimal | None:
    """Return a price; None if the value is none."""
    try:
        # Through text: 2.5e-06 is meant, not the nearest binary fraction.
        dollars = Decimal(str(value))
    except InvalidOperation:
        return None
    wrong = isinstance(value, bool) or not dollars.is_finite() or not 0 <= dollars < 1_000_000
    return None if wrong else dollars
