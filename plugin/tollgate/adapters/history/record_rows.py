"""Rows of the history's tables, made from records of the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from tollgate.adapters.history.tables import SUMMED
from tollgate.core.calls.ledger_sums import LedgerSums, Summed, add_charged_parts
from tollgate.ports.history_ports import HOUR_US, SettledText

EVERYTHING = "all"
"""The kind of the hourly sums that hold each request once."""
PAYERS = ("key", "team", "user", "customer", "member")
"""Kinds of payers that a record has at most one of, and a column for."""
_CALLERS = ("key", "team", "user")
_HOURS_A_DAY = 24
_encode = msgspec.json.Encoder().encode
_read_scopes = msgspec.json.Decoder(tuple[str, ...]).decode

Row = tuple[Any, ...]
"""The values of a row in the order of its table's columns."""
K = TypeVar("K")


class RecordColumns(Summed, frozen=True, kw_only=True):
    """What columns and sums tell of a record. Its text, which is kept whole, says more."""

    id: str
    admitted_us: int
    model: str
    deployment: str
    scopes: Raw


read = msgspec.json.Decoder(RecordColumns).decode
"""Return what columns and sums tell of a record. Raises msgspec.DecodeError if it is none."""


def record_row(
    organization: str, settled: SettledText, told: RecordColumns, sums: tuple[int, ...]
) -> Row:
    """Return the row of a record. `sums`: what it adds to totals."""
    payers = _payers_in(bytes(told.scopes))
    return (
        told.id,
        told.admitted_us,
        settled.settled_us,
        organization,
        *payers.columns,
        payers.text,
        told.model,
        told.deployment,
        told.status,
        *sums,
        settled.text.decode(),
    )


class _Payers(NamedTuple):
    """The scopes of a record: their names, their JSON, and those that have a column."""

    scopes: tuple[str, ...]
    text: str
    columns: tuple[str, ...]


@lru_cache(maxsize=1024)
def _payers_in(scopes_json: bytes) -> _Payers:
    scopes = _read_scopes(scopes_json)
    return _Payers(scopes, _encode(scopes).decode(), tuple(payers_of(scopes).values()))


@lru_cache(maxsize=1024)
def payers_of(scopes: tuple[str, ...]) -> Mapping[str, str]:
    """Return the payers among scopes that a record has a column for, '' for none."""
    found = dict.fromkeys(PAYERS, "")
    for scope in scopes:
        kind, _, name = scope.partition(":")
        if kind in found:
            found[kind] = name
    return MappingProxyType(found)


class SummedUp(NamedTuple):
    """What some records add up to: their totals; units and nano-dollars of each kind of part."""

    sums: LedgerSums
    parts: dict[str, list[int]]


Alike = Mapping[tuple[int, tuple[str, ...], str, str], SummedUp]
"""Records of the same hour, scopes, model and deployment, summed up."""


def summed_up(records: Iterable[tuple[RecordColumns, tuple[int, ...]]]) -> Alike:
    """Sum up records that are alike: most calls of an hour have few payers, models, deployments.

    Each comes with what it adds to totals.
    """
    parts: defaultdict[tuple[int, bytes, str, str], dict[str, list[int]]] = defaultdict(dict)
    amounts: defaultdict[tuple[int, bytes, str, str], list[tuple[int, ...]]] = defaultdict(list)
    for told, sums in records:
        place = told.admitted_us // HOUR_US, bytes(told.scopes), told.model, told.deployment
        amounts[place].append(sums)
        add_charged_parts(parts[place], told)
    alike: dict[tuple[int, tuple[str, ...], str, str], SummedUp] = {}
    for place, found in amounts.items():
        hour, scopes_json, model, deployment = place
        scopes = _payers_in(scopes_json).scopes
        alike[hour, scopes, model, deployment] = SummedUp(LedgerSums.of(found), parts[place])
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
    return _sorted_rows(sums)


def payer_day_rows(hourly: Iterable[Row]) -> list[Row]:
    """Return what rows of hourly sums add to the sums of their days, in a fixed order."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for hour, kind, scope, organization, model, *amounts in hourly:
        place = kind, hour // _HOURS_A_DAY, scope, organization, model
        cell = sums.setdefault(place, [0] * len(SUMMED))
        for number, amount in enumerate(amounts):
            cell[number] += amount
    return [(*place, *sums[place]) for place in sorted(sums)]


def daily_rows(organization: str, alike: Alike) -> list[Row]:
    """Return what records add to the daily sums, in a fixed order."""
    sums: defaultdict[tuple[Any, ...], LedgerSums] = defaultdict(LedgerSums)
    for place, found in alike.items():
        sums[_day_place(organization, *place)].add_sums(found.sums)
    return _sorted_rows(sums)


def part_rows(organization: str, alike: Alike) -> list[Row]:
    """Return what records add to the daily parts, in a fixed order."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for place, found in alike.items():
        day_place = _day_place(organization, *place)
        for kind, (units, nanousd) in found.parts.items():
            _add(sums, (*day_place, kind), units, nanousd)
    return [(*place, *sums[place]) for place in sorted(sums)]


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


def _sorted_rows(sums: Mapping[tuple[Any, ...], LedgerSums]) -> list[Row]:
    return [(*place, *sums[place].amounts()) for place in sorted(sums)]
