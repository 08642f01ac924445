"""Which accounts a request is charged to."""

from __future__ import annotations

import pytest

from tollgate.core.callers.rules import Caller, Policy, accounts
from tollgate.core.entities import Customer, Key, LimitSet
from tollgate.core.limits.accounts import ScopeKind

KEY = Key("h", "sk-...")
UNLIMITED, LIMITED = Policy(), Policy(customer=LimitSet(max_budget_nanousd=1))


@pytest.mark.parametrize(
    ("policy", "customer", "passing"),
    [
        (UNLIMITED, None, True),
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
