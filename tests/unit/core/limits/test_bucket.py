"""Token-bucket arithmetic."""

from __future__ import annotations

import pytest

from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import MAX_EXACT, Meter, Quota


def minute(amount: int) -> Quota:
    return Quota(Meter.TOKENS, amount, 60)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset_ms"),
    [
        (200_000, 199_992, 2),
        (200_000, 199_221, 233),
        (6000, 5974, 260),
        (500, 499, 120),
        (10, 0, 60_000),
    ],
)
def test_resets_are_those_of_openai(limit: int, remaining: int, reset_ms: int) -> None:
    """reset == floor_ms(60 s x (limit - remaining) / limit), as recorded exchanges with OpenAI
    show.
    """
    used = (limit - remaining) * bucket.units(60)
    assert bucket.remaining(minute(limit), used) == remaining
    assert bucket.reset_ms(minute(limit), used) == reset_ms


@pytest.mark.parametrize("seconds", [1, 60, 3600, 3601, 86_400, 100 * 366 * 86_400])
def test_the_wait_is_when_it_fits_and_not_a_tick_earlier(seconds: int) -> None:
    """wait_ms is exact, whatever the window: refused a tick before, admitted just then."""
    quota = Quota(Meter.TOKENS, 7, seconds)
    used, tick = 7 * bucket.units(seconds), bucket.tick_ms(seconds)
    wait = bucket.wait_ms(quota, used, 3)
    assert wait is not None
    assert not bucket.fits(quota, bucket.level(quota, used, 0, (wait - tick) * 1000), 0, 3)
    assert bucket.fits(quota, bucket.level(quota, used, 0, wait * 1000), 0, 3)


def test_a_call_that_may_use_more_than_the_limit_holds_all_of_it() -> None:
    """So a lone call passes an untouched bucket; a bucket of nothing lets none pass, ever."""
    assert bucket.fits(minute(7), 0, 0, 8)
    assert bucket.wait_ms(minute(7), bucket.units(60), 8) == -(-60_000 // 7)
    assert not bucket.fits(minute(0), 0, 0, 0)
    assert bucket.wait_ms(minute(0), 0, 1) is None


def test_a_clock_that_went_back_drains_nothing() -> None:
    """Time before the last write is no time."""
    assert bucket.level(minute(5), 100, at_tick=50, now_us=40_000) == 100


def test_debt_shows_as_nothing_left() -> None:
    """A bucket charged beyond its limit has 0 remaining, not less."""
    assert bucket.remaining(minute(5), 20 * bucket.units(60)) == 0


@pytest.mark.parametrize("seconds", [1, 60, 3600, 3601, 86_400, 100 * 366 * 86_400])
def test_the_largest_amount_of_a_window_is_counted_exactly(seconds: int) -> None:
    """A double holds all its units, and not many more."""
    units = bucket.most_amount(seconds) * bucket.units(seconds)
    assert MAX_EXACT - bucket.units(seconds) < units <= MAX_EXACT
