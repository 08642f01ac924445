"""Durations and budget periods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import FOREVER, Period
from tollgate.core.limits.duration import Duration, instant_after, parse_duration, period_at


def us(text: str, zone: str = "UTC") -> int:
    """An instant, from wall-clock time in a zone."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", Duration(30, "s")),
        ("30m", Duration(30, "m")),
        ("30h", Duration(30, "h")),
        ("30d", Duration(30, "d")),
        ("1w", Duration(1, "w")),
        ("1mo", Duration(1, "mo")),
        ("hourly", Duration(1, "h")),
        ("daily", Duration(1, "d")),
        ("weekly", Duration(1, "w")),
        ("monthly", Duration(1, "mo")),
    ],
)
def test_the_forms_of_the_page_are_durations(text: str, expected: Duration) -> None:
    """The page's forms and LiteLLM's words are read."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "0d",
        "-1",
        "-1d",
        "10 d",
        "1.5h",
        "30D",
        "1y",
        "1month",
        "1d12h",
        "٣d",
        " 1d",
        "1d\n",
        "99999999999s",
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    """A text that is not exactly a duration is a BadRequest that names it and shows right ones."""
    with pytest.raises(BadRequest, match="30s, 30m, 30h, 30d, 1w, 1mo") as refusal:
        parse_duration(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize("text", ["36601d", "1201mo", "9999999999w"])
def test_more_than_a_century_is_refused(text: str) -> None:
    """Nothing is accepted that the calendar cannot hold."""
    with pytest.raises(BadRequest, match="100 years"):
        parse_duration(text)


def test_without_a_duration_there_is_one_period_that_never_ends() -> None:
    """No duration: never reset."""
    assert period_at(None, us("2026-01-01"), us("2026-11-23")) == FOREVER


def test_rolling_periods_are_exactly_as_long_as_they_say() -> None:
    """The page's 30h is thirty hours from creation, not the next full hour."""
    created = us("2026-11-23T10:17:31")
    assert period_at("30h", created, created + 5) == Period(
        us("2026-11-22T04:17:31"), created, us("2026-11-24T16:17:31")
    )


def test_a_period_begins_at_its_first_microsecond_and_ends_before_the_next() -> None:
    """Resets are exact: the last microsecond of a period belongs to it, the next one does not."""
    created = us("2026-11-23")
    end = created + 30 * 1_000_000
    assert period_at("30s", created, end - 1).end_us == end
    assert period_at("30s", created, end).start_us == end


def test_an_instant_before_creation_falls_in_the_period_before() -> None:
    """A clock that lags behind the one that created the entity still gets a period around its
    instant.
    """
    created = us("2026-11-23T10:00:00")
    assert period_at("1h", created, created - 1).end_us == created


def test_a_rolling_month_ends_at_the_same_day_and_time() -> None:
    """One month from the 15th is the 15th."""
    created = us("2026-01-15T08:30:00")
    assert period_at("1mo", created, us("2026-03-15T08:29:59")) == Period(
        us("2026-01-15T08:30:00"), us("2026-02-15T08:30:00"), us("2026-03-15T08:30:00")
    )


def test_a_rolling_month_from_the_31st_is_clamped_and_comes_back() -> None:
    """The last day of a short month stands for the 31st, which returns in the next long month."""
    created = us("2026-01-31T12:00:00")
    assert period_at("1mo", created, us("2026-03-01")) == Period(
        us("2026-01-31T12:00:00"), us("2026-02-28T12:00:00"), us("2026-03-31T12:00:00")
    )


def test_several_months_make_one_period() -> None:
    """A quarter is three months from creation."""
    period = period_at("3mo", us("2026-01-10"), us("2026-07-01"))
    assert (period.start_us, period.end_us) == (us("2026-04-10"), us("2026-07-10"))


def test_calendar_days_begin_at_local_midnight() -> None:
    """A calendar day in Tokyo begins at Tokyo's midnight."""
    now = us("2026-11-23T01:00:00", "Asia/Tokyo")
    assert period_at("1d", us("2026-11-01"), now, "Asia/Tokyo") == Period(
        us("2026-11-22", "Asia/Tokyo"),
        us("2026-11-23", "Asia/Tokyo"),
        us("2026-11-24", "Asia/Tokyo"),
    )


def test_a_calendar_day_in_which_clocks_change_is_25_hours_long() -> None:
    """Berlin's 25 October 2026 ends at its own midnight, 25 hours after it began."""
    period = period_at(
        "1d", us("2026-10-01"), us("2026-10-25T12:00:00", "Europe/Berlin"), "Europe/Berlin"
    )
    assert period.end_us - period.start_us == 25 * 3600 * 1_000_000


def test_calendar_weeks_begin_on_monday() -> None:
    """ISO weeks: Monday to Sunday."""
    period = period_at("1w", us("2026-11-18"), us("2026-11-29T23:59:59"), "UTC")
    assert (period.start_us, period.end_us) == (us("2026-11-23"), us("2026-11-30"))


def test_calendar_months_begin_on_the_first() -> None:
    """A calendar month is the month, whatever day the entity was created on."""
    period = period_at("monthly", us("2026-01-31T12:00:00"), us("2026-02-28T12:00:00"), "UTC")
    assert (period.start_us, period.end_us) == (us("2026-02-01"), us("2026-03-01"))


def test_calendar_hours_begin_at_the_full_hour() -> None:
    """An hour aligned to the calendar begins at minute zero."""
    period = period_at("1h", us("2026-11-23T10:17:31"), us("2026-11-23T12:59:59"), "UTC")
    assert (period.start_us, period.end_us) == (
        us("2026-11-23T12:00:00"),
        us("2026-11-23T13:00:00"),
    )


@pytest.mark.parametrize("duration", ["7s", "1d", "3d", "1w", "1mo", "5mo"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/Sao_Paulo", "Asia/Beirut"])
def test_periods_follow_each_other_without_gap_or_overlap(duration: str, zone: str | None) -> None:
    """The end of a period is the start of the next, whose previous is the first, through years of
    clock changes.
    """
    created = us("2017-08-31T23:30:00")
    period = period_at(duration, created, created, zone)
    for _ in range(150):
        following = period_at(duration, created, period.end_us, zone)
        assert (following.previous_us, following.start_us) == (period.start_us, period.end_us)
        assert period_at(duration, created, period.end_us - 1, zone) == period
        period = following


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", "2026-01-31T00:01:30"), ("1w", "2026-02-07"), ("1mo", "2026-02-28")],
)
def test_an_instant_after_a_duration(text: str, expected: str) -> None:
    """A key's lifetime is counted exactly, months to the same day or the month's last."""
    assert instant_after(parse_duration(text), us("2026-01-31")) == us(expected)
