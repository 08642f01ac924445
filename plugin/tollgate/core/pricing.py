"""Usage x price = integer nano-dollars. No decimals and no floats: prices are whole femto-dollars (1e-15 $) a unit.

A femto-dollar is fine enough for every published price per token (the cheapest cached tokens cost a few pico-dollars), and
2^63 of them are $9,223, so Python's integers do the sums and only the result is rounded, half up, to a nano-dollar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tollgate.core.bill import FEMTO_PER_DOLLAR, FEMTO_PER_NANO, Bill, Line, nanousd
from tollgate.core.entities import Certainty, Usage

__all__ = ["FEMTO_PER_DOLLAR", "FEMTO_PER_NANO", "Price", "Rates", "bill", "cost_nanousd"]

# Nobody tells how many characters were spoken. Their tokens are estimated, at so many bytes each (design.md, rules of admission, 8).
CHARACTERS_PER_TOKEN = 3
# Vertex writes ON_DEMAND_FLEX where others write flex.
_TRAFFIC = "on_demand_"


@dataclass(frozen=True, slots=True)
class Rates:
    """What a unit costs, in femto-dollars. The rates hold for requests with more input than `above_input_tokens`.

    None: these tokens cost what the others of their direction do. `character`: of text to speak. `least_audio_seconds`: shorter sound
    is charged as this long.
    """

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    above_input_tokens: int = 0
    input_audio: int | None = None
    input_image: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    reasoning: int | None = None
    search: int = 0
    audio_second: int = 0
    character: int = 0
    request: int = 0
    least_audio_seconds: int = 0

    @property
    def free(self) -> bool:
        """Whether nothing costs anything."""
        tokens = (self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        media = (self.input_audio, self.input_image, self.output_audio, self.output_image, self.reasoning)
        return not any((*tokens, *media, self.search, self.audio_second, self.character, self.request))


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price. Tiers are cliffs: the whole call moves to the highest tier that its input exceeds.

    `source` says where it is from. `service_tiers`: the tiers' prices where a service tier (flex, priority, ...) has its own.
    """

    source: str
    tiers: tuple[Rates, ...]
    service_tiers: Mapping[str, tuple[Rates, ...]] = field(default_factory=dict)
    free: bool = field(init=False)
    """Whether every rate is zero: such a model is not checked against budgets. Every request asks, so it is found once."""

    def __post_init__(self) -> None:
        """Find what follows from the rates."""
        free = all(rates.free for tiers in (self.tiers, *self.service_tiers.values()) for rates in tiers)
        object.__setattr__(self, "free", free)

    def rates(self, input_tokens: int, service_tier: str = "") -> Rates:
        """The rates of a call with this much input; a service tier without prices of its own costs the standard ones."""
        tiers = self.service_tiers.get(service_tier, self.tiers) if service_tier else self.tiers
        if len(tiers) > 1:
            for tier in reversed(tiers):
                if input_tokens > tier.above_input_tokens:
                    return tier
        return tiers[0]


def bill(usage: Usage, price: Price) -> Bill:
    """What a call costs, line by line."""
    service_tier = _service_tier(usage, price)
    rates = price.rates(usage.input_tokens, service_tier)
    lines = tuple([Line(kind, units, rate) for kind, units, rate in _charges(usage, rates) if units])
    return Bill(price.source, rates.above_input_tokens, service_tier, lines)


def cost_nanousd(usage: Usage, price: Price) -> int:
    """What a call costs: the sum of its bill, which is not written."""
    rates = price.rates(usage.input_tokens, _service_tier(usage, price))
    return nanousd(sum([units * rate for _, units, rate in _charges(usage, rates)]))


def _service_tier(usage: Usage, price: Price) -> str:
    """The tier that has prices of its own; empty for the standard ones."""
    if usage.service_tier is None or not price.service_tiers:
        return ""
    service_tier = usage.service_tier.lower().removeprefix(_TRAFFIC)
    return service_tier if service_tier in price.service_tiers else ""


_Charges = list[tuple[str, int, int]]
"""Kind, units, and what each costs, in femto-dollars. Of a kind there may be none."""


def _charges(usage: Usage, rates: Rates) -> _Charges:
    # Nothing was used, so nothing is asked for it either.
    if usage.certainty is Certainty.NONE:
        return []
    charges = _input(usage, rates)
    _add_output(charges, usage, rates)
    _add_rest(charges, usage, rates)
    return charges


def _input(usage: Usage, rates: Rates) -> _Charges:
    """A token is charged once. What is cached is charged as such, whether it was text, sound or picture: providers do not tell."""
    read, write_5m, write_1h = usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    rest = usage.input_tokens
    parts: _Charges = []
    if read or write_5m or write_1h:
        rest = max(0, rest - read - write_5m - write_1h)
        parts = [
            ("cache_read", read, rates.cache_read),
            ("cache_write_5m", write_5m, rates.cache_write_5m),
            ("cache_write_1h", write_1h, rates.cache_write_1h),
        ]
    if usage.input_audio_tokens and rates.input_audio is not None:
        audio = min(usage.input_audio_tokens, rest)
        parts.append(("input_audio", audio, rates.input_audio))
        rest -= audio
    if usage.input_image_tokens and rates.input_image is not None:
        image = min(usage.input_image_tokens, rest)
        parts.append(("input_image", image, rates.input_image))
        rest -= image
    return [("input", rest, rates.input), *parts]


def _add_output(charges: _Charges, usage: Usage, rates: Rates) -> None:
    rest = usage.output_tokens
    parts: _Charges = []
    if usage.output_audio_tokens and rates.output_audio is not None:
        audio = min(usage.output_audio_tokens, rest)
        parts.append(("output_audio", audio, rates.output_audio))
        rest -= audio
    if usage.output_image_tokens and rates.output_image is not None:
        image = min(usage.output_image_tokens, rest)
        parts.append(("output_image", image, rates.output_image))
        rest -= image
    if usage.reasoning_tokens and rates.reasoning is not None:
        reasoning = min(usage.reasoning_tokens, rest)
        parts.append(("reasoning", reasoning, rates.reasoning))
        rest -= reasoning
    charges += (("output", rest, rates.output), *parts)


def _add_rest(charges: _Charges, usage: Usage, rates: Rates) -> None:
    """What is charged beside tokens, where it has a price."""
    if usage.searches and rates.search:
        charges.append(("search", usage.searches, rates.search))
    if usage.audio_seconds and rates.audio_second:
        charges.append(("audio_second", max(usage.audio_seconds, rates.least_audio_seconds), rates.audio_second))
    if rates.character:
        charges.append(("character", usage.input_tokens * CHARACTERS_PER_TOKEN, rates.character))
    if rates.request:
        charges.append(("request", 1, rates.request))
