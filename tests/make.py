"""Short ways to make the values that tests need."""

from __future__ import annotations

from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.limits.accounts import (
    DEFAULT_ORGANIZATION,
    FOREVER,
    Account,
    Period,
    Scope,
    ScopeKind,
)

KEY = Scope(ScopeKind.KEY, "k1")
TEAM = Scope(ScopeKind.TEAM, "t1")
DOLLAR = 1_000_000_000


def requests(limit: int, scope: Scope = KEY) -> Account:
    return Account(scope, rpm=limit)


def tokens(limit: int, scope: Scope = KEY) -> Account:
    return Account(scope, tpm=limit)


def parallel(limit: int, scope: Scope = KEY) -> Account:
    return Account(scope, parallel=limit)


def budget(limit: int | None, scope: Scope = KEY, period: Period = FOREVER) -> Account:
    return Account(scope, budget_nanousd=limit, period=period)


def reservation(identity: str, *accounts: Account, tokens: int = 30, cost: int = 50) -> Reservation:
    """A call that is estimated at so many tokens, ten of them its input, and so many nano-dollars."""
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


def settlement(tokens: int = 0, cost: int = 0) -> Settlement:
    return Settlement(Usage(input_tokens=tokens, certainty=Certainty.EXACT), cost, 200, "test")
