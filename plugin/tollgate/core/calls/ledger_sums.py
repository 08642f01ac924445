"""Sum up ledger records, and split a record's cost into its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct

from tollgate.core.calls.bill import NO_BILL, Bill
from tollgate.core.calls.records import Record
from tollgate.core.calls.usage import Certainty

_FAILED_FROM = 400
_EXACT = Certainty.EXACT.value


class Summed(Struct, frozen=True, kw_only=True):
    """What sums need of a record."""

    status: int
    cost_nanousd: int
    certainty: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    bill: Bill = NO_BILL


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

    @classmethod
    def of(cls, amounts: Iterable[tuple[int, ...]]) -> LedgerSums:
        """Return the totals of records, at least one, of which each has these amounts."""
        return cls(*map(sum, zip(*amounts, strict=True)))

    def add(self, record: Record) -> None:
        """Count a record."""
        self.add_sums(LedgerSums(*amounts_of(record)))

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


def amounts_of(record: Record | Summed) -> tuple[int, ...]:
    """Return what a record adds to totals, in the order of the fields of LedgerSums."""
    cost_nanousd = record.cost_nanousd
    return (
        1,
        int(record.status >= _FAILED_FROM),
        record.input_tokens,
        record.output_tokens,
        record.cache_read_tokens,
        record.cache_write_5m_tokens + record.cache_write_1h_tokens,
        cost_nanousd,
        0 if record.certainty == _EXACT else cost_nanousd,
        1 if record.bill.unpriced else 0,
    )


class ChargedPart(NamedTuple):
    """Units of one kind that a call was charged for, as its bill names them."""

    kind: str
    units: int
    nanousd: int


def charged_parts(record: Record) -> list[ChargedPart]:
    """Return what a record was charged for, by kind; costs add up to the record's exactly."""
    parts: dict[str, list[int]] = {}
    add_charged_parts(parts, record)
    return [ChargedPart(kind, units, nanousd) for kind, (units, nanousd) in parts.items()]


def add_charged_parts(parts: dict[str, list[int]], record: Record | Summed) -> None:
    """Add what a record was charged for to units and nano-dollars by kind.

    A line's share is what rounding the running sum leaves for it. Where other dollars than the
    bill's were charged (those that the provider reported), each line has its share of them. Dollars
    without lines are of the kind `unspecified`; tokens without lines cost nothing.
    """
    lines, cost_nanousd = record.bill.lines, record.cost_nanousd
    whole_femtousd = record.bill.femtousd
    running_femtousd = given = 0
    for line in lines:
        units = line.units
        running_femtousd += units * line.rate_femtousd
        until = cost_nanousd * running_femtousd // whole_femtousd if whole_femtousd else 0
        _add(parts, line.kind, units, until - given)
        given = until
    if given < cost_nanousd:
        _add(parts, "unspecified", 1, cost_nanousd - given)
    if not lines:
        for kind, count in (("input", record.input_tokens), ("output", record.output_tokens)):
            if count:
                _add(parts, kind, count, 0)


def _add(parts: dict[str, list[int]], kind: str, units: int, nanousd: int) -> None:
    cell = parts.get(kind)
    if cell is None:
        parts[kind] = [units, nanousd]
    else:
        cell[0] += units
        cell[1] += nanousd
