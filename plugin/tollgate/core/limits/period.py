"""Budgets: what is left of one, and which period the store counts in. counters.lua holds the twin;
a differential test keeps them alike.
"""

from __future__ import annotations

from tollgate.core.limits.accounts import Balance, Period


def period_start_us(period: Period, now_us: int) -> int:
    """Where the period around the store's clock began.

    The worker names the periods around its own clock; the store's may be on the other side of a
    boundary, so the one before and those after are told from the same three numbers. 0: there are
    no periods.
    """
    if period.end_us == 0:
        return 0
    if now_us < period.start_us:
        return period.previous_us
    if now_us < period.end_us:
        return period.start_us
    length = period.end_us - period.start_us
    return period.end_us + (now_us - period.end_us) // length * length


def current(
    used_nanousd: int, stored_start_us: int, period: Period, now_us: int
) -> tuple[int, int]:
    """What is used as of now, and where its period began: a new one starts with nothing used.

    Holds stay, since their calls still run.

    Periods only move forward: a clock that goes back does not give a spent budget back.
    """
    start = period_start_us(period, now_us)
    return (0, start) if start > stored_start_us else (used_nanousd, stored_start_us)


def remaining_nanousd(balance: Balance, limit_nanousd: int) -> int:
    """What is neither spent nor held; 0 when there is nothing left."""
    return max(0, limit_nanousd - balance.used_nanousd - balance.held_nanousd)
