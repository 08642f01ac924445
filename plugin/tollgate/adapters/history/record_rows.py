"""Rows of the history's tables, made from records of the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from tollgate.adapters.history.tables import SUMMED
from tollgate.core.calls.ledger_sums import LedgerSums, charged_parts
from tollgate.core.calls.records import Record
from tollgate.ports import Settled
from tollgate.ports.history_ports import HOUR_US

EVERYTHING = "all"
"""The kind of the hourly sums that hold each request once."""
PAYERS = ("key", "team", "user", "customer", "member")
"""Kinds of payers that a record has at most one of, and a column for."""
_CALLERS = ("key", "team", "user")
_HOURS_A_DAY = 24
_encode = msgspec.json.Encoder().encode

Row = dict[str, Any]
K = TypeVar("K")


def record_row(organization: str, settled: Settled) -> Row:
    """Return the row of a record."""
    record = settled.record
    sums = LedgerSums()
    sums.add(record)
    row = {
        "id": record.id,
        "admitted_us": record.admitted_us,
        "settled_us": settled.settled_us,
        "organization": organization,
        **payers_of(record.scopes),
        "scopes": _scopes_text(record.scopes),
        "model": record.model,
        "deployment": record.deployment,
        "status": record.status,
        "record": _encode(record).decode(),
    }
    row.update(zip(SUMMED, sums.amounts(), strict=True))
    return row


@lru_cache(maxsize=1024)
def payers_of(scopes: tuple[str, ...]) -> Mapping[str, str]:
    """Return the payers among scopes that a record has a column for, '' for none."""
    found = dict.fromkeys(PAYERS, "")
    for scope in scopes:
        kind, _, name = scope.partition(":")
        if kind in found:
            found[kind] = name
    return MappingProxyType(found)


@lru_cache(maxsize=1024)
def _scopes_text(scopes: tuple[str, ...]) -> str:
    return _encode(scopes).decode()


@dataclass(slots=True)
class SummedUp:
    """What some records add up to: their totals; units and nano-dollars of each kind of part."""

    sums: LedgerSums = field(default_factory=LedgerSums)
    parts: dict[str, list[int]] = field(default_factory=dict)


Alike = Mapping[tuple[int, tuple[str, ...], str, str], SummedUp]
"""Records of the same hour, scopes, model and deployment, summed up."""


def summed_up(records: Iterable[Record]) -> Alike:
    """Sum up records that are alike: most calls of an hour have few payers, models, deployments."""
    alike: defaultdict[tuple[int, tuple[str, ...], str, str], SummedUp] = defaultdict(SummedUp)
    for record in records:
        hour = record.admitted_us // HOUR_US
        found = alike[hour, record.scopes, record.model, record.deployment]
        found.sums.add(record)
        for kind, units, nanousd in charged_parts(record):
            _add(found.parts, kind, units, nanousd)
    return alike


def hourly_rows(organization: str, alike: Alike) -> list[Row]:
    """Return what records add to the hourly sums.

    Rows are in a fixed order: two recorders that add to the same rows in different orders would
    wait for each other.
    """
    sums: defaultdict[tuple[Any, ...], LedgerSums] = defaultdict(LedgerSums)
    for (hour, scopes, model, _), found in alike.items():
        nobody = [f"{kind}:" for kind, name in payers_of(scopes).items() if not name]
        for payer in (f"{EVERYTHING}:", *nobody, *scopes):
            kind, _, scope = payer.partition(":")
            sums[hour, kind, scope, organization, model].add_sums(found.sums)
    return _sorted_rows(("hour", "kind", "scope", "organization", "model"), sums)


def payer_day_rows(hourly: Iterable[Row]) -> list[Row]:
    """Return what rows of hourly sums add to the sums of their days, in a fixed order."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in hourly:
        place = (
            row["kind"],
            row["hour"] // _HOURS_A_DAY,
            row["scope"],
            row["organization"],
            row["model"],
        )
        cell = sums.setdefault(place, [0] * len(SUMMED))
        for number, name in enumerate(SUMMED):
            cell[number] += row[name]
    names = ("kind", "day", "scope", "organization", "model", *SUMMED)
    return [dict(zip(names, (*place, *sums[place]), strict=True)) for place in sorted(sums)]


def daily_rows(organization: str, alike: Alike) -> list[Row]:
    """Return what records add to the daily sums, in a fixed order."""
    sums: defaultdict[tuple[Any, ...], LedgerSums] = defaultdict(LedgerSums)
    for place, found in alike.items():
        sums[_day_place(organization, *place)].add_sums(found.sums)
    return _sorted_rows(_DAY_COLUMNS, sums)


def part_rows(organization: str, alike: Alike) -> list[Row]:
    """Return what records add to the daily parts, in a fixed order."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for place, found in alike.items():
        day_place = _day_place(organization, *place)
        for kind, (units, nanousd) in found.parts.items():
            _add(sums, (*day_place, kind), units, nanousd)
    names = (*_DAY_COLUMNS, "part", "units", "cost_nanousd")
    return [dict(zip(names, (*place, *sums[place]), strict=True)) for place in sorted(sums)]


_DAY_COLUMNS = ("day", "organization", *_CALLERS, "model", "deployment")


def _day_place(
    organization: str, hour: int, scopes: tuple[str, ...], model: str, deployment: str
) -> tuple[Any, ...]:
    payers = payers_of(scopes)
    callers = [payers[each] for each in _CALLERS]
    return (hour // _HOURS_A_DAY, organization, *callers, model, deployment)


def _add(sums: dict[K, list[int]], place: K, units: int, nanousd: int) -> None:
    if (cell := sums.get(place)) is None:
        sums[place] = [units, nanousd]
    else:
        cell[0] += units
        cell[1] += nanousd


def _sorted_rows(names: tuple[str, ...], sums: Mapping[tuple[Any, ...], LedgerSums]) -> list[Row]:
    columns = (*names, *SUMMED)
    return [
        dict(zip(columns, (*place, *sums[place].amounts()), strict=True)) for place in sorted(sums)
    ]
