"""Convert the values that a reply reports into whole counts.

Handles values that are no numbers, damaged, or in other units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from tollgate.core.limits.accounts import MAX_EXACT
from tollgate.core.usage.apis.api import Api, Field
from tollgate.core.usage.apis.paths import Path

DAMAGED = -1
"""A count that is present but cannot be right: negative, fractional, boolean, text, too large."""

Counts = dict[Field, int | None]
"""Counts by field. None means reported as null, which is as good as not reported."""

_NANO_PER_DOLLAR = 1_000_000_000
# https://docs.x.ai/docs/key-information/consumption-and-rate-limits: ten billion ticks are a
# dollar.
_TICKS_PER_NANO = 10
_MOST_DIGITS = 19
_SECONDS = re.compile(r"[0-9]{1,9}\.[0-9]{1,18}")
_DOLLARS = re.compile(r"\s*[0-9]{0,18}\.?[0-9]{0,40}([eE][+-]?[0-9]{1,3})?\s*")
_NO_MEMBERS: dict[str, object] = {}
# Lists of which only the presence of an item matters, not the number.
_SEARCHES = (Field.SEARCHES, Field.IMAGE_SEARCHES)
_PRESENT = (Field.GROUNDED, Field.CITED, Field.MAP_SEARCHES)


def count(field: Field, value: object) -> int | None:
    """Return a value as a count of that field; None for null, or for a cost that cannot be read."""
    if type(value) is int and 0 <= value <= MAX_EXACT and field not in OTHER_UNITS:
        return value
    if value is None:
        return None
    other = OTHER_UNITS.get(field)
    if other is None:
        return _whole(value)
    return other(value)


def count_found(field: Field, path: Path, found: Sequence[object]) -> int | None:
    """Return what a path that walks a list found as a count: the number of items, or their sum."""
    if field in _PRESENT:
        return int(any(each not in (None, "") for each in found))
    if field is Field.CODE_CONTAINERS:
        return len({each for each in found if isinstance(each, str)})
    if path.counts_items and field in _SEARCHES:
        # Google bills each query once and ignores empty ones:
        # https://ai.google.dev/gemini-api/docs/google-search
        return len({each for each in found if isinstance(each, str) and each.strip()}) or None
    if path.counts_items or field is Field.IMAGES:
        return sum(each is not None for each in found)
    counts = [each for each in (count(field, value) for value in found) if each is not None]
    if not counts:
        return None
    total = sum(counts)
    if DAMAGED in counts or total > MAX_EXACT:
        return DAMAGED
    return total


def extract(api: Api, base: object) -> Counts:
    """Return what one object reports, by the rows of an API's table.

    If several rows locate one field, the first that reports more than zero counts.
    """
    found: Counts = {}
    if not isinstance(base, dict):
        return found
    layout, nodes = api.layout, [base]
    for above, name in layout.places:
        node = nodes[above].get(name)
        nodes.append(node if isinstance(node, dict) else _NO_MEMBERS)
    for field, place, name in layout.rows:
        node = nodes[place]
        if name in node:
            add(found, field, count(field, node[name]))
    for field, place, path in layout.walks:
        if path.may_lead_on(nodes[place]) and (values := path.values_in(nodes[place])):
            add(found, field, count_found(field, path, values))
    return found


def add(found: Counts, field: Field, value: int | None) -> None:
    """Add what a row reports, unless an earlier row reported more than zero."""
    old = found.get(field)
    if old is None or (old <= 0 and value is not None and value > 0):
        found[field] = value


def merge(counts: Counts, later: Counts) -> None:
    """Merge later counts into earlier ones.

    Counts only grow: a null, zero, damaged or missing count lowers nothing.
    """
    for field, new in later.items():
        old = counts.get(field)
        if old is None or (new is not None and new > old):
            counts[field] = new


def sound_counts(counts: Mapping[Field, int | None]) -> dict[Field, int]:
    """Return the counts that are reported and plausible."""
    return {field: each for field, each in counts.items() if each is not None and each != DAMAGED}


def _whole(value: object) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    elif type(value) is str:
        value = _digits(value)
    # isinstance would accept a boolean as an integer.
    if type(value) is int and 0 <= value <= MAX_EXACT:
        return value
    return DAMAGED


def _digits(text: str) -> int:
    text = text.strip().removesuffix(".0")
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    return DAMAGED


def _seconds(value: object) -> int:
    """Return whole seconds, rounded up; fractions may also come as text."""
    if type(value) is str and _SECONDS.fullmatch(value):
        value = float(value)
    return _whole(
        float(math.ceil(value)) if type(value) is float and math.isfinite(value) else value
    )


def _nanousd(value: object) -> int | None:
    """Return dollars as nano-dollars.

    A damaged cost yields None, since the price table can replace it.
    """
    # Decimal would also take underscores and digits of other scripts.
    if type(value) not in (int, float) and not (type(value) is str and _DOLLARS.fullmatch(value)):
        return None
    try:
        # Through text: 0.0093 is meant, not the nearest binary fraction.
        nanousd = Decimal(str(value)) * _NANO_PER_DOLLAR
    except InvalidOperation:
        return None
    if not nanousd.is_finite() or not 0 <= nanousd <= MAX_EXACT:
        return None
    return int(nanousd + Decimal("0.5"))


def _ticks(value: object) -> int | None:
    ticks = _whole(value)
    if ticks == DAMAGED:
        return None
    return (ticks + _TICKS_PER_NANO // 2) // _TICKS_PER_NANO


def _flag(value: object) -> int:
    return int(value is True)


OTHER_UNITS: Mapping[Field, Callable[[object], int | None]] = {
    Field.AUDIO_SECONDS: _seconds,
    Field.COST: _nanousd,
    Field.COST_UPSTREAM: _nanousd,
    Field.COST_TICKS: _ticks,
    Field.OWN_KEY: _flag,
}
