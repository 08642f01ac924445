"""A caller's share of a token bucket (shares.py): the limit behind the whole one, in the same
account.

What is used of it is told as one number, so that it can be asked like a bucket: the share's
`capacity` without the room that there is for the caller, be it common or the caller's own. It is
negative while there is more common room than the share has. The scripts of the store hold the same
arithmetic; a differential test compares them.
"""

# Every algorithm is asked alike (see algorithms.py), whether it needs all that it is told or not.
# ruff: noqa: ARG001

from __future__ import annotations

from typing import NamedTuple

from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import Quota
from tollgate.core.limits.shares import Share


class Filled(NamedTuple):
    """What is used of a bucket, in units, and what of that is held, in whole amounts."""

    used: int
    held: int


def share_of(quota: Quota) -> Share:
    """Return the share that a limit in force is."""
    assert quota.share is not None
    return quota.share


def capacity(quota: Quota) -> int:
    """Return the units that the caller has a claim to: the share's reserve, or all that is common
    where the caller has no share.
    """
    share = share_of(quota)
    return share.reserve if share.amount else share.common


def is_own_share(quota: Quota) -> bool:
    """Return whether a limit is what a caller has of one that is divided."""
    return quota.share is not None and quota.share.amount > 0


def at_once(quota: Quota) -> int:
    """Return the whole amounts of `capacity`."""
    return capacity(quota) // bucket.units(quota.seconds)


def used_amount(quota: Quota, used: int) -> int:
    """Return the whole amounts that are used of `capacity`, rounded up."""
    return max(0, -(-used // bucket.units(quota.seconds)))


def rate(quota: Quota) -> int:
    """Return what refills of it in a window."""
    return share_of(quota).amount or quota.amount


def own_level(quota: Quota, used: int, at_tick: int, now_us: int) -> int:
    """Return the units still used of the share's reserve that had `used` at a tick."""
    tick = now_us // (bucket.tick_ms(quota.seconds) * 1000)
    return bucket.drained(used, tick - at_tick, share_of(quota).amount)


def level(quota: Quota, whole: Filled, own: Filled) -> Filled:
    """Return what is used of a share, and held: of the whole limit's bucket and of the share's
    reserve, as they are now.
    """
    size = bucket.units(quota.seconds)
    room = _room(quota, whole.used, own.used)
    settled = _room(quota, whole.used - whole.held * size, own.used - own.held * size)
    return Filled(capacity(quota) - room, (settled - room) // size)


def _room(quota: Quota, whole_used: int, own_used: int) -> int:
    """Return the units that the caller may take. A call that finds nothing used of the whole limit
    passes, as it would a bucket that is not shared.
    """
    if whole_used <= 0:
        return quota.amount * bucket.units(quota.seconds)
    share = share_of(quota)
    return max(share.common - whole_used, share.reserve - own_used)


def charged(quota: Quota, own_used: int, amount: int) -> int:
    """Return what is used of the reserve after a call that takes an amount: never more than all of
    it, since the rest was common.
    """
    asked = amount * bucket.units(quota.seconds)
    return max(own_used, min(share_of(quota).reserve, own_used + asked))


def corrected(quota: Quota, own_used: int, amount: int) -> int:
    """Return what is used of the reserve after a call used so much more than it held, or less.

    Without a share nothing is counted, since nothing would drain it.
    """
    return bucket.charged(quota, own_used, amount) if share_of(quota).amount else 0


def fits(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether there is room for the hold of a call."""
    size = bucket.units(quota.seconds)
    return used + bucket.hold(quota, asked) * size <= capacity(quota)


def fits_settled(quota: Quota, used: int, held: int, asked: int) -> bool:
    """Whether there would be if calls in flight gave back all that they hold."""
    return fits(quota, used - held * bucket.units(quota.seconds), 0, asked)


def remaining(quota: Quota, used: int, held: int = 0) -> int:
    """Return the whole amounts that the caller may take."""
    return max(0, capacity(quota) - used) // bucket.units(quota.seconds)


def reset_ms(quota: Quota, used: int) -> int:
    """Return the milliseconds until the share is as if untouched."""
    return max(0, -(-used // rate(quota))) * bucket.tick_ms(quota.seconds)


def wait_ms(quota: Quota, used: int, asked: int, now_us: int = 0) -> int | None:
    """Return the milliseconds until the hold of a call fits: as fast as the share refills, or, for
    a call that only the common part has room for, the whole limit.
    """
    wanted, most = bucket.hold(quota, asked) * bucket.units(quota.seconds), capacity(quota)
    refilled = rate(quota) if wanted <= most else quota.amount
    return max(0, -(-(used + wanted - most) // refilled)) * bucket.tick_ms(quota.seconds)
