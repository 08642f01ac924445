"""Refusals as clients read them: status, words, and headers that tell an SDK whether and when to
try again.

The official SDKs wait for `retry-after-ms`, then `retry-after`, and obey `x-should-retry` (their
source: `_should_retry`, `_calculate_retry_timeout`); without the latter they try a spent budget
again and again.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tollgate.core.answers.headers import dollars
from tollgate.core.answers.wording import Crossed, Preset, budget_spent, rate_reached
from tollgate.core.callers.rules import Caller
from tollgate.core.calls.decision import Header, Refusal
from tollgate.core.calls.reservation import Reservation
from tollgate.core.errors import cut
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import Account, Balance, LimitKind, ScopeKind, Standing
from tollgate.core.requests.dialects import Family, error_body
from tollgate.core.requests.endpoints import Endpoint, why_not_served

# A call in flight may end at any moment, and gives back then what it held.
_HOLD_WAIT_MS = 1000
_NO_RETRY = Header("x-should-retry", "false")
_REASONS = {
    LimitKind.REQUESTS: "requests",
    LimitKind.TOKENS: "tokens",
    LimitKind.PARALLEL: "parallel",
    LimitKind.BUDGET: "budget",
}


def refusal(
    family: Family,
    status: int,
    kind: str,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
) -> Refusal:
    """A refusal that waiting will not change."""
    body = error_body(family, status, kind, message, param=param, code=code)
    return Refusal(status, code or kind, message, body, (_NO_RETRY,) if status == 429 else ())


def of_path(
    method: str, path: str, endpoint: Endpoint | None, family: Family, *, unknown_allowed: bool
) -> Refusal | None:
    """The refusal of a path that nobody serves.

    `endpoint`: None for one that we do not know, which passes only where it is allowed to.
    """
    if endpoint is None and (reason := why_not_served(path)) is not None:
        return refusal(family, 404, "invalid_request_error", reason, code="not_served")
    if endpoint is None and not (unknown_allowed and method == "POST"):
        return refusal(
            family, 404, "invalid_request_error", f"Unknown path: {cut(path)}", code="unknown_url"
        )
    if method != "POST":
        message = f"{path} takes POST, not {method}."
        return refusal(family, 405, "invalid_request_error", message, code="method_not_allowed")
    return None


def over_limit(
    preset: Preset,
    family: Family,
    caller: Caller,
    reservation: Reservation,
    standing: Standing,
    headers: tuple[Header, ...],
) -> Refusal:
    """The refusal of the first limit that a request did not fit.

    `headers` tell where all its limits stand.
    """
    assert standing.refused is not None
    assert standing.by is not None
    account, balance, kind = (
        reservation.accounts[standing.refused],
        standing.balances[standing.refused],
        standing.by,
    )
    crossed = _crossed(account, balance, caller)
    if kind is LimitKind.BUDGET and not standing.only_held:
        worded, retry = (
            budget_spent(preset, family, crossed),
            _until_reset(account, standing.now_us),
        )
    else:
        message, wait_ms = _reached(kind, account, balance, crossed, reservation)
        if standing.only_held:
            wait_ms = _HOLD_WAIT_MS if wait_ms is None else min(wait_ms, _HOLD_WAIT_MS)
        again = (
            "The limit allows none."
            if wait_ms is None
            else f"Please try again in {wait_ms / 1000:g}s."
        )
        worded = rate_reached(preset, family, kind, f"{message} {again}", crossed)
        retry = _retry(wait_ms)
    reason = f"{account.scope.kind.value}_{_REASONS[kind]}"
    return Refusal(worded.status, reason, worded.message, worded.body, (*headers, *retry))


def unavailable(family: Family, retry_after_s: int) -> Refusal:
    """The store is down: nobody's fault but ours, and worth trying again."""
    message = "Tollgate cannot check limits at the moment. Please try again."
    body = error_body(family, 503, "server_error", message, code="limits_unavailable")
    return Refusal(
        503, "store_unavailable", message, body, (Header("retry-after", str(retry_after_s)),)
    )


def _reached(
    kind: LimitKind, account: Account, balance: Balance, crossed: Crossed, reservation: Reservation
) -> tuple[str, int | None]:
    """What to say of a limit that time or a call's end makes room in, and how long time takes
    (None: for ever).
    """
    if kind is LimitKind.PARALLEL:
        limit = account.parallel or 0
        message = f"Limit reached for {crossed.whose} on parallel calls: Limit {limit}, In flight {balance.parallel}."
        return message, None
    if kind is LimitKind.BUDGET:
        message = (
            f"The budget of {crossed.whose} is held by calls in flight. Current spend: {crossed.spent}; "
            f"Max Budget: {crossed.limit}; Held: {dollars(balance.held_nanousd)}."
        )
        return message, None
    if kind is LimitKind.REQUESTS:
        noun, unit, limit, used, amount = "requests", "RPM", account.rpm or 0, balance.requests, 1
    else:
        noun, unit, limit, used = "tokens", "TPM", account.tpm or 0, balance.tokens
        amount = reservation.tokens_within(limit)
    message = (
        f"Rate limit reached for {crossed.whose} on {noun} per min ({unit}): "
        f"Limit {limit}, Used {limit - bucket.remaining(used, limit)}, Requested {amount}."
    )
    return message, bucket.wait_ms(used, amount, limit)


def _until_reset(account: Account, now_us: int) -> tuple[Header, ...]:
    """A spent budget: an SDK that tries again before the reset is refused again."""
    if account.period.end_us == 0:
        return (_NO_RETRY,)
    return (*_retry(-(-(account.period.end_us - now_us) // 1000)), _NO_RETRY)


def _retry(wait_ms: int | None) -> tuple[Header, ...]:
    """When to try again. An SDK ignores a wait of 0, so there is none; None: never."""
    if wait_ms is None:
        return (_NO_RETRY,)
    wait_ms = max(1, wait_ms)
    return (Header("retry-after", str(-(-wait_ms // 1000))), Header("retry-after-ms", str(wait_ms)))


def _crossed(account: Account, balance: Balance, caller: Caller) -> Crossed:
    scope, resets = account.scope, "never reset"
    if account.period.end_us:
        reset = datetime.fromtimestamp(account.period.end_us / 1_000_000, UTC)
        resets = f"reset at {reset.isoformat(timespec='seconds').replace('+00:00', 'Z')}"
    name = scope.id
    if scope.kind is ScopeKind.KEY and caller.key is not None:
        name = caller.key.alias or caller.key.name
    return Crossed(
        scope.kind,
        name,
        scope.model,
        dollars(balance.used_nanousd),
        dollars(account.budget_nanousd or 0),
        resets,
    )
