"""Short ways to make the values that tests need."""

from __future__ import annotations

from typing import Any

from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import (
    DEFAULT_ORGANIZATION,
    FOREVER,
    Account,
    Meter,
    Period,
    Scope,
    ScopeKind,
    Standing,
)
from tollgate.core.limits.limit import Limit

KEY = Scope(ScopeKind.KEY, "k1")
TEAM = Scope(ScopeKind.TEAM, "t1")
DOLLAR = 1_000_000_000


def limit_set(
    *limits: Limit,
    rpm: int | None = None,
    tpm: int | None = None,
    parallel: int | None = None,
    **budget: Any,
) -> LimitSet:
    """The limits of a scope: the page's by short names, others as they are."""
    found = LimitSet(limits, **budget)
    for field, amount in (
        ("rpm_limit", rpm),
        ("tpm_limit", tpm),
        ("max_parallel_requests", parallel),
    ):
        found = found.with_amount(field, amount) if amount is not None else found
    return found


def account_of(
    scope: Scope,
    *,
    rpm: int | None = None,
    tpm: int | None = None,
    parallel: int | None = None,
    budget_nanousd: int | None = None,
    period: Period = FOREVER,
) -> Account:
    """An account with the page's limits, by short names."""
    limits = limit_set(rpm=rpm, tpm=tpm, parallel=parallel, max_budget_nanousd=budget_nanousd)
    return Account(scope, limits.in_force(0, tokens=True, money=True), period)


def requests(limit: int, scope: Scope = KEY) -> Account:
    return account_of(scope, rpm=limit)


def tokens(limit: int, scope: Scope = KEY) -> Account:
    return account_of(scope, tpm=limit)


def parallel(limit: int, scope: Scope = KEY) -> Account:
    return account_of(scope, parallel=limit)


def budget(limit: int | None, scope: Scope = KEY, period: Period = FOREVER) -> Account:
    return account_of(scope, budget_nanousd=limit, period=period)


def refused_by(standing: Standing, *accounts: Account) -> tuple[int, Meter] | None:
    """The account that refused, and what its limit counts; None: none did."""
    if standing.refused is None or standing.by is None:
        return None
    return standing.refused, accounts[standing.refused].limits[standing.by].meter


def reservation(identity: str, *accounts: Account, tokens: int = 30, cost: int = 50) -> Reservation:
    """A call that is estimated at so many tokens, ten of them its input, and so many
    nano-dollars.
    """
    return Reservation(
        id=identity,
        organization=DEFAULT_ORGANIZATION,
        accounts=accounts,
        admitted_us=1_800_000_000_000_000,
        dialect="openai.chat",
        model="gpt-4o",
        deployment="gpt-4o",
        input_tokens=min(10, tokens),
        output_tokens=max(0, tokens - 10),
        cost_nanousd=cost,
    )


def settlement(
    tokens: int = 0, cost: int = 0, certainty: Certainty = Certainty.EXACT
) -> Settlement:
    return Settlement(Usage(input_tokens=tokens, certainty=certainty), cost, 200, "test")
