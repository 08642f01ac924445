"""Counters of a period: which one the store counts in, and what is left of its limit.

What is used is settled; what calls in flight hold stands beside it. The scripts of the store hold
the same arithmetic; a differential test compares them.
"""

# Every algorithm is asked alike (see algorithms.py), whether it needs all that it is told or not.
# ruff: noqa: ARG001

from __future__ import annotations

from tollgate.core.limits.accounts import Period, Quota


def period_start_us(period: Period, now_us: int) -> int:
    """Return where the period around the store's clock began; 0: there are no periods.

    A worker names the periods around its own clock. The store's may be on the other side of a
    boundary, so the period before and those after are told from the same three numbers.
    """
    if period.end_us == 0:
        return 0
    if now_us < period.start_us:
        return period.previous_us
    if now_us < period.end_us:
        return period.start_us
    length = period.end_us - period.start_us
    return period.end_us + (now_us - period.end_us) // length * length


def current(used: int, stored_start_us: int, period: Period, now_us: int) -> tuple[int, int]:
    """Return what is used as of now, and where its period began: a new one starts with nothing
    used.

    Holds stay, since their calls still run. Periods only move forward: a clock that goes back does
    not give a spent budget back.
    """
    start = period_start_us(period, now_us)
    if start > stored_start_us:
        return (0, start)
    return (used, stored_start_us)


def level(quota: Quota, used: int, start_us: int, now_us: int) -> int:
    """Return what is used now of a counter that had `used` in the period that
    began at `start_us`.
    """
    return current(used, start_us, quota.period, now_us)[0]


def fits(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether a call may pass: while anything is left, since it holds no more than that."""
    return used + held < quota.amount


def fits_settled(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether it would pass if calls in flight gave back all that they hold."""
    return used < quota.amount


def remaining(quota: Quota, used: int, held: int) -> int:
    """Return what is neither used nor held; 0 when there is nothing left."""
    return max(0, quota.amount - used - held)


def wait_ms(quota: Quota, used: int, asked: int, now_us: int) -> int | None:
    """Return the milliseconds until the next period, rounded up; None if there is none."""
    if quota.period.end_us == 0:
        return None
    return max(0, -(-(quota.period.end_us - now_us) // 1000))
