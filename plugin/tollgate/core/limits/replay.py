"""What a limit would have done to calls that were made: the same algorithms that decide, run over
records.

A record tells what a call used, not what was estimated for it, so a call is taken to have held what
it used. Calls that were refused at the time are in no record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from msgspec import Struct

from tollgate.core.limits import bucket, period
from tollgate.core.limits.accounts import Meter, Quota
from tollgate.core.limits.algorithms import algorithm_of
from tollgate.core.limits.limit import Limit


class CallMade(Struct, frozen=True, gc=False):
    """A call of one scope: when it was admitted and had ended, and what it used of the meter."""

    admitted_us: int
    ended_us: int
    amount: int
    cost_nanousd: int


class Verdict(Struct, frozen=True):
    """What a limit would have done: of so many calls it refused some, which cost so much."""

    calls: int
    refused: int
    refused_nanousd: int = 0
    first_refused_us: int | None = None


@dataclass(slots=True)
class _Counted:
    """A limit's counter, and the calls that run: when each ends, what it holds, what it uses."""

    used: int = 0
    held: int = 0
    at: int = 0
    running: list[tuple[int, int, int, int]] = field(default_factory=list)


def replay(limit: Limit, calls: Iterable[CallMade], since_us: int) -> Verdict:
    """Return what a limit would have done to calls of one scope, in order of admission.

    `since_us`: where its periods are counted from, if they have no calendar.
    """
    counted = _Counted()
    quota = limit.in_force(since_us, since_us)
    total = refused = refused_nanousd = 0
    first_us: int | None = None
    for call in calls:
        now_us = call.admitted_us
        if quota.period.end_us and now_us >= quota.period.end_us:
            quota = limit.in_force(since_us, now_us)
        while counted.running and counted.running[0][0] <= now_us:
            _settle(quota, counted, *heappop(counted.running))
        total += 1
        if not _admit(quota, counted, call):
            refused += 1
            refused_nanousd += call.cost_nanousd
            first_us = now_us if first_us is None else first_us
    return Verdict(total, refused, refused_nanousd, first_us)


def _admit(quota: Quota, counted: _Counted, call: CallMade) -> bool:
    now_us = call.admitted_us
    _bring_up(quota, counted, now_us)
    if not algorithm_of(quota).fits(quota, counted.used, counted.held, call.amount):
        return False
    hold = call.amount
    if quota.meter is Meter.CALLS:
        counted.used += 1
    elif quota.seconds:
        hold = bucket.hold(quota, call.amount)
        counted.used = bucket.charged(quota, counted.used, hold)
    elif quota.meter is Meter.REQUESTS:
        counted.used += 1
    else:
        hold = min(hold, period.remaining(quota, counted.used, counted.held))
        counted.held += hold
    if quota.meter is not Meter.REQUESTS:
        heappush(counted.running, (call.ended_us, hold, call.amount, now_us))
    return True


def _settle(
    quota: Quota, counted: _Counted, ended_us: int, hold: int, amount: int, admitted_us: int
) -> None:
    _bring_up(quota, counted, ended_us)
    if quota.meter is Meter.CALLS:
        counted.used -= 1
    elif quota.seconds:
        counted.used = bucket.charged(quota, counted.used, amount - hold)
    else:
        counted.held -= hold
        if admitted_us >= period.period_start_us(quota.period, ended_us):
            counted.used += amount


def _bring_up(quota: Quota, counted: _Counted, now_us: int) -> None:
    if quota.seconds:
        counted.used = bucket.level(quota, counted.used, counted.at, now_us)
        counted.at = max(counted.at, now_us // 1000 // bucket.tick_ms(quota.seconds))
    elif quota.meter is not Meter.CALLS:
        counted.used, counted.at = period.entered(quota, counted.used, counted.at, now_us)
