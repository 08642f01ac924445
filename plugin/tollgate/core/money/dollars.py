"""Convert between dollars outside and integer nano-dollars inside."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from tollgate.core.limits.accounts import MAX_EXACT

NANO = 1_000_000_000
MAX_DOLLARS = MAX_EXACT // NANO
"""The largest amount whose nano-dollars are exact in a double: $9,007,199."""


def nanousd_of(dollars: Decimal) -> int:
    """Return an amount of dollars in nano-dollars, rounded up.

    Rounding up keeps a tiny budget such as $0.000000000001 from becoming 0.
    """
    return int((dollars * NANO).to_integral_value(ROUND_CEILING))


def dollars_of(nanousd: int) -> float:
    """Return nano-dollars as a float of dollars, for printing only."""
    return nanousd / NANO
