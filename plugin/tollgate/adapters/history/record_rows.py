"""Rows of the history's tables, made from records of the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from tollgate.adapters.history.tables import SUMMED
from tollgate.core.calls.ledger_sums import LedgerSums, charged_parts
from tollgate.core.calls.records import Record
from tollgate.ports import Settled
from tollgate.ports.history_ports import DAY_US, HOUR_US

EVERYTHING = "all"
"""The kind of the hourly sums that hold each request once."""
PAYERS = ("key", "team", "user", "customer", "member")
"""Kinds of payers that a record has at most one of, and a column for."""
_CALLERS = ("key", "team", "user")
_encode = msgspec.json.Encoder().encode

Row = dict[str, Any]


def record_row(organization: str, settled: Settled) -> Row:
    """Return the row of a record."""
    record = settled.record
    sums = LedgerSums()
    sums.add(record)
    return {
        "id": record.id,
        "admitted_us": record.admitted_us,
        "settled_us": settled.settled_us,
        "organization": organization,
        **payers_of(record.scopes),
        "scopes": _encode(record.scopes).decode(),
        "model": record.model,
        "deployment": record.deployment,
        "status": record.status,
        **dict(zip(SUMMED, sums.amounts(), strict=True)),
        "record": _encode(record).decode(),
    }


@lru_cache(maxsize=1024)
def payers_of(scopes: tuple[str, ...]) -> Mapping[str, str]:
    """Return the payers among scopes that a record has a column for, '' for none."""
    found = dict.fromkeys(PAYERS, "")
    for scope in scopes:
        kind, _, name = scope.partition(":")
        if kind in found:
            found[kind] = name
    return MappingProxyType(found)


def hourly_rows(organization: str, records: Iterable[Record]) -> list[Row]:
    """Return what records add to the hourly sums.

    Rows are in a fixed order: two recorders that add to the same rows in different orders would
    wait for each other. Records of the same payers are summed up before their payers are told
    apart, since most calls of an hour have few.
    """
    alike: defaultdict[tuple[int, tuple[str, ...], str], LedgerSums] = defaultdict(LedgerSums)
    for record in records:
        alike[record.admitted_us // HOUR_US, record.scopes, record.model].add(record)
    sums: defaultdict[tuple[Any, ...], LedgerSums] = defaultdict(LedgerSums)
    for (hour, scopes, model), part in alike.items():
        nobody = [f"{kind}:" for kind, name in payers_of(scopes).items() if not name]
        for payer in (f"{EVERYTHING}:", *nobody, *scopes):
            kind, _, scope = payer.partition(":")
            sums[hour, kind, scope, organization, model].add_sums(part)
    return _sorted_rows(("hour", "kind", "scope", "organization", "model"), sums)


def payer_day_rows(hourly: Iterable[Row]) -> list[Row]:
    """Return what rows of hourly sums add to the sums of their days, in a fixed order."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in hourly:
        place = (row["kind"], row["hour"] // 24, row["scope"], row["organization"], row["model"])
        cell = sums.setdefault(place, [0] * len(SUMMED))
        for number, name in enumerate(SUMMED):
            cell[number] += row[name]
    names = ("kind", "day", "scope", "organization", "model", *SUMMED)
    return [dict(zip(names, (*place, *sums[place]), strict=True)) for place in sorted(sums)]


def daily_rows(organization: str, records: Iterable[Record]) -> list[Row]:
    """Return what records add to the daily sums, in a fixed order."""
    sums: defaultdict[tuple[Any, ...], LedgerSums] = defaultdict(LedgerSums)
    for record in records:
        sums[_day_place(organization, record)].add(record)
    return _sorted_rows(_DAY_COLUMNS, sums)


def part_rows(organization: str, records: Iterable[Record]) -> list[Row]:
    """Return what records add to the daily parts, in a fixed order."""
    sums: dict[tuple[Any, ...], tuple[int, int]] = {}
    for record in records:
        place = _day_place(organization, record)
        for part in charged_parts(record):
            units, nanousd = sums.get((*place, part.kind), (0, 0))
            sums[*place, part.kind] = (units + part.units, nanousd + part.nanousd)
    names = (*_DAY_COLUMNS, "part", "units", "cost_nanousd")
    return [dict(zip(names, (*place, *sums[place]), strict=True)) for place in sorted(sums)]


_DAY_COLUMNS = ("day", "organization", *_CALLERS, "model", "deployment")


def _day_place(organization: str, record: Record) -> tuple[Any, ...]:
    callers = _callers_of(record.scopes)
    return (record.admitted_us // DAY_US, organization, *callers, record.model, record.deployment)


@lru_cache(maxsize=1024)
def _callers_of(scopes: tuple[str, ...]) -> tuple[str, ...]:
    payers = payers_of(scopes)
    return tuple(payers[each] for each in _CALLERS)


def _sorted_rows(names: tuple[str, ...], sums: Mapping[tuple[Any, ...], LedgerSums]) -> list[Row]:
    columns = (*names, *SUMMED)
    return [
        dict(zip(columns, (*place, *sums[place].amounts()), strict=True)) for place in sorted(sums)
    ]
