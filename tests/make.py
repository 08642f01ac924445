"""Short ways to make the values that tests need."""

from __future__ import annotations

from tollgate.core.entities import (
    DEFAULT_ORGANIZATION,
    FOREVER,
    Certainty,
    Charge,
    LimitKind,
    Period,
    Reservation,
    Scope,
    ScopeKind,
    Settlement,
    Usage,
)

KEY = Scope(ScopeKind.KEY, "k1")
TEAM = Scope(ScopeKind.TEAM, "t1")
DOLLAR = 1_000_000_000


def requests(limit: int, scope: Scope = KEY) -> Charge:
    return Charge(LimitKind.REQUESTS, scope, limit, 1)


def tokens(limit: int, amount: int, scope: Scope = KEY) -> Charge:
    return Charge(LimitKind.TOKENS, scope, limit, min(amount, limit))


def parallel(limit: int, scope: Scope = KEY) -> Charge:
    return Charge(LimitKind.PARALLEL, scope, limit, 1)


def budget(limit: int | None, amount: int, scope: Scope = KEY, period: Period = FOREVER) -> Charge:
    return Charge(LimitKind.BUDGET, scope, limit, amount, period)


def reservation(identity: str, *charges: Charge) -> Reservation:
    return Reservation(
        id=identity,
        organization=DEFAULT_ORGANIZATION,
        charges=charges,
        admitted_us=1_800_000_000_000_000,
        dialect="openai.chat",
        model="gpt-4o",
        deployment="gpt-4o",
        input_tokens=10,
        output_tokens=20,
    )


def settlement(tokens: int = 0, cost: int = 0) -> Settlement:
    return Settlement(Usage(input_tokens=tokens, certainty=Certainty.EXACT), cost, 200, "test")
