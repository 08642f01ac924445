"""Which thresholds the limits of an account have come to."""

from __future__ import annotations

import pytest
from tests.make import DOLLAR, KEY, limit_set

from tollgate.core.alerting.crossings import Crossing, crossings, watched
from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import Account, Balance, Meter
from tollgate.core.limits.limit import Forever, Limit, Recurring

DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
DAILY = limit_set(max_budget_nanousd=DOLLAR, budget_duration="1d", budget_since_us=START_US)


def found(limits: LimitSet, used: int, passed_us: int, *, projected: bool = True) -> list[Crossing]:
    """What is told of a key's limits, each used so far, so long after its period began."""
    now_us = START_US + passed_us
    quotas = limits.in_force(now_us, tokens=True, money=True)
    account = Account(KEY, quotas, limits.spend_period(now_us))
    told = watched(limits, account, None, (), projected=projected)
    balance = Balance((used,) * len(quotas), (0,) * len(quotas), used, 0, 0)
    return list(crossings(account, told, balance, now_us))


@pytest.mark.parametrize(
    ("used", "passed_us", "projected"),
    [
        (DOLLAR // 2, DAY_US // 4, 2 * DOLLAR),
        (DOLLAR // 10 + 1, DAY_US // 10, DOLLAR + 10),
        (DOLLAR // 10, DAY_US // 10, None),
        (DOLLAR // 2, DAY_US // 10 - 1, None),
        (DOLLAR // 2, DAY_US // 2, None),
        (DOLLAR, DAY_US // 4, None),
        (0, DAY_US // 4, None),
    ],
)
def test_a_pace_that_leads_beyond_a_budget_is_told(
    used: int, passed_us: int, projected: int | None
) -> None:
    """From a tenth of the period on, and not once the budget is spent."""
    assert [each.projected for each in found(DAILY, used, passed_us)] == (
        [] if projected is None else [projected]
    )


def test_a_pace_tells_when_the_budget_will_be_spent() -> None:
    """Half of it in a quarter of the day: the rest in another quarter."""
    (crossing,) = found(DAILY, DOLLAR // 2, DAY_US // 4)
    assert crossing.exceeded_us == START_US + DAY_US // 2
    assert crossing.marked_s == 3 * 86_400 // 4


@pytest.mark.parametrize(
    "limits",
    [
        limit_set(max_budget_nanousd=DOLLAR),
        limit_set(Limit(Meter.USD, DOLLAR, Forever())),
        limit_set(Limit(Meter.TOKENS, DOLLAR, Recurring("1mo"))),
        limit_set(max_budget_nanousd=0, budget_duration="1d", budget_since_us=START_US),
    ],
)
def test_a_pace_is_told_of_dollars_a_period_alone(limits: LimitSet) -> None:
    """What never starts anew has no end to be early for."""
    assert found(limits, DOLLAR // 2, DAY_US // 4) == []


def test_no_pace_is_told_where_nobody_asked_for_it() -> None:
    """It is a setting."""
    assert found(DAILY, DOLLAR // 2, DAY_US // 4, projected=False) == []
