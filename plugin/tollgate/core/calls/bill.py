"""What a call was charged, line by line: so many units at such a rate.

The ledger keeps it, so a cost can be explained after prices changed.
"""

from __future__ import annotations

from msgspec import Struct

FEMTO_PER_DOLLAR = 10**15
FEMTO_PER_NANO = 10**6


def nanousd(femtousd: int) -> int:
    """Femto-dollars as nano-dollars, rounded half up: the only rounding there is."""
    return (femtousd + FEMTO_PER_NANO // 2) // FEMTO_PER_NANO


class Line(Struct, frozen=True, array_like=True):
    """Units of one kind (tokens, seconds, ...) and what each costs, in femto-dollars.

    The kind of a pass is `PASS.KIND`.
    """

    kind: str
    units: int
    rate_femtousd: int

    @property
    def femtousd(self) -> int:
        """What these units cost."""
        return self.units * self.rate_femtousd


class Bill(Struct, frozen=True, omit_defaults=True):
    """The row of the price table that was used, and the arithmetic.

    `source`: where the price is from, empty when there is none; `as_of`: the day that its row
    names.
    `above_input_tokens`: the tier; `service_tier`: the variant, empty for the standard one;
    `geography`: where it ran, if that changed the price. `unpriced`: parts that were told and have
    no price of their own, so that the lines charge them as something else or not at all.
    """

    source: str = ""
    above_input_tokens: int = 0
    service_tier: str = ""
    lines: tuple[Line, ...] = ()
    unpriced: tuple[str, ...] = ()
    geography: str = ""
    as_of: str = ""

    @property
    def femtousd(self) -> int:
        """The exact sum."""
        return sum([line.units * line.rate_femtousd for line in self.lines])

    @property
    def cost_nanousd(self) -> int:
        """The sum, rounded."""
        return nanousd(self.femtousd)


NO_BILL = Bill()
