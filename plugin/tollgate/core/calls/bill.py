"""Define a bill: what a call was charged, line by line.

The ledger keeps it, so that a cost can be explained after prices have changed.
"""

from __future__ import annotations

from msgspec import Struct

FEMTO_PER_DOLLAR = 10**15
FEMTO_PER_NANO = 10**6


def nanousd(femtousd: int) -> int:
    """Return femto-dollars in nano-dollars, rounded half up; no other rounding exists."""
    return (femtousd + FEMTO_PER_NANO // 2) // FEMTO_PER_NANO


class Line(Struct, frozen=True, array_like=True):
    """Units of one kind (tokens, seconds, ...) and the rate of each, in femto-dollars.

    The kind of a pass is `PASS.KIND`.
    """

    kind: str
    units: int
    rate_femtousd: int

    @property
    def femtousd(self) -> int:
        """Return what these units cost."""
        return self.units * self.rate_femtousd


class Bill(Struct, frozen=True, omit_defaults=True):
    """The price that was applied, and the arithmetic.

    - `source`: where the price is from; empty if there is none. `as_of`: the day that its row
      names.
    - `above_input_tokens`: the tier. `service_tier`: the variant, empty for the standard one.
    - `geography`: where the call ran, if that changed the price.
    - `unpriced`: reported parts without a price, charged as something else or not at all.
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
        """Return the exact sum."""
        femtousd = 0
        for line in self.lines:
            femtousd += line.units * line.rate_femtousd
        return femtousd

    @property
    def cost_nanousd(self) -> int:
        """Return the rounded sum."""
        return nanousd(self.femtousd)


NO_BILL = Bill()
