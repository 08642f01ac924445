"""Sum up ledger records, and split a record's cost into its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from tollgate.core.calls.records import Record
from tollgate.core.calls.usage import Certainty

_FAILED_FROM = 400


@dataclass(slots=True)
class LedgerSums:
    """The totals of some records. The order of the fields is that of a history's columns.

    `unsure_nanousd`: charged for usage that is not exact. `unpriced`: records with a part without a
    price.
    """

    requests: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    nanousd: int = 0
    unsure_nanousd: int = 0
    unpriced: int = 0

    def add(self, record: Record) -> None:
        """Count a record."""
        self.requests += 1
        self.failures += record.status >= _FAILED_FROM
        self.input_tokens += record.input_tokens
        self.output_tokens += record.output_tokens
        self.cache_read_tokens += record.cache_read_tokens
        self.cache_write_tokens += record.cache_write_5m_tokens + record.cache_write_1h_tokens
        self.nanousd += record.cost_nanousd
        self.unpriced += bool(record.bill.unpriced)
        if record.certainty != Certainty.EXACT:
            self.unsure_nanousd += record.cost_nanousd

    def add_sums(self, other: LedgerSums) -> None:
        """Add other totals."""
        # Field by field: a loop over the names takes four times as long, and the recorder adds
        # seven times for each new set of payers.
        self.requests += other.requests
        self.failures += other.failures
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cache_read_tokens += other.cache_read_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.nanousd += other.nanousd
        self.unsure_nanousd += other.unsure_nanousd
        self.unpriced += other.unpriced

    def minus(self, other: LedgerSums) -> LedgerSums:
        """Return these totals without others that they include."""
        return LedgerSums(*(getattr(self, each) - getattr(other, each) for each in self.__slots__))

    def amounts(self) -> tuple[int, ...]:
        """Return the totals in the order of the fields."""
        return _amounts(self)


_amounts: Callable[[LedgerSums], tuple[int, ...]] = attrgetter(*LedgerSums.__slots__)


class ChargedPart(NamedTuple):
    """Units of one kind that a call was charged for, as its bill names them."""

    kind: str
    units: int
    nanousd: int


def charged_parts(record: Record) -> list[ChargedPart]:
    """Return what a record was charged for, by kind; costs add up to the record's exactly.

    A line's share is what rounding the running sum leaves for it. Where other dollars than the
    bill's were charged (those that the provider reported), each line has its share of them. Dollars
    without lines are of the kind `unspecified`; tokens without lines cost nothing.
    """
    lines = record.bill.lines
    whole_femtousd = record.bill.femtousd
    units: dict[str, int] = {}
    shares: dict[str, int] = {}
    running_femtousd = given = 0
    for line in lines:
        running_femtousd += line.femtousd
        until = record.cost_nanousd * running_femtousd // whole_femtousd if whole_femtousd else 0
        units[line.kind] = units.get(line.kind, 0) + line.units
        shares[line.kind] = shares.get(line.kind, 0) + until - given
        given = until
    if given < record.cost_nanousd:
        shares["unspecified"] = shares.get("unspecified", 0) + record.cost_nanousd - given
        units.setdefault("unspecified", 1)
    if not lines:
        for kind, count in (("input", record.input_tokens), ("output", record.output_tokens)):
            if count:
                units[kind], shares[kind] = count, 0
    return [ChargedPart(kind, units[kind], shares[kind]) for kind in units]
