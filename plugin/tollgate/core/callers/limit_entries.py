"""Limits in their general form, `{"meter": "usd", "amount": 5, "per": "1d", "calendar": ...}`, as
the management API and the configuration take them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Enforcement, Meter
from tollgate.core.limits.bucket import MAX_LIMIT
from tollgate.core.limits.duration import instant_after, parse_duration
from tollgate.core.limits.limit import (
    METERS,
    Bucket,
    Forever,
    InFlight,
    Limit,
    Recurring,
    Window,
    duration_of,
    largest_amount,
    window_of,
)
from tollgate.core.money.dollars import MAX_DOLLARS, dollars_of, nanousd_of

MOST_LIMITS = 16
"""Of one scope, beside those that have a field of their own: each is counted with every call."""

MOST_ALERTS, MOST_SHARE = 10, 10
"""Thresholds of one limit, and the largest of them as a share of the amount."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


MOST_WAIT_MS = 30_000
"""The longest wait for room in a limit."""

_PERCENT = re.compile(r"([1-9][0-9]?) ?%", re.ASCII)


class Entry(Protocol):
    """A limit in its general form."""

    @property
    def meter(self) -> Meter: ...
    @property
    def amount(self) -> float: ...
    @property
    def per(self) -> str | None: ...
    @property
    def calendar(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def mode(self) -> str | None: ...
    @property
    def strict(self) -> bool | None: ...
    @property
    def on_exceeded(self) -> object: ...
    @property
    def rollover(self) -> Mapping[str, float] | None: ...
    @property
    def max_wait_ms(self) -> int | None: ...
    @property
    def alert_at(self) -> tuple[float, ...] | None: ...


def limit_of_entry(entry: Entry) -> Limit:
    """Return the limit that an entry describes.

    Raises BadRequest that names the entry's field and says what would be right.
    """
    meter, per, calendar = entry.meter, entry.per, entry.calendar
    if meter is Meter.CALLS and (per is not None or calendar is not None):
        raise BadRequest("calls are those in flight: leave out 'per' and 'calendar'", "per")
    if calendar is not None:
        _check_calendar(per, calendar)
    window = window_of(meter, per, calendar)
    amount = amount_of(meter, entry.amount, window)
    rollover = _rollover(entry, window)
    return Limit(
        meter,
        amount,
        window,
        _enforcement(entry, window),
        rollover=rollover,
        alert_at=_alert_at(entry),
    )


def _rollover(entry: Entry, window: Window) -> int | None:
    if entry.rollover is None:
        return None
    if list(entry.rollover) != ["cap"]:
        raise BadRequest("rollover must be {'cap': AMOUNT}", "rollover")
    if not isinstance(window, Recurring):
        raise BadRequest(
            "only periods leave something to carry over: give 'per', and for anything but dollars a"
            " 'calendar' or months",
            "rollover",
        )
    return amount_of(entry.meter, entry.rollover["cap"], window)


def _alert_at(entry: Entry) -> tuple[int, ...]:
    shares = entry.alert_at or ()
    if len(shares) > MOST_ALERTS or not all(0.001 <= each <= MOST_SHARE for each in shares):
        raise BadRequest(
            f"alert_at must hold at most {MOST_ALERTS} shares of the amount, from 0.001 to"
            f" {MOST_SHARE}, as [0.8, 1]",
            "alert_at",
        )
    return tuple(sorted({round(each * 1000) for each in shares}))


def _enforcement(entry: Entry, window: Window) -> Enforcement:
    wait_ms = entry.max_wait_ms or 0
    if not 0 <= wait_ms <= MOST_WAIT_MS:
        raise BadRequest(f"max_wait_ms must be from 0 to {MOST_WAIT_MS}", "max_wait_ms")
    model, percent = _on_exceeded(entry, window)
    if entry.strict and not (METERS[entry.meter].tokens or entry.meter is Meter.USD):
        raise BadRequest(
            "strict is for tokens and dollars: requests and calls never exceed a limit", "strict"
        )
    if entry.strict and percent:
        raise BadRequest("a strict limit lets nothing pass when it is used up", "on_exceeded")
    return Enforcement(
        shadow=entry.mode == "shadow",
        strict=bool(entry.strict),
        fallback_model=model,
        throttle_percent=percent,
        max_wait_ms=wait_ms,
    )


def _on_exceeded(entry: Entry, window: Window) -> tuple[str | None, int]:
    """Return the model that serves in place of the limited one, and the percentage of the rate at
    which calls pass.
    """
    wanted = entry.on_exceeded
    if wanted is None or wanted == "refuse":
        return None, 0
    if isinstance(wanted, Mapping) and len(wanted) == 1:
        ((name, value),) = wanted.items()
        if name == "model" and isinstance(value, str) and value:
            return _fallback(entry, value), 0
        if name == "throttle" and isinstance(value, str):
            return None, _throttle(value, window)
    raise BadRequest(
        "on_exceeded must be refuse, {'model': NAME} or {'throttle': PERCENTAGE}, such as"
        " {'throttle': '10%'}",
        "on_exceeded",
    )


def _fallback(entry: Entry, model: str) -> str:
    if entry.model is None:
        raise BadRequest(
            "a limit of all models refuses the other model as well: give the limit a 'model', whose"
            " calls the other one serves",
            "on_exceeded",
        )
    if entry.model == model:
        raise BadRequest("on_exceeded must name another model than the limit's", "on_exceeded")
    return model


def _throttle(text: str, window: Window) -> int:
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise BadRequest("throttle must be a whole percentage from 1% to 99%", "on_exceeded")
    if isinstance(window, Forever | InFlight):
        raise BadRequest("a limit without 'per' has no rate to throttle to", "on_exceeded")
    return int(match[1])


def expiry_of(text: str, now_us: int) -> int:
    """Return the moment that a text names: an ISO 8601 date or time, or a duration from now on.

    Without a time zone it is UTC. Raises BadRequest.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    try:
        return instant_after(parse_duration(text), now_us)
    except BadRequest as error:
        raise BadRequest(
            f"{text!r} is no moment; right is a duration such as 1d, or a time such as"
            " 2026-12-31T18:00:00Z"
        ) from error


def find_contradiction(said: Iterable[tuple[Limit, str]]) -> str | None:
    """Return a sentence about two amounts for one counter; None if there are none.

    `said`: each limit with the field that says it. One counter holds one amount, so the other,
    perhaps the stricter one, would be lost.
    """
    known: dict[str, tuple[Limit, str]] = {}
    for limit, field in said:
        other, first = known.setdefault(limit.counter, (limit, field))
        if (other.amount, other.window) != (limit.amount, limit.window):
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


def amount_of(meter: Meter, amount: float, window: Window) -> int:
    """Return an amount of a limit as it is counted. Raises BadRequest that says what is right."""
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
    if limit.rollover is not None:
        cap = limit.rollover
        found["rollover"] = {"cap": dollars_of(cap) if limit.meter is Meter.USD else cap}
    if limit.alert_at:
        found["alert_at"] = [each / 1000 for each in limit.alert_at]
    return found | printed_enforcement(limit.enforcement)


def printed_enforcement(enforcement: Enforcement) -> dict[str, object]:
    """Return the fields of an entry that say more than that calls are refused."""
    found: dict[str, object] = {}
    if enforcement.shadow:
        found["mode"] = "shadow"
    if enforcement.strict:
        found["strict"] = True
    if (instead := on_exceeded(enforcement)) is not None:
        found["on_exceeded"] = instead
    if enforcement.max_wait_ms:
        found["max_wait_ms"] = enforcement.max_wait_ms
    return found


def on_exceeded(enforcement: Enforcement) -> dict[str, str] | None:
    """Return what a limit does instead of a refusal, as an entry says it; None: it refuses."""
    if enforcement.fallback_model is not None:
        return {"model": enforcement.fallback_model}
    if enforcement.throttle_percent:
        return {"throttle": f"{enforcement.throttle_percent}%"}
    return None
