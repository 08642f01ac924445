"""Limits in their general form, `{"meter": "usd", "amount": 5, "per": "1d", "calendar": ...}`, as
the management API and the configuration take them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.bucket import MAX_LIMIT
from tollgate.core.limits.limit import (
    METERS,
    Bucket,
    Forever,
    InFlight,
    Limit,
    Recurring,
    duration_of,
    largest_amount,
    window_of,
)
from tollgate.core.money.dollars import MAX_DOLLARS, dollars_of, nanousd_of

MOST_LIMITS = 16
"""Of one scope, beside those that have a field of their own: each is counted with every call."""


def limit_of_entry(
    meter: Meter, amount: float, per: str | None = None, calendar: str | None = None
) -> Limit:
    """Return the limit that an entry describes.

    Raises BadRequest that names the entry's field and says what would be right.
    """
    if meter is Meter.CALLS and (per is not None or calendar is not None):
        raise BadRequest("calls are those in flight: leave out 'per' and 'calendar'", "per")
    if calendar is not None:
        _check_calendar(per, calendar)
    window = window_of(meter, per, calendar)
    return Limit(meter, _amount(meter, amount, window), window)


def find_contradiction(said: Iterable[tuple[Limit, str]]) -> str | None:
    """Return a sentence about two amounts for one counter; None if there are none.

    `said`: each limit with the field that says it. One counter holds one amount, so the other,
    perhaps the stricter one, would be lost.
    """
    known: dict[str, tuple[Limit, str]] = {}
    for limit, field in said:
        other, first = known.setdefault(limit.counter, (limit, field))
        if other != limit:
            noun = METERS[limit.meter].noun
            return f"{first} and {field} limit the {noun} of one window differently"
    return None


def _check_calendar(per: str | None, calendar: str) -> None:
    if per is None:
        raise BadRequest("a 'calendar' needs a 'per', such as 1d or 1mo", "per")
    try:
        ZoneInfo(calendar)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadRequest(
            f"{calendar!r} is no time zone; right is a name such as UTC or Europe/Berlin",
            "calendar",
        ) from error


def _amount(meter: Meter, amount: float, window: Bucket | Recurring | Forever | InFlight) -> int:
    if meter is Meter.USD:
        if not math.isfinite(amount) or not 0 <= amount <= MAX_DOLLARS:
            raise BadRequest(
                f"an amount of usd must be a number of dollars from 0 to {MAX_DOLLARS}", "amount"
            )
        # The shortest text of a float is what its sender wrote.
        return nanousd_of(Decimal(str(amount)))
    most = MAX_LIMIT if isinstance(window, InFlight) else largest_amount(window)
    if not math.isfinite(amount) or amount % 1 or not 0 <= amount <= most:
        raise BadRequest(
            f"an amount of {meter.value} must be a whole number from 0 to {most}", "amount"
        )
    return int(amount)


def printed_entry(limit: Limit) -> dict[str, object]:
    """Return a limit in its general form."""
    amount = dollars_of(limit.amount) if limit.meter is Meter.USD else limit.amount
    found: dict[str, object] = {"meter": limit.meter.value, "amount": amount}
    match limit.window:
        case Bucket(seconds=seconds):
            found["per"] = duration_of(seconds)
        case Recurring(duration=duration, calendar=calendar):
            found["per"] = duration
            if calendar is not None:
                found["calendar"] = calendar
    return found
