"""Estimate what a request may use: the amount to hold, and to charge if usage stays unknown."""

from __future__ import annotations

from math import ceil

from msgspec import Struct

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.calls.reservation import WorstCase
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import MAX_EXACT
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.output_limits import MOST_CHOICES, OutputLimits
from tollgate.core.money.picture_rates import is_size_needed, picture_femtousd
from tollgate.core.money.pricing import Price
from tollgate.core.requests.body import Body, asked_service_tier, spoken_characters
from tollgate.core.requests.dialects import Dialect, Measure
from tollgate.core.requests.estimate import (
    Estimate,
    InputEstimates,
    asked_pictures,
    hidden_tokens,
    sound_seconds,
)
from tollgate.ports import SoundLength

# No text has more tokens than bytes, and an estimate takes at most 5.5 bytes for a token
# (core/requests/prompt_size.py).
_MOST_DENSITY = 6


class WorstCases(Struct, frozen=True):
    """What one request may use at most, by the output limit of one choice.

    `most_output_tokens`: what the model and the request allow a choice.
    """

    input_tokens: int
    most_output_tokens: int
    choices: int
    characters: int
    audio_seconds: int
    price: Price | None
    pictures_femtousd: int = 0

    def at(self, output_tokens: int) -> WorstCase:
        """Return the worst case where a choice writes at most so much."""
        output = output_tokens * self.choices
        cost = 1
        if self.price is not None:
            cost = self.price.worst_nanousd(
                self.input_tokens,
                output,
                self.characters,
                self.audio_seconds,
                self.pictures_femtousd,
            )
        return WorstCase(self.input_tokens, output, min(max(1, cost), MAX_EXACT))


class Estimator:
    """Estimates requests. `default_output_tokens` applies to those without a limit of their own."""

    def __init__(
        self,
        inputs: InputEstimates,
        output_limits: OutputLimits,
        default_output_tokens: int,
        sound_length: SoundLength,
    ) -> None:
        self._inputs = inputs
        self._output_limits = output_limits
        self._default_output_tokens = default_output_tokens
        self._sound_length = sound_length

    def estimate(
        self, raw: bytes, facts: Body, dialect: Dialect, deployment: Deployment, price: Price | None
    ) -> Estimate:
        """Return what a request may use, never more than its model can produce.

        Raises BadRequest if its price depends on something that it leaves out.
        """
        prompt_tokens = facts.prompt_tokens
        if facts.tools:
            prompt_tokens += hidden_tokens(deployment)
        input_tokens = self._inputs.tokens(deployment.id, prompt_tokens, tools=facts.tools)
        output_tokens, guessed = 0, facts.max_output_tokens is None
        if dialect.has_output:
            wanted = facts.max_output_tokens
            if wanted is None:
                wanted = self._default_output_tokens
            most = self._output_limits.most(deployment)
            output_tokens = min(wanted, most) * min(facts.choices, MOST_CHOICES)
        characters = audio_seconds = pictures_femtousd = 0
        pictures = None
        if dialect.measures is not Measure.NOTHING and price is not None:
            characters, audio_seconds = self._measure(raw, facts, dialect, price)
            if price.pictures:
                pictures = asked_pictures(facts, deployment)
                pictures_femtousd = _femtousd(pictures, price, deployment)
        cost, service_tier = 0, ""
        if price is not None:
            if price.service_tiers:
                service_tier = _service_tier(raw, facts, price)
            cost = price.hold_nanousd(
                input_tokens,
                output_tokens,
                characters,
                audio_seconds,
                pictures_femtousd,
                service_tier,
            )
        return Estimate(
            input_tokens,
            output_tokens,
            min(max(1, cost), MAX_EXACT),
            guessed,
            price is not None and not price.free,
            facts.tools,
            characters,
            audio_seconds,
            pictures,
            service_tier,
        )

    def worst_cases(
        self,
        facts: Body,
        dialect: Dialect,
        deployment: Deployment,
        found: Estimate,
        price: Price | None,
    ) -> WorstCases:
        """Return what a request may use whatever its prompt and its reply turn out to be.

        `found`: the estimate of the same request.
        """
        bytes_of_prompt = sum(
            end - start
            for name in (dialect.places.prompt or tuple(facts.spans))
            if name in facts.spans
            for start, end in (facts.spans[name],)
        )
        hidden = hidden_tokens(deployment) if facts.tools else 0
        input_tokens = min(bytes_of_prompt, _MOST_DENSITY * facts.prompt_tokens) + hidden
        most = self._output_limits.most(deployment) if dialect.has_output else 0
        wanted = facts.max_output_tokens
        pictures_femtousd = 0
        if found.pictures is not None and price is not None:
            pictures_femtousd = _femtousd(found.pictures, price, deployment)
        return WorstCases(
            max(input_tokens, found.input_tokens),
            most if wanted is None else min(wanted, most),
            min(facts.choices, MOST_CHOICES),
            found.characters,
            found.audio_seconds,
            price,
            pictures_femtousd,
        )

    def _measure(self, raw: bytes, facts: Body, dialect: Dialect, price: Price) -> tuple[int, int]:
        """Return the characters and the seconds of sound of a request whose model is priced by
        them.
        """
        rates = price.tiers[0]
        if dialect.measures is Measure.CHARACTERS and rates.character:
            return spoken_characters(raw, facts), 0
        if dialect.measures is Measure.SOUND and rates.audio_second is not None:
            if facts.file is None:
                return 0, sound_seconds(None, 0)
            start, end = facts.file
            return 0, ceil(sound_seconds(self._sound_length(raw, start, end), end - start))
        return 0, 0


def _service_tier(raw: bytes, facts: Body, price: Price) -> str:
    """Return the service tier that a request asks for, if it has prices of its own."""
    asked = asked_service_tier(raw, facts)
    return asked if asked in price.service_tiers else ""


def _femtousd(asked: AskedPictures, price: Price, deployment: Deployment) -> int:
    """Return what the pictures of a request cost, in femto-dollars.

    Raises BadRequest if that depends on their size, and nothing tells it.
    """
    if is_size_needed(price.pictures, asked):
        raise BadRequest(
            f"The model {deployment.model_name!r} is priced by the pixel: the field 'size' must be"
            " there, as WIDTHxHEIGHT.",
            param="size",
        )
    return asked.count * picture_femtousd(price.pictures, asked)
