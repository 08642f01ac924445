"""Leases of calls in flight: each holds one place until it is settled, or gives no sign of life.

What is used is the number of calls in flight; all of it is held.
"""

# Every algorithm is asked alike (see algorithms.py), whether it needs all that it is told or not.
# ruff: noqa: ARG001

from __future__ import annotations

from tollgate.core.limits.accounts import Quota


def fits(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether there is a place for one call more."""
    return used < quota.amount


def fits_settled(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether there would be one if no other call ran."""
    return quota.amount > 0


def remaining(quota: Quota, used: int, held: int) -> int:
    """Return the free places."""
    return max(0, quota.amount - used)


def wait_ms(quota: Quota, used: int, asked: int, now_us: int) -> int | None:
    """Nobody knows when a call ends, so time alone frees no place: None."""
    return None
