"""Counters of a period: which one the store counts in, and what is left of its limit.

What is used is settled; what calls in flight hold stands beside it. The scripts of the store hold
the same arithmetic; a differential test compares them.
"""

# Every algorithm is asked alike (see algorithms.py), whether it needs all that it is told or not.
# ruff: noqa: ARG001

from __future__ import annotations

from tollgate.core.limits.accounts import MAX_EXACT, Period, Quota


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
    return entered(quota, used, start_us, now_us)[0]


def entered(quota: Quota, used: int, start_us: int, now_us: int) -> tuple[int, int]:
    """Return what is used as of now of a limit with a counter of its own, and where its period
    began.

    What is carried over from the periods before is used negatively.
    """
    now_used, began_us = current(used, start_us, quota.period, now_us)
    if began_us == start_us or not start_us or quota.rollover is None:
        return now_used, began_us
    return -carried(quota, used, start_us, began_us), began_us


def carried(quota: Quota, used: int, before_us: int, start_us: int) -> int:
    """Return what is carried over to the period that begins at `start_us`: all that was left of
    each period since the one that began at `before_us`, at most the limit's cap.

    Overspend is not carried over. Periods are taken to be as long as the present one.
    """
    assert quota.rollover is not None
    length = quota.period.end_us - quota.period.start_us
    periods = max(1, (start_us - before_us + length // 2) // length)
    left = max(0, quota.amount - used) + (periods - 1) * quota.amount
    return min(quota.rollover, left)


def fits(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether a call may pass: while anything is left, since it holds no more than that. All that
    it asks for has to fit a strict limit.
    """
    if quota.counts_on:
        return True
    if quota.enforcement.holds_worst_case:
        return used + held < quota.amount and used + held + asked <= quota.amount
    return used + held < quota.amount


def fits_settled(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether it would pass if calls in flight gave back all that they hold."""
    return fits(quota, used, 0, asked)


def remaining(quota: Quota, used: int, held: int) -> int:
    """Return what is neither used nor held; 0 when there is nothing left."""
    if quota.counts_on:
        return MAX_EXACT
    return max(0, quota.amount - used - held)


def wait_ms(quota: Quota, used: int, asked: int, now_us: int) -> int | None:
    """Return the milliseconds until the next period, rounded up; None if there is none."""
    if quota.period.end_us == 0:
        return None
    return max(0, -(-(quota.period.end_us - now_us) // 1000))
