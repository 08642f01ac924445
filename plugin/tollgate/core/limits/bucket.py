"""Token buckets on integers: the capacity is the limit's amount, and it refills continuously in the
limit's seconds.

A bucket stores what is used, so an untouched one needs no record and a raised limit gives room at
once. Time passes in ticks: milliseconds for windows up to an hour, seconds for longer ones. The
unit is one part of an amount by the ticks of its window, so an amount of L refills exactly L units
a tick and no division rounds. What is held is part of what is used, in whole amounts. The scripts
of the store hold the same arithmetic; a differential test compares them.
"""

# Every algorithm is asked alike (see algorithms.py), whether it needs all that it is told or not.
# ruff: noqa: ARG001

from __future__ import annotations

from functools import lru_cache

from tollgate.core.limits.accounts import MAX_EXACT, Quota

_LONGEST_OF_MILLISECONDS = 3600


@lru_cache(maxsize=1024)
def tick_ms(seconds: int) -> int:
    """Return how long a tick of a window of so many seconds is."""
    if seconds <= _LONGEST_OF_MILLISECONDS:
        return 1
    return 1000


@lru_cache(maxsize=1024)
def units(seconds: int) -> int:
    """Return the units in an amount of one: the ticks of the window."""
    return seconds * 1000 // tick_ms(seconds)


def most_amount(seconds: int) -> int:
    """Return the largest amount whose units are exact in a double, as the scripts count."""
    return MAX_EXACT // units(seconds)


def level(quota: Quota, used: int, at_tick: int, now_us: int) -> int:
    """Return the units still used of a bucket that had `used` at a tick.

    A clock that went back drains nothing.
    """
    return drained(used, now_us // (tick_ms(quota.seconds) * 1000) - at_tick, quota.amount)


def drained(used: int, ticks: int, amount: int) -> int:
    """Return what is left of used units after so many ticks."""
    return max(0, used - max(0, ticks) * amount)


def hold(quota: Quota, asked: int) -> int:
    """Return what a call sets aside that may use `asked`: at most the capacity, so a lone call
    passes an untouched bucket however small it is, unless the limit is strict.
    """
    if quota.enforcement.holds_worst_case:
        return max(1, asked)
    return max(1, min(asked, quota.amount))


def fits(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether the hold of a call fits beside what is used."""
    size = units(quota.seconds)
    return used + hold(quota, asked) * size <= quota.amount * size


def fits_settled(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether it would fit if calls in flight gave back all that they hold."""
    return fits(quota, max(0, used - held * units(quota.seconds)), 0, asked)


def charged(quota: Quota, used: int, amount: int) -> int:
    """Return what is used after adding an amount; a negative one gives back, never below empty."""
    return min(MAX_EXACT, max(0, used + amount * units(quota.seconds)))


def remaining(quota: Quota, used: int, held: int = 0) -> int:
    """Return the whole amounts left; 0 while the bucket is in debt."""
    size = units(quota.seconds)
    left = (quota.amount * size - used) // size
    if left <= 0:
        return 0
    return left


def reset_ms(quota: Quota, used: int) -> int:
    """Return the milliseconds until the bucket is as if untouched, as OpenAI's headers count it:
    floor(window x (amount - remaining) / amount).
    """
    if quota.amount == 0:
        return 0
    return quota.seconds * 1000 * (quota.amount - remaining(quota, used)) // quota.amount


def wait_ms(quota: Quota, used: int, asked: int, now_us: int = 0) -> int | None:
    """Return the milliseconds until the hold of a call fits, rounded up; None if it never will."""
    wanted, amount = hold(quota, asked), quota.amount
    if wanted > amount:
        return None
    missing = used + (wanted - amount) * units(quota.seconds)
    return max(0, -(-missing // amount)) * tick_ms(quota.seconds)


MAX_LIMIT = most_amount(60)
"""The largest amount a minute, and of calls in flight: about 150 thousand million."""
