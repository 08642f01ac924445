"""Which accounts a request is charged to."""

from __future__ import annotations

import pytest

from tollgate.core.callers.rules import Caller, Policy, accounts
from tollgate.core.entities import Customer, Key, LimitSet
from tollgate.core.limits.accounts import Meter, ScopeKind
from tollgate.core.limits.limit import Bucket, Forever, Limit

KEY = Key("h", "sk-...")
UNLIMITED, LIMITED = Policy(), Policy(customer=LimitSet(max_budget_nanousd=1))


@pytest.mark.parametrize(
    ("policy", "customer", "passing"),
    [
        (UNLIMITED, None, True),
        # A duration without a budget limits nothing.
        (Policy(customer=LimitSet(budget_duration="1d", budget_since_us=1)), None, True),
        (UNLIMITED, Customer("c"), False),
        # A spent customer who is forgotten would serve again.
        (LIMITED, None, False),
        (LIMITED, Customer("c"), False),
    ],
)
@pytest.mark.parametrize("money", [True, False])
def test_only_customers_whom_nothing_limits_and_nobody_registered_are_forgotten(
    policy: Policy, customer: Customer | None, passing: bool, money: bool
) -> None:
    """Whatever the call costs; all others are kept."""
    caller = Caller(KEY, customer_id="c", customer=customer)
    found = accounts(caller, policy, "m", 1, tokens=True, money=money)
    assert {each.scope.kind: each.passing for each in found} == {
        ScopeKind.PROXY: False,
        ScopeKind.CUSTOMER: passing,
        ScopeKind.KEY: False,
    }


DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("limits", "remember_ms"),
    [
        (LimitSet(max_budget_nanousd=1), 0),
        (LimitSet((Limit(Meter.TOKENS, 1, Forever()),)), 0),
        (LimitSet(max_budget_nanousd=1, budget_duration="1d"), 30 * DAY_MS),
        (LimitSet(max_budget_nanousd=1, budget_duration="90d"), 90 * DAY_MS),
        (LimitSet((Limit(Meter.REQUESTS, 1, Bucket(60)),)), 30 * DAY_MS),
    ],
)
def test_a_customer_whom_nobody_registered_is_remembered_while_a_limit_of_all_counts(
    limits: LimitSet, remember_ms: int
) -> None:
    """For ever where a limit does; one who is registered always."""
    for customer, kept_ms in ((None, remember_ms), (Customer("c"), 0)):
        caller = Caller(KEY, customer_id="c", customer=customer)
        found = accounts(caller, Policy(customer=limits), "m", 1, tokens=True, money=True)
        (account,) = [each for each in found if each.scope.kind == ScopeKind.CUSTOMER]
        assert (account.remember_ms, account.passing) == (kept_ms, False)
