"""The limits that an admitted call passed, and where each stood: part of its ledger record.

What stood before is known when the call is admitted, and travels with its reservation; what the
call used is known when it is settled. So a settlement costs the store nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from tollgate.core.calls.reservation import WorstCase
from tollgate.core.limits import shared_bucket
from tollgate.core.limits.accounts import Accounts, Meter, Quota, Standing
from tollgate.core.limits.algorithms import settled_and_held
from tollgate.core.limits.limit import METERS, Used, duration_of, shown_length


class LimitPassed(Struct, frozen=True, array_like=True, gc=False):
    """A limit that a call passed; dollars are nano-dollars.

    - `payer`: the number of its scope among those that the record names.
    - `seconds`: of a rate, what its amount refills in; `period`: of others how long the amount is
      for, as `1mo`; empty: for ever, or calls in flight.
    - `only_for`: the model that the limit is narrowed to.
    - `shadow`: it refuses nothing. `share`: it is the caller's share of the limit before it.
    - `strict`: it holds the worst case.
    """

    payer: int
    meter: Meter
    amount: int
    seconds: int = 0
    period: str = ""
    only_for: str | None = None
    shadow: bool = False
    share: bool = False
    strict: bool = False

    @property
    def window(self) -> str:
        """How long the amount is for, as `1m`; empty: for ever, or calls in flight."""
        return duration_of(self.seconds) if self.seconds else self.period

    def settled_and_held(self, used: int, held: int) -> tuple[int, int]:
        """Return what was settled before the call, and what calls in flight held, in whole units.

        `used`, `held`: as the limit's algorithm counted them when the call was admitted.
        """
        if self.meter is Meter.CALLS:
            return used - 1, used
        quota = Quota(self.meter, self.amount, self.seconds)
        settled, held = settled_and_held(quota, used, held)
        if self.meter is Meter.REQUESTS:
            # A request is counted at once, not held.
            settled = max(0, settled - 1)
        return settled, held


@dataclass(frozen=True, slots=True)
class Passage:
    """Where a limit stood that a call passed, in whole units; dollars are nano-dollars.

    - `payer`: whose limit it is, as `kind:id`.
    - `before`: what was used when the call was admitted; of parallel calls, those in flight.
    - `held`: what calls in flight set aside beside it then, this one included.
    - `used`: what the limit counted for this call: what it used, or the worst case (`kept`).
    - `after`: `before` and `used`. Calls that ended meanwhile are not in it, nor what a rate
      refilled.
    """

    payer: str
    limit: LimitPassed
    before: int
    held: int
    used: int

    @property
    def after(self) -> int:
        return self.before + self.used


class Charged(Used, Protocol):
    """What a call used and cost: `core.calls.records.Record` is one."""

    @property
    def cost_nanousd(self) -> int: ...
    @property
    def kept(self) -> WorstCase | None: ...


def limits_passed(accounts: Accounts) -> tuple[LimitPassed, ...]:
    """Return the limits of a call's accounts, in their order."""
    scopes = [each.scope for each in accounts if each.scope.model is None]
    payers = {(scope.kind, scope.id): number for number, scope in enumerate(scopes)}
    return tuple(
        LimitPassed(
            payers[account.scope.kind, account.scope.id],
            quota.meter,
            quota.amount if quota.share is None else shared_bucket.at_once(quota),
            quota.seconds,
            "" if quota.seconds else shown_length(account.limit(number)),
            account.scope.model,
            quota.enforcement.shadow,
            quota.share is not None,
            quota.enforcement.holds_worst_case,
        )
        for account in accounts
        for number, quota in enumerate(account.limits)
    )


def levels_before(standing: Standing) -> tuple[int, ...]:
    """Return where the limits of an admitted call stood, in the order of its accounts: of each what
    is used and what is held, as its algorithm counts them.

    `standing`: what the store answered when it admitted the call.
    """
    found: list[int] = []
    for balance in standing.balances:
        for level in zip(balance.used, balance.held, strict=True):
            found += level
    return tuple(found)


def passages(
    payers: tuple[str, ...],
    passed: tuple[LimitPassed, ...],
    levels: tuple[int, ...],
    charged: Charged,
) -> list[Passage]:
    """Return where each limit stood that a call passed.

    `payers`, `passed`, `levels`: as its record tells them; `charged`: what it used.
    """
    found = []
    for limit, used, held in zip(passed, levels[::2], levels[1::2], strict=True):
        before, held = limit.settled_and_held(used, held)
        found.append(Passage(payers[limit.payer], limit, before, held, _used(limit, charged)))
    return found


def _used(limit: LimitPassed, charged: Charged) -> int:
    row = METERS[limit.meter]
    used = charged.cost_nanousd if limit.meter is Meter.USD else row.used(charged)
    if limit.strict and charged.kept is not None:
        return max(used, row.estimated(charged.kept) + row.estimated_output(charged.kept))
    return used
