"""Find the thresholds that the limits of an account have come to."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, structs

from tollgate.core.entities import LimitSet
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import Account, Balance, Meter, Quota
from tollgate.core.limits.limit import counter_of, shown_length

_IN_FLIGHT_S, _FOREVER_S = 3600, 400 * 86_400


_LEAST_PACE_SHARE = 10
"""A pace is that of a period of which at least this part (a tenth) has passed."""


class Crossing(Struct, frozen=True):
    """A threshold that a limit has come to, in whole units of its meter.

    `projected`: what will be used at the end of the period, where nothing was crossed yet and the
    pace so far leads beyond the limit; `exceeded_us`: when it will be crossed.
    `mark`: names the limit, its amount, the threshold and the period: of all who see the crossing,
    one claims the mark, and it is kept for `marked_s`.
    """

    quota: Quota
    amount: int
    used: int
    permille: int | None
    mark: str
    marked_s: int
    projected: int | None = None
    exceeded_us: int | None = None


class Thresholds(Struct, frozen=True):
    """What is told of the limits of a scope: of each limit in force by its number, at which shares
    of its amount; and from which spend on, whatever the limits. `paces`: the numbers of limits
    whose pace is told.
    """

    shares: tuple[tuple[int, tuple[int, ...]], ...] = ()
    soft_budget_nanousd: int | None = None
    paces: tuple[int, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether anything is told."""
        return bool(self.shares or self.paces) or self.soft_budget_nanousd is not None


def watched(
    limits: LimitSet,
    account: Account,
    soft_budget_nanousd: int | None,
    budgets_at: tuple[int, ...],
    *,
    projected: bool = False,
) -> Thresholds:
    """Return what is told of an account's limits. `budgets_at`: shares for budgets (`max_budget`),
    in thousandths, as for limits that name none of their own. `projected`: whether the pace of
    budgets with a period is told.
    """
    told = {each.counter: each.alert_at for each in limits.limits if each.alert_at}
    shares, paces = [], []
    for number, quota in enumerate(account.limits):
        is_budget = quota.meter is Meter.USD and quota.duration is None
        at = budgets_at if is_budget else told.get(counter_of(quota), ())
        # What a share counts is part of the limit that it is of.
        if at and quota.amount and quota.share is None:
            shares.append((number, at))
        if projected and quota.amount and quota.meter is Meter.USD:
            paces.append(number)
    return Thresholds(tuple(shares), soft_budget_nanousd, tuple(paces))


def crossings(
    account: Account, told: Thresholds, balance: Balance, now_us: int
) -> Iterator[Crossing]:
    """Yield the thresholds that settled amounts have come to, the lowest of each limit first."""
    for number, shares in told.shares:
        quota = account.limit(number)
        used = balance.used[number]
        if quota.seconds:
            used = -(-used // bucket.units(quota.seconds))
        for permille in sorted(shares):
            if used * 1000 >= permille * quota.amount:
                yield _crossing(account, quota, quota.amount, used, permille, now_us)
    soft = told.soft_budget_nanousd
    if soft is not None and soft <= balance.spent_nanousd:
        quota = Quota(Meter.USD, soft, period=account.period)
        yield _crossing(account, quota, soft, balance.spent_nanousd, None, now_us)
    for number in told.paces:
        found = _find_pace(account, account.limit(number), balance.used[number], now_us)
        if found is not None:
            yield found


def _find_pace(account: Account, quota: Quota, used: int, now_us: int) -> Crossing | None:
    """Return that a limit will be crossed before its period ends, at the pace since it began."""
    period = quota.period
    passed_us, length_us = now_us - period.start_us, period.end_us - period.start_us
    if not period.end_us or passed_us * _LEAST_PACE_SHARE < length_us or used >= quota.amount:
        return None
    projected = used * length_us // passed_us
    if projected <= quota.amount:
        return None
    crossing = _crossing(account, quota, quota.amount, used, None, now_us, "projected")
    exceeded_us = period.start_us + quota.amount * passed_us // used
    return structs.replace(crossing, projected=projected, exceeded_us=exceeded_us)


def _crossing(
    account: Account,
    quota: Quota,
    amount: int,
    used: int,
    permille: int | None,
    now_us: int,
    threshold: str = "",
) -> Crossing:
    scope, begin_us = account.scope, 0
    if quota.seconds:
        marked_s = quota.seconds
    elif quota.meter is Meter.CALLS:
        marked_s = _IN_FLIGHT_S
    elif quota.period.end_us:
        begin_us = quota.period.start_us
        marked_s = max(1, -(-(quota.period.end_us - now_us) // 1_000_000))
    else:
        marked_s = _FOREVER_S
    threshold = threshold or ("soft" if permille is None else str(permille))
    place = (scope.kind, scope.id, scope.model or "", counter_of(quota), shown_length(quota))
    mark = "\n".join((*place, str(amount), threshold, str(begin_us)))
    return Crossing(quota, amount, used, permille, mark, marked_s)
