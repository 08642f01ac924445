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
from tollgate.core.presets import Crossed, Preset, Worded, budget_spent, rate_reached
from tollgate.core.rules import Caller

_HOLD_WAIT_MS = 1000  # calls in flight end in seconds; this is when to look again, not a promise
_NO_RETRY = Header("x-should-retry", "false")
_REASONS = {
    LimitKind.REQUESTS: "requests",
    LimitKind.TOKENS: "tokens",
    LimitKind.PARALLEL: "parallel",
    LimitKind.BUDGET: "budget",
}
_NOUNS = {LimitKind.REQUESTS: ("requests", "RPM"), LimitKind.TOKENS: ("tokens", "TPM")}


def refusal(
    family: Family, status: int, kind: str, message: str, *, code: str | None = None, param: str | None = None
) -> Refusal:
    """A refusal that waiting will not change."""
    body = error_body(family, status, kind, message, param=param, code=code)
    return Refusal(status, code or kind, message, body, (_NO_RETRY,) if status == 429 else ())


def over_limit(
    preset: Preset,
    family: Family,
    caller: Caller,
    charges: tuple[Charge, ...],
    standing: Standing,
    headers: tuple[Header, ...],
) -> Refusal:
    """The refusal of the first limit that a request did not fit. `headers` tell where all its limits stand."""
    number = standing.refused or 0
    charge, balance = charges[number], standing.balances[number]
    crossed = _crossed(charge, balance, caller)
    if charge.kind is LimitKind.BUDGET:
        if _only_held(charge, balance):
            worded, retry = _held(family, crossed, balance), _retry(_HOLD_WAIT_MS)
        else:
            worded, retry = budget_spent(preset, family, crossed), _until_reset(charge, standing.now_us)
    else:
        message, wait_ms = _rate(charge, balance, crossed)
        worded, retry = rate_reached(preset, family, charge.kind, message, crossed), _retry(wait_ms)
    reason = f"{charge.scope.kind.value}_{_REASONS[charge.kind]}"
    return Refusal(worded.status, reason, worded.message, worded.body, (*headers, *retry))


def unavailable(family: Family, retry_after_s: int) -> Refusal:
    """The store is down: nobody's fault but ours, and worth trying again."""
    message = "Tollgate cannot check limits at the moment. Please try again."
    body = error_body(family, 503, "server_error", message, code="limits_unavailable")
    return Refusal(503, "store_unavailable", message, body, (Header("retry-after", str(retry_after_s)),))


def _rate(charge: Charge, balance: Balance, crossed: Crossed) -> tuple[str, int | None]:
    """What to say of a limit of requests, tokens or calls at once, and how long to wait (None: for ever)."""
    limit = charge.limit or 0
    if charge.kind is LimitKind.PARALLEL:
        message = f"Limit reached for {crossed.whose} on parallel calls: Limit {limit}, In flight {balance.used}."
        return message, _HOLD_WAIT_MS if limit else None
    noun, unit = _NOUNS[charge.kind]
    wait_ms = bucket.wait_ms(balance.used, charge.amount, limit)
    message = (
        f"Rate limit reached for {crossed.whose} on {noun} per min ({unit}): "
        f"Limit {limit}, Used {limit - bucket.remaining(balance.used, limit)}, Requested {charge.amount}."
    )
    if wait_ms is None:
        return f"{message} The limit allows none.", None
    return f"{message} Please try again in {wait_ms / 1000:g}s.", wait_ms


def _only_held(charge: Charge, balance: Balance) -> bool:
    limit = charge.limit or 0
    return balance.used < limit and remaining_nanousd(balance, limit) == 0


def _held(family: Family, crossed: Crossed, balance: Balance) -> Worded:
    """A budget that calls in flight hold: when they end there may be something left, so it is no different from a rate limit."""
    message = (
        f"The budget of {crossed.whose} is held by calls in flight. Current spend: {crossed.spent}; "
        f"Max Budget: {crossed.limit}; Held: {dollars(balance.held)}. Please try again shortly."
    )
    return Worded(429, message, error_body(family, 429, "insufficient_quota", message, code="budget_held"))


def _until_reset(charge: Charge, now_us: int) -> tuple[Header, ...]:
    """A spent budget: an SDK that tries again before the reset is refused again."""
    if charge.period.end_us == 0:
        return (_NO_RETRY,)
    return (*_retry(-(-(charge.period.end_us - now_us) // 1000)), _NO_RETRY)


def _retry(wait_ms: int | None) -> tuple[Header, ...]:
    """When to try again. An SDK ignores a wait of 0, so there is none; None: never."""
    if wait_ms is None:
        return (_NO_RETRY,)
    wait_ms = max(1, wait_ms)
    return (Header("retry-after", str(-(-wait_ms // 1000))), Header("retry-after-ms", str(wait_ms)))


def _crossed(charge: Charge, balance: Balance, caller: Caller) -> Crossed:
    scope, resets = charge.scope, "never reset"
    if charge.period.end_us:
        reset = datetime.fromtimestamp(charge.period.end_us / 1_000_000, UTC)
        resets = f"reset at {reset.isoformat(timespec='seconds').replace('+00:00', 'Z')}"
    name = scope.id
    if scope.kind is ScopeKind.KEY and caller.key is not None:
        name = caller.key.alias or caller.key.name
    return Crossed(scope.kind, name, scope.model, dollars(balance.used), dollars(charge.limit or 0), resets)
