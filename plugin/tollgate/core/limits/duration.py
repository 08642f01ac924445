"""Durations as people write them, and the budget period that an instant falls in.

Pure calendar arithmetic: the time comes in.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import FOREVER, Period

RIGHT = (
    "a whole number above 0 and one of s, m, h, d, w, mo (such as 30s, 30m, 30h, 30d, 1w, 1mo), or"
    " hourly, daily, weekly, monthly"
)

# LiteLLM's words for common periods (its documentation: "budget_duration").
_WORDS = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1mo"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_GRAMMAR = re.compile(r"([1-9][0-9]{0,9})(mo|[smhdw])", re.ASCII)
# A century: far beyond any budget, and near enough that no calendar arithmetic leaves the years
# that Python knows.
_MOST_SECONDS = 100 * 366 * 86_400
_MOST_MONTHS = 100 * 12
_SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Duration:
    """So many of a unit: `s m h d w` are exactly as long as they say, `mo` is until the same day of
    a later month.
    """

    count: int
    unit: str

    @property
    def length_us(self) -> int:
        """How long it is; a month has no length of its own, and counts as 30 days."""
        return self.count * _SECONDS.get(self.unit, 30 * 86_400) * _SECOND_US


# The same few texts come with every request; the bound is for texts that callers make up.
@lru_cache(maxsize=1024)
def parse_duration(text: str) -> Duration:
    """Read `30d` and the like. Raises BadRequest, saying what would be right."""
    match = _GRAMMAR.fullmatch(_WORDS.get(text, text))
    if match is None:
        raise BadRequest(f"{text!r} is not a duration; right is {RIGHT}")
    duration = Duration(int(match[1]), match[2])
    if duration.unit == "mo":
        too_long = duration.count > _MOST_MONTHS
    else:
        too_long = duration.length_us > _MOST_SECONDS * _SECOND_US
    if too_long:
        raise BadRequest(f"{text!r} is too long a duration; the longest is 100 years")
    return duration


def instant_after(duration: Duration, start_us: int) -> int:
    """The instant that lies this long after another, in microseconds."""
    if duration.unit == "mo":
        return _micros(_plus_months(_moment(start_us, UTC), duration.count))
    return start_us + duration.length_us


def period_at(
    duration: str | None, since_us: int, now_us: int, calendar_timezone: str | None = None
) -> Period:
    """The budget period around `now_us`.

    Rolling periods are counted from `since_us` and last exactly as long as they say; a month ends
    at the same day and time of the next one, or on its last day. With a time zone (an IANA name),
    days begin at its midnight, weeks on its Monday, months on its first; shorter units begin at
    whole ones of UTC. None: one period that never ends.
    """
    if duration is None:
        return FOREVER
    parsed = parse_duration(duration)
    if parsed.unit in "smh" or (calendar_timezone is None and parsed.unit != "mo"):
        return _exact_period(parsed, since_us, now_us, aligned=calendar_timezone is not None)
    zone = UTC if calendar_timezone is None else ZoneInfo(calendar_timezone)
    first = _moment(since_us, zone)
    if calendar_timezone is not None:
        first = _begin(first, parsed.unit)
    return _stepped_period(first, parsed, now_us)


def _exact_period(duration: Duration, since_us: int, now_us: int, *, aligned: bool) -> Period:
    length_us = duration.length_us
    if aligned:
        since_us -= since_us % (_SECONDS[duration.unit] * _SECOND_US)
    start_us = now_us - (now_us - since_us) % length_us
    return Period(start_us - length_us, start_us, start_us + length_us)


def _stepped_period(first: datetime, duration: Duration, now_us: int) -> Period:
    """Periods whose length depends on the calendar: a good guess, then steps to the one that holds
    the instant.
    """
    now = _moment(now_us, first.tzinfo)
    if duration.unit == "mo":
        apart = (now.year - first.year) * 12 + now.month - first.month
    else:
        apart = (now.date() - first.date()).days // (_SECONDS[duration.unit] // 86_400)
    index = apart // duration.count
    # A month's guess is one too many before the day of the month has come; a clock set back at
    # midnight may need one more.
    while _step(first, duration, index) > now_us:
        index -= 1
    while _step(first, duration, index + 1) <= now_us:
        index += 1
    return Period(*(_step(first, duration, each) for each in (index - 1, index, index + 1)))


def _step(first: datetime, duration: Duration, index: int) -> int:
    """When the period of that number begins.

    Counted from the first, so that the 31st stays the 31st after February.
    """
    count = index * duration.count
    if duration.unit == "mo":
        return _micros(_plus_months(first, count))
    # Wall-clock addition: a day in which the clocks change is 23 or 25 hours long.
    return _micros(first + timedelta(days=count * (_SECONDS[duration.unit] // 86_400)))


def _begin(moment: datetime, unit: str) -> datetime:
    day = date(moment.year, moment.month, 1 if unit == "mo" else moment.day)
    if unit == "w":
        day -= timedelta(days=day.weekday())
    return datetime(day.year, day.month, day.day, tzinfo=moment.tzinfo)


def _plus_months(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(
        year=years, month=month + 1, day=min(moment.day, monthrange(years, month + 1)[1]), fold=0
    )


def _moment(instant_us: int, zone: tzinfo | None) -> datetime:
    return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(zone)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
