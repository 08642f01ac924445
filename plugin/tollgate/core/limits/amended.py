"""Accounts without a limit, or with the trickle of one: what decides about a call that a limit does
not fit, where that limit does not refuse it.
"""

from __future__ import annotations

from msgspec import structs

from tollgate.core.limits.accounts import Account, Accounts, Quota, accounts_bytes
from tollgate.core.limits.bucket import most_amount
from tollgate.core.memo import Bounded

_TRICKLE_SECONDS = 60
"""The window of the bucket that throttles a limit with periods. Its rate is what counts."""
_LONGEST_TRICKLE_SECONDS = 366 * 86_400


class AmendedAccounts:
    """Amended accounts: the same object for the same accounts and limit, as long as there is room.

    What the store is told of a caller is kept by the identity of its accounts.
    """

    def __init__(self) -> None:
        self._known: Bounded[tuple[int, int, int], tuple[Accounts, Accounts]] = Bounded()

    def without(self, accounts: Accounts, account: int, limit: int) -> Accounts:
        """Return accounts without a limit in shadow mode, or with the trickle of a throttled one.

        `account`, `limit`: the number of the account, and of its limit there.
        """
        name = (id(accounts), account, limit)
        known = self._known.get(name)
        if known is not None:
            return known[1]
        amended = _amended(accounts, account, limit)
        # The accounts are kept with them, so that no others get their identity.
        self._known.put(name, (accounts, amended), 2 * accounts_bytes(accounts))
        return amended


def _amended(accounts: Accounts, number: int, place: int) -> Accounts:
    account = accounts[number]
    quota = account.limits[place]
    instead: tuple[Quota, ...] = ()
    if not quota.enforcement.shadow:
        instead = trickle_of(account, quota)
    gone = {place}
    if quota.share is None and place + 1 < len(account.limits):
        # A share goes with the limit that it is of.
        gone |= {place + 1} if account.limits[place + 1].share is not None else set()
    kept = [each for at, each in enumerate(account.limits) if at not in gone]
    limits = _joined(kept, place, instead)
    found = (*accounts[:number], structs.replace(account, limits=limits), *accounts[number + 1 :])
    # Those that can refuse come first.
    return (
        *(each for each in found if each.limited),
        *(each for each in found if not each.limited),
    )


def _joined(kept: list[Quota], place: int, instead: tuple[Quota, ...]) -> tuple[Quota, ...]:
    """Return limits with others in place of one; of two trickles that share a counter the tighter
    one.
    """
    for each in instead:
        same = [
            at
            for at, other in enumerate(kept)
            if each.trickle and other.trickle and _counter(other) == _counter(each)
        ]
        if same:
            kept[same[0]] = min(kept[same[0]], each, key=lambda quota: quota.amount)
        else:
            kept.insert(place, each)
            place += 1
    return tuple(kept)


def _counter(quota: Quota) -> tuple[str, int]:
    return quota.meter.value, quota.seconds


def trickle_of(account: Account, quota: Quota) -> tuple[Quota, ...]:
    """Return what takes the place of a throttled limit: a bucket that refills at the percentage of
    the limit's rate, and of a limit with a counter of its own that counter, which goes on counting.
    """
    seconds, window_us = quota.seconds, quota.seconds * 1_000_000
    counting: tuple[Quota, ...] = ()
    if not seconds:
        period = account.period if quota.duration is None else quota.period
        seconds, window_us = _TRICKLE_SECONDS, period.end_us - period.start_us
        if quota.duration is not None:
            counting = (structs.replace(quota, counts_on=True),)
    share = quota.amount * quota.enforcement.throttle_percent
    amount = share * seconds * 10_000 // max(1, window_us)
    if amount == 0 and share:
        # Slower than one in that window: one in a longer one.
        amount, seconds = 1, min(_LONGEST_TRICKLE_SECONDS, -(-window_us // (share * 10_000)))
    bucket = Quota(quota.meter, min(amount, most_amount(seconds)), seconds, trickle=True)
    return (bucket, *counting)
