"""Refusals that are sure to be repeated: whom one of them meets need not be looked up in the store,
nor their body be read.

Each is proven by the store's own answer, and holds as long as nothing but time can change it:

- A bucket of requests is emptied by time alone: nothing is given back to it, so it is full until
  its earliest refill.
- What is settled of a period's limit only grows within the period. (Holds are given back; they
  prove nothing.)
- A limit of 0 allows nothing.

Tokens and calls in flight are given back by settlements, so no other limit of theirs proves
anything, nor does a share, since what others do not use is lent. A limit that is changed, or a
spend that is corrected, comes in other accounts.
"""

from __future__ import annotations

from msgspec import structs

from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import (
    MAX_EXACT,
    Account,
    Accounts,
    Meter,
    Quota,
    Standing,
    accounts_bytes,
    untouched,
)
from tollgate.core.memo import Bounded


class KnownRefusals:
    """Refusals by accounts, as long as they are sure to be repeated, and there is room for them."""

    def __init__(self) -> None:
        self._known: Bounded[int, tuple[Accounts, Standing, int, int]] = Bounded()

    def find(self, accounts: Accounts, now_us: int) -> Standing | None:
        """The refusal that the store would give now; None: nobody knows without asking it."""
        found = self._known.get(id(accounts))
        if found is None:
            return None
        _, standing, since_us, until_us = found
        # A clock that was set back says nothing.
        if not since_us <= now_us < until_us:
            self._known.drop(id(accounts))
            return None
        return _aged(accounts, standing, now_us - since_us)

    def note(self, accounts: Accounts, standing: Standing, asked_us: int) -> None:
        """Remember an answer of the store's, if it was such a refusal.

        `asked_us`: the time before it was asked.
        """
        if standing.refused is None:
            return
        until_us = _sure_until_us(accounts[standing.refused], standing, asked_us)
        if until_us <= asked_us:
            return
        self._known.put(
            id(accounts), (accounts, standing, asked_us, until_us), accounts_bytes(accounts)
        )

    def note_part(
        self, part: Accounts, accounts: Accounts, standing: Standing, asked_us: int
    ) -> None:
        """The same for accounts that are a part of those that the store was asked about, if what
        refused is among them.
        """
        if standing.refused is None or standing.by is None:
            return
        refusing = accounts[standing.refused]
        if refusing not in part or not refusing.limits[standing.by].enforcement.final:
            return
        if refusing.parts > 1:  # another part may have room
            return
        limited = [each for each in part if each.limited]
        told = dict(zip(map(_scope, accounts), standing.balances, strict=False))
        balances = tuple(told.get(_scope(each)) or untouched(each) for each in limited)
        self.note(
            part,
            structs.replace(standing, balances=balances, refused=part.index(refusing)),
            asked_us,
        )


def find_forbidding(accounts: Accounts) -> tuple[int, int] | None:
    """Return the first account with a limit that allows nothing, and which of its limits; None:
    each allows something.
    """
    for number, account in enumerate(accounts):
        for place, quota in enumerate(account.limits):
            if quota.amount == 0 == quota.whole and quota.enforcement.final:
                return number, place
    return None


def find_exhausted(accounts: Accounts, standing: Standing, asked_us: int) -> Standing | None:
    """Return the refusal that every call meets where accounts stand so; None: some call may pass.

    `standing` has the balances of these accounts, as the store told them without being asked to
    hold anything. `asked_us`: the time before it was asked.
    """
    for number, account in enumerate(accounts):
        for place, quota in enumerate(account.limits):
            if not quota.enforcement.final or account.parts > 1:
                continue
            refused = structs.replace(standing, refused=number, by=place)
            if _sure_until_us(account, refused, asked_us) > asked_us:
                return refused
    return None


def _scope(account: Account) -> tuple[str, str, str | None]:
    scope = account.scope
    return scope.kind, scope.id, scope.model


def _sure_until_us(account: Account, standing: Standing, asked_us: int) -> int:
    """Until when a refusal is sure; 0: it is not."""
    assert standing.refused is not None
    assert standing.by is not None
    quota = account.limit(standing.by)
    used = standing.balances[standing.refused].used[standing.by]
    if quota.amount == 0:
        return MAX_EXACT
    if quota.meter is Meter.CALLS or quota.share is not None:
        return 0
    if quota.seconds:
        if quota.meter is not Meter.REQUESTS:
            return 0
        wait_ms = bucket.wait_ms(quota, used, 1) or 0
        # The store counts whole ticks, so the last of them may have begun already.
        return asked_us + (wait_ms - bucket.tick_ms(quota.seconds)) * 1000
    if used < quota.amount:
        return 0
    # By the store's clock, which may be another.
    end_us = quota.period.end_us
    if end_us:
        return asked_us + end_us - standing.now_us
    return MAX_EXACT


def _aged(accounts: Accounts, standing: Standing, passed_us: int) -> Standing:
    """A standing so much later, if nobody has called meanwhile."""
    balances = [
        structs.replace(
            balance,
            used=tuple(
                _drained(quota, used, passed_us)
                for quota, used in zip(account.limits, balance.used, strict=True)
            ),
        )
        for account, balance in zip(accounts, standing.balances, strict=False)
    ]
    return structs.replace(standing, now_us=standing.now_us + passed_us, balances=tuple(balances))


def _drained(quota: Quota, used: int, passed_us: int) -> int:
    if quota.seconds and quota.share is None:
        return bucket.level(quota, used, 0, passed_us)
    return used
