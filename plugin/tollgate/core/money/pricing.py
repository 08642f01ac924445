"""Define what models cost, in integer femto-dollars (1e-15 $) per unit.

A femto-dollar is fine enough for every published price per token (the cheapest cached tokens cost a
few pico-dollars). 2^63 of them are $9,223, so sums use Python's unbounded integers; only the result
is rounded, half up, to a nano-dollar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from tollgate.core.calls.bill import FEMTO_PER_DOLLAR, FEMTO_PER_NANO, nanousd
from tollgate.core.money.picture_rates import PictureRate

__all__ = ["FEMTO_PER_DOLLAR", "FEMTO_PER_NANO", "Price", "Rates"]

_NO_RATES = frozenset(
    {"above_input_tokens", "least_audio_seconds", "least_searches", "most_searches"}
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Femto-dollars per unit, for requests with more input than `above_input_tokens`.

    None means no price of its own: such tokens cost what others of their direction do.

    - `character`: of text to speak. `citation`: a token of a source read for the model.
    - `least_audio_seconds`: shorter sound is charged as this long.
    - `least_searches`: fewer are charged as this many, since every call searches.
    - `most_searches`: more are charged as this many; 0 means no bound.
    """

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    above_input_tokens: int = 0
    input_audio: int | None = None
    input_image: int | None = None
    input_video: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    output_video: int | None = None
    reasoning: int | None = None
    cache_read_audio: int | None = None
    cache_read_image: int | None = None
    citation: int | None = None
    search: int | None = None
    map_search: int | None = None
    source: int | None = None
    file_search: int | None = None
    code_container: int | None = None
    image_call: int | None = None
    page: int | None = None
    audio_second: int | None = None
    character: int = 0
    request: int = 0
    least_audio_seconds: int = 0
    least_searches: int = 0
    most_searches: int = 0

    @property
    def free(self) -> bool:
        """Return whether every rate is zero."""
        return not any(
            getattr(self, each.name) for each in fields(self) if each.name not in _NO_RATES
        )

    @property
    def most_input(self) -> int:
        """Return the highest rate of an input token, whatever it is."""
        media = (self.input_audio or 0, self.input_image or 0, self.input_video or 0)
        return max(self.input, self.cache_write_5m, self.cache_write_1h, *media)

    @property
    def most_output(self) -> int:
        """Return the highest rate of an output token, whatever it is."""
        media = (self.output_audio or 0, self.output_image or 0, self.output_video or 0)
        return max(self.output, self.reasoning or 0, *media)

    @property
    def media_output(self) -> int:
        """Return the rate of an output token of a model that writes media and no text."""
        return self.output_image or self.output_audio or self.output_video or 0


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price.

    Input tiers are cliffs: the whole call moves to the highest tier that its input exceeds.

    - `source`: where the price is from. `as_of`: the day that its row states, or empty.
    - `service_tiers`: prices of tiers that have their own (flex, priority, ...).
    - `geographies`: complete prices by where a call ran, if that changes them.
    - `unpriced`: what makes every call of this model cost something the table does not cover.
    - `pictures`: what drawn pictures cost, where no token of output does.
    """

    source: str
    tiers: tuple[Rates, ...]
    service_tiers: Mapping[str, tuple[Rates, ...]] = field(default_factory=dict)
    geographies: Mapping[str, Price] = field(default_factory=dict)
    as_of: str = ""
    unpriced: tuple[str, ...] = ()
    pictures: tuple[PictureRate, ...] = ()
    by_picture: bool = field(init=False)
    """Whether calls are paid by the pictures that they draw."""
    free: bool = field(init=False)
    """Whether every rate is zero; budgets do not apply to such a model.

    Computed once, since every request asks.
    """

    def __post_init__(self) -> None:
        """Derive `free` and `by_picture` from the rates."""
        free = all(
            rates.free for tiers in (self.tiers, *self.service_tiers.values()) for rates in tiers
        )
        by_picture = any(each.femtousd for each in self.pictures)
        object.__setattr__(self, "by_picture", by_picture)
        object.__setattr__(self, "free", free and not by_picture)

    def rates(self, input_tokens: int, service_tier: str = "") -> Rates:
        """Return the rates of a call with this much input.

        A service tier without prices of its own uses the standard ones.
        """
        tiers = self.service_tiers.get(service_tier, self.tiers) if service_tier else self.tiers
        if len(tiers) > 1:
            for tier in reversed(tiers):
                if input_tokens > tier.above_input_tokens:
                    return tier
        return tiers[0]

    def worst_nanousd(
        self,
        input_tokens: int,
        output_tokens: int,
        characters: int = 0,
        audio_seconds: int = 0,
        pictures_femtousd: int = 0,
    ) -> int:
        """Return what a call of this size costs at the highest rates that it may meet, in
        nano-dollars: of every tier, service tier and geography. Fees of tools are not included.

        `pictures_femtousd`: what the pictures cost, which no tier changes.
        """
        prices = (self, *self.geographies.values())
        several = [tiers for each in prices for tiers in (each.tiers, *each.service_tiers.values())]
        rates = [
            rate
            for tiers in several
            for rate in tiers
            if input_tokens > rate.above_input_tokens or rate is tiers[0]
        ]
        return max(
            nanousd(
                input_tokens * each.most_input
                + output_tokens * each.most_output
                + each.request
                + characters * each.character
                + max(audio_seconds, each.least_audio_seconds) * (each.audio_second or 0)
                + max(each.least_searches, each.most_searches) * (each.search or 0)
                + pictures_femtousd
            )
            for each in rates
        )

    def hold_nanousd(
        self,
        input_tokens: int,
        output_tokens: int,
        characters: int = 0,
        audio_seconds: int = 0,
        pictures_femtousd: int = 0,
        service_tier: str = "",
    ) -> int:
        """Return the most that a call of this size may cost, for the hold, in nano-dollars."""
        rates = self.rates(input_tokens, service_tier)
        femtousd = input_tokens * rates.input + rates.request
        femtousd += output_tokens * (rates.output or rates.media_output)
        femtousd += pictures_femtousd
        if characters:
            femtousd += characters * rates.character
        if audio_seconds:
            femtousd += max(audio_seconds, rates.least_audio_seconds) * (rates.audio_second or 0)
        if rates.least_searches:
            femtousd += rates.least_searches * (rates.search or 0)
        return nanousd(femtousd)
