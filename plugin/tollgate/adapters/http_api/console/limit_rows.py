"""Limits in their general form as rows of a form, and the raise of one of them.

A row shows what most limits have; the rest of an entry travels with it, hidden, and stays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tollgate.core.callers.limit_entries import printed_entry
from tollgate.core.entities import LimitSet
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Meter, Quota
from tollgate.core.limits.limit import KINDS, Limit, described
from tollgate.core.limits.limit import METERS as METER_ROWS

METERS = tuple((each.value, METER_ROWS[each].noun) for each in Meter)
MODES = (("", "refuses"), ("shadow", "only counts (shadow)"))
_NAME = re.compile(r"limits-(\d{1,2})-([a-z]+)", re.ASCII)
_SHOWN = ("meter", "amount", "per", "calendar", "model", "mode")
_BUDGET = "budget"
# Limits with a field of their own, by what their entries say. A form shows that field instead.
_FIELDS = {
    (kind.meter.value, printed_entry(Limit(kind.meter, 0, kind.window)).get("per")): kind.field
    for kind in KINDS.values()
}


@dataclass(frozen=True, slots=True)
class Row:
    """One limit of a form. `field`: the form's field that shows its amount; `rest`: JSON."""

    meter: str = Meter.USD.value
    amount: object = ""
    per: str = ""
    calendar: str = ""
    model: str = ""
    mode: str = ""
    field: str = ""
    rest: str = "{}"


def limit_rows(entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows of a scope's limits, and an empty one for another."""
    rows = []
    for each in entries:
        field = _FIELDS.get((each["meter"], each.get("per")), "")
        own = "model" not in each and field
        shown = {name: each[name] for name in _SHOWN if name in each}
        rest = {name: value for name, value in each.items() if name not in _SHOWN}
        encoded = msgspec.json.encode(rest).decode()
        rows.append(Row(**shown, field=field if own else "", rest=encoded))
    return [*rows, Row()]


def limit_entries(form: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Return the entries of `limits` that the rows of a form make; None: it has no rows.

    A row without an amount is none.
    """
    rows: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for name, text in form.items():
        if (match := _NAME.fullmatch(name)) is not None:
            rows[int(match[1])][match[2]] = text.strip()
    if not rows:
        return None
    entries = []
    for _, row in sorted(rows.items()):
        field = row.get("field", "")
        amount = form.get(field, "").strip() if field else row.get("amount", "")
        if amount:
            shown = {name: row[name] for name in _SHOWN if row.get(name)}
            entries.append(_rest(row.get("rest", "{}")) | shown | {"amount": _number(amount)})
    return entries


def _rest(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadRequest("limits: the form cannot be read; reload the page", "limits") from error


def _number(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def raisable(limits: LimitSet) -> list[tuple[str, str]]:
    """Return the limits of a scope that can be raised: each with its name and its words."""
    found = []
    if limits.max_budget_nanousd is not None:
        budget = Quota(Meter.USD, limits.max_budget_nanousd, duration=limits.budget_duration)
        found.append((_BUDGET, described(budget)))
    found += [(each.counter, described(each.in_force(0, 0))) for each in limits.limits]
    return found


def raise_members(
    form: Mapping[str, str], limits: LimitSet, entries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the fields of a request that raises one limit of a scope for a time.

    An increase of 0 ends its raise. `entries`: the scope's `limits` as they are printed. Raises
    BadRequest for a limit that the scope has no more.
    """
    wanted = form.get("limit", "")
    told = {
        "increase": _number(form.get("increase", "").strip() or "0"),
        "expiry": form.get("expiry", "").strip() or None,
        "periods": _number(form.get("periods", "").strip() or "null"),
    }
    if told["increase"] == 0:
        told |= {"expiry": None, "periods": None}
    elif told["periods"] is not None:
        told["expiry"] = None
    said = {name: value for name, value in told.items() if value is not None}
    if wanted == _BUDGET and limits.max_budget_nanousd is not None:
        return {f"temp_budget_{name}": value for name, value in said.items()}
    limit = next((each for each in limits.limits if each.counter == wanted), None)
    if limit is None:
        raise BadRequest("choose which limit to raise", "limit")
    entry = printed_entry(limit)
    others = [each for each in entries if "model" in each or not _is_of(each, entry)]
    raised = entry | {f"temp_{name}": value for name, value in said.items()}
    return {"limits": [*others, raised]}


def _is_of(entry: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(entry.get(name) == other.get(name) for name in ("meter", "per"))
