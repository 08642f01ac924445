"""Usage x price = integer nano-dollars. No decimals and no floats: prices are whole femto-dollars (1e-15 $) a token.

A femto-dollar is fine enough for every published price per token (the cheapest cached tokens cost a few pico-dollars), and
2^63 of them are $9,223, so Python's integers do the sums and only the result is rounded, half up, to a nano-dollar.
"""

from __future__ import annotations

from dataclasses import dataclass

from tollgate.core.entities import Usage

FEMTO_PER_DOLLAR = 10**15
FEMTO_PER_NANO = 10**6


@dataclass(frozen=True, slots=True)
class Rates:
    """What a token costs, in femto-dollars. The rates hold for requests with more input than `above_input_tokens`."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    above_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price. Tiers are cliffs: the whole call moves to the highest tier that its input exceeds. `source` says where it is from."""

    source: str
    tiers: tuple[Rates, ...]

    @property
    def free(self) -> bool:
        """Whether every rate is zero: such a model is not checked against budgets."""
        return all(
            (r.input, r.output, r.cache_read, r.cache_write_5m, r.cache_write_1h) == (0,) * 5 for r in self.tiers
        )

    def rates(self, input_tokens: int) -> Rates:
        """The rates of a call with this much input."""
        found = self.tiers[0]
        for tier in self.tiers:
            if input_tokens > tier.above_input_tokens:
                found = tier
        return found


def cost_nanousd(usage: Usage, price: Price) -> int:
    """What a call costs."""
    rates = price.rates(usage.input_tokens)
    cached = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    femto = (
        max(0, usage.input_tokens - cached) * rates.input
        + usage.cache_read_tokens * rates.cache_read
        + usage.cache_write_5m_tokens * rates.cache_write_5m
        + usage.cache_write_1h_tokens * rates.cache_write_1h
        + usage.output_tokens * rates.output
    )
    return (femto + FEMTO_PER_NANO // 2) // FEMTO_PER_NANO
