"""Raises of limits for a time: how long they are for, in any of their spellings."""

from __future__ import annotations

from tollgate.core.callers.limit_entries import expiry_of
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Period

_MOST_PERIODS = 1200
NO_PERIODS = "a limit without periods is raised until a moment, such as 1d"


def check_raise(
    prefix: str, increase: float | None, expiry: str | None, periods: int | None
) -> None:
    """Check how long a raise is for. Raises BadRequest that says what would be right."""
    if not increase:
        if expiry is not None or periods is not None:
            raise BadRequest(
                f"{prefix}_expiry and {prefix}_periods need a {prefix}_increase above 0",
                f"{prefix}_increase",
            )
    elif (expiry is None) == (periods is None):
        raise BadRequest(
            f"a {prefix}_increase needs one of {prefix}_expiry (such as 1d, or"
            f" 2026-12-31T18:00:00Z) and {prefix}_periods (a number of periods)",
            f"{prefix}_expiry",
        )
    elif expiry is not None:
        expiry_of(expiry, 0)
    elif periods is not None and not 1 <= periods <= _MOST_PERIODS:
        raise BadRequest(f"{prefix}_periods must be from 1 to {_MOST_PERIODS}", f"{prefix}_periods")


def raise_ends_us(expiry: str | None, periods: int | None, period: Period, now_us: int) -> int:
    """Return when a raise ends.

    `period`: the one of the limit that is open. Raises BadRequest for a number of periods of a
    limit that has none.
    """
    if expiry is not None:
        return expiry_of(expiry, now_us)
    if not period.end_us:
        raise BadRequest(NO_PERIODS)
    # The open period is the first; those that follow are taken to be as long.
    return period.end_us + ((periods or 1) - 1) * (period.end_us - period.start_us)
