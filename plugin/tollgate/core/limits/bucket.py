"""Token buckets on integers: capacity = the limit, refill = limit per 60 s, continuous.

A bucket is what is `used` of it, so an untouched bucket is empty of use and needs no record, and a
raised limit gives room at once. The unit is 1/60,000 of a request or token: then a limit of L a
minute refills exactly L units each millisecond, and no division ever rounds. counters.lua holds the
same arithmetic; a differential test keeps the two alike.
"""

from __future__ import annotations

from tollgate.core.limits.accounts import MAX_EXACT

UNITS = 60_000
MAX_LIMIT = MAX_EXACT // UNITS
"""The largest rpm or tpm whose units are still exact in a double: about 150 thousand million a
minute.
"""


def drained(used: int, at_ms: int, now_ms: int, limit: int) -> int:
    """What is still used at `now_ms` of a bucket that had `used` at `at_ms`.

    A clock that went back drains nothing.
    """
    return max(0, used - max(0, now_ms - at_ms) * limit)


def fits(used: int, amount: int, limit: int) -> bool:
    """Whether `amount` whole tokens fit beside what is used."""
    return used + amount * UNITS <= limit * UNITS


def charged(used: int, amount: int) -> int:
    """What is used after adding `amount` tokens; a negative amount gives back, never below empty."""
    return min(MAX_EXACT, max(0, used + amount * UNITS))


def remaining(used: int, limit: int) -> int:
    """Whole tokens left; 0 while the bucket is in debt."""
    left = (limit * UNITS - used) // UNITS
    return left if left > 0 else 0


def reset_ms(used: int, limit: int) -> int:
    """Milliseconds until the bucket is as if untouched: floor(60 s x (limit - remaining) / limit),
    as OpenAI's headers count it.
    """
    if limit == 0:
        return 0
    return 60_000 * (limit - remaining(used, limit)) // limit


def wait_ms(used: int, amount: int, limit: int) -> int | None:
    """Milliseconds until `amount` tokens fit, rounded up; None if they never will."""
    if amount > limit:
        return None
    missing = used + (amount - limit) * UNITS
    return max(0, -(-missing // limit)) if limit else None
