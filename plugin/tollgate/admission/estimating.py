"""Estimate what a request may use: the amount to hold, and to charge if usage stays unknown."""

from __future__ import annotations

from math import ceil

from tollgate.core.limits.accounts import MAX_EXACT
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.output_limits import MOST_CHOICES, OutputLimits
from tollgate.core.money.pricing import Price
from tollgate.core.requests.body import Body, spoken_characters
from tollgate.core.requests.dialects import Dialect, Measure
from tollgate.core.requests.estimate import Estimate, InputEstimates, hidden_tokens, sound_seconds
from tollgate.ports import SoundLength


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
        """Return what a request may use, never more than its model can produce."""
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
        characters = audio_seconds = 0
        if dialect.measures is not Measure.NOTHING and price is not None:
            characters, audio_seconds = self._measure(raw, facts, dialect, price)
        cost = 0
        if price is not None:
            cost = price.hold_nanousd(input_tokens, output_tokens, characters, audio_seconds)
        return Estimate(
            input_tokens,
            output_tokens,
            min(max(1, cost), MAX_EXACT),
            guessed,
            price is not None and not price.free,
            facts.tools,
            characters,
            audio_seconds,
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
