"""Refusals as clients read them: status, words, and headers that tell an SDK whether and when to try again.

The official SDKs wait for `retry-after-ms`, then `retry-after`, and obey `x-should-retry` (their source: `_should_retry`,
`_calculate_retry_timeout`); without the latter they try a spent budget again and again.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tollgate.core import bucket
from tollgate.core.budget import remaining_nanousd
from tollgate.core.dialects import Family, error_body
from tollgate.core.entities import Balance, Charge, Header, LimitKind, Refusal, ScopeKind, Standing
from tollgate.core.headers import dollars
from tollgate.core.rules import Caller

_HOLD_WAIT_MS = 1000  # calls in flight end in seconds; this is when to look again, not a promise
_NOUNS = {LimitKind.REQUESTS: ("requests", "RPM"), LimitKind.TOKENS: ("tokens", "TPM")}


def refusal(
    family: Family, status: int, kind: str, message: str, *, code: str | None = None, param: str | None = None
) -> Refusal:
    """A refusal that waiting will not change."""
    body = error_body(family, status, kind, message, param=param, code=code)
    return Refusal(status, code or kind, message, body, (_NO_RETRY,) if status == 429 else ())


def over_limit(
    family: Family, caller: Caller, charges: tuple[Charge, ...], standing: Standing, headers: tuple[Header, ...]
) -> Refusal:
    """The refusal of the first limit that a request did not fit. `headers` tell where all its limits stand."""
    number = standing.refused or 0
    charge, balance = charges[number], standing.balances[number]
    whose = _whose(charge, caller)
    if charge.kind is LimitKind.BUDGET:
        message, kind, code, retry = _budget(whose, charge, balance, standing.now_us)
    elif charge.kind is LimitKind.PARALLEL:
        message = f"Limit reached for {whose} on parallel calls: Limit {charge.limit}, In flight {balance.used}."
        kind, code, retry = "requests", "rate_limit_exceeded", _retry(_HOLD_WAIT_MS if charge.limit else None)
    else:
        message, kind, code, retry = _rate(whose, charge, balance)
    return Refusal(429, code, message, error_body(family, 429, kind, message, code=code), (*headers, *retry))


def unavailable(family: Family, retry_after_s: int) -> Refusal:
    """The store is down: nobody's fault but ours, and worth trying again."""
    message = "Tollgate cannot check limits at the moment. Please try again."
    body = error_body(family, 503, "server_error", message, code="limits_unavailable")
    return Refusal(503, "store_unavailable", message, body, (Header("retry-after", str(retry_after_s)),))


def _rate(whose: str, charge: Charge, balance: Balance) -> tuple[str, str, str, tuple[Header, ...]]:
    noun, unit = _NOUNS[charge.kind]
    limit = charge.limit or 0
    wait_ms = bucket.wait_ms(balance.used, charge.amount, limit)
    message = (
        f"Rate limit reached for {whose} on {noun} per min ({unit}): "
        f"Limit {limit}, Used {limit - bucket.remaining(balance.used, limit)}, Requested {charge.amount}."
    )
    if wait_ms is None:
        return f"{message} The limit allows none.", noun, "rate_limit_exceeded", _retry(None)
    return f"{message} Please try again in {wait_ms / 1000:g}s.", noun, "rate_limit_exceeded", _retry(wait_ms)


def _budget(whose: str, charge: Charge, balance: Balance, now_us: int) -> tuple[str, str, str, tuple[Header, ...]]:
    limit = charge.limit or 0
    facts = f"Current spend: {dollars(balance.used)}; Max Budget: {dollars(limit)}"
    if balance.used < limit and remaining_nanousd(balance, limit) == 0:
        message = f"The budget of {whose} is held by calls in flight. {facts}; Held: {dollars(balance.held)}. Please try again shortly."
        return message, "insufficient_quota", "budget_held", _retry(_HOLD_WAIT_MS)
    if charge.period.end_us == 0:
        return (
            f"The budget of {whose} is spent. {facts}; it is never reset.",
            "insufficient_quota",
            "insufficient_quota",
            _retry(None),
        )
    end_us = max(charge.period.end_us, balance.period_start_us + 1)
    reset = datetime.fromtimestamp(end_us / 1_000_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    wait_ms = max(1, -(-(end_us - now_us) // 1000))
    message = f"The budget of {whose} is spent until {reset}. {facts}."
    return message, "insufficient_quota", "insufficient_quota", (*_retry(wait_ms), _NO_RETRY)


def _retry(wait_ms: int | None) -> tuple[Header, ...]:
    """When to try again. An SDK ignores a wait of 0, so there is none; None: never."""
    if wait_ms is None:
        return (_NO_RETRY,)
    wait_ms = max(1, wait_ms)
    return (Header("retry-after", str(-(-wait_ms // 1000))), Header("retry-after-ms", str(wait_ms)))


_NO_RETRY = Header("x-should-retry", "false")


def _whose(charge: Charge, caller: Caller) -> str:
    scope = charge.scope
    name = scope.id
    if scope.kind is ScopeKind.KEY and caller.key is not None:
        name = caller.key.alias or caller.key.name
    shown = "the proxy" if scope.kind is ScopeKind.PROXY else f"{scope.kind.value} {name}"
    return shown if scope.model is None else f"{shown} for model {scope.model}"
