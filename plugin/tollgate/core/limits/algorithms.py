"""Which algorithm counts a limit in force. All of them share their verbs."""

from __future__ import annotations

from typing import Protocol

from tollgate.core.limits import bucket, lease, period, shared_bucket
from tollgate.core.limits.accounts import Meter, Quota


class Algorithm(Protocol):
    """What can be asked of a limit, given what is used of it and what of that is held."""

    def fits(self, quota: Quota, used: int, held: int, asked: int) -> bool: ...
    def fits_settled(self, quota: Quota, used: int, held: int, asked: int) -> bool: ...
    def remaining(self, quota: Quota, used: int, held: int) -> int: ...
    def wait_ms(self, quota: Quota, used: int, asked: int, now_us: int) -> int | None: ...


def settled_and_held(quota: Quota, used: int, held: int) -> tuple[int, int]:
    """Return what is settled of a limit, and what calls in flight hold beside it, in whole units.

    `used`, `held`: as its algorithm counts them. Part of a unit of a bucket counts as one.
    """
    if quota.seconds:
        # What is held is part of what is used, and drains with it.
        whole = max(0, -(-used // bucket.units(quota.seconds)))
        held = min(held, whole)
        return whole - held, held
    if quota.meter is Meter.CALLS:
        return 0, used
    return used, held


def algorithm_of(quota: Quota) -> Algorithm:
    """Return the module that counts a limit: a bucket or a share of one, a period's counter, or
    leases.
    """
    if quota.seconds:
        return bucket if quota.share is None else shared_bucket
    if quota.meter is Meter.CALLS:
        return lease
    return period
