"""Token-bucket arithmetic."""

from __future__ import annotations

import pytest

from tollgate.core.limits import bucket


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
    used = (limit - remaining) * bucket.UNITS
    assert bucket.remaining(used, limit) == remaining
    assert bucket.reset_ms(used, limit) == reset_ms


def test_the_wait_is_when_it_fits_and_not_a_millisecond_earlier() -> None:
    """wait_ms is exact: refused just before, admitted just then."""
    used, limit = 7 * bucket.UNITS, 7
    wait = bucket.wait_ms(used, 3, limit)
    assert wait is not None
    assert not bucket.fits(bucket.drained(used, 0, wait - 1, limit), 3, limit)
    assert bucket.fits(bucket.drained(used, 0, wait, limit), 3, limit)


def test_what_exceeds_the_limit_never_fits() -> None:
    """No wait helps a request larger than the bucket, or a bucket of nothing."""
    assert bucket.wait_ms(0, 8, 7) is None
    assert bucket.wait_ms(0, 1, 0) is None


def test_a_clock_that_went_back_drains_nothing() -> None:
    """Time before the last write is no time."""
    assert bucket.drained(100, at_ms=50, now_ms=40, limit=5) == 100


def test_debt_shows_as_nothing_left() -> None:
    """A bucket charged beyond its limit has 0 remaining, not less."""
    assert bucket.remaining(20 * bucket.UNITS, 5) == 0
