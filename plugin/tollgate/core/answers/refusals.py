"""Refusals as clients read them: status, words, and headers that tell an SDK whether and when to
try again.

The official SDKs wait for `retry-after-ms`, then `retry-after`, and obey `x-should-retry` (their
source: `_should_retry`, `_calculate_retry_timeout`); without the latter they try a spent budget
again and again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from tollgate.core.answers.error_shapes import error_body
from tollgate.core.answers.headers import dollars
from tollgate.core.answers.wording import (
    WHAT_HELPS,
    WHAT_HELPS_STRICT,
    WHAT_HELPS_UPSTREAM,
    Crossed,
    Preset,
    budget_spent,
    rate_reached,
)
from tollgate.core.callers.rules import Caller
from tollgate.core.callers.scope_names import account_name
from tollgate.core.calls.decision import Header, LimitName, Refusal
from tollgate.core.calls.refusal_records import LimitHit
from tollgate.core.calls.reservation import Reservation
from tollgate.core.errors import cut
from tollgate.core.limits import bucket, period, shared_bucket
from tollgate.core.limits.accounts import (
    UPSTREAM,
    Account,
    Meter,
    Quota,
    Standing,
)
from tollgate.core.limits.algorithms import algorithm_of, settled_and_held
from tollgate.core.limits.limit import METERS, described, length_of, shown_length
from tollgate.core.requests.dialects import Family
from tollgate.core.requests.endpoints import Endpoint, why_not_served

# A call in flight may end at any moment, and gives back then what it held.
_HOLD_WAIT_MS = 1000
# Up to here waiting is what helps.
_SHORT_WAIT_MS = 60_000
_NO_RETRY = Header("x-should-retry", "false")
_REASONS = {Meter.CALLS: "parallel", Meter.USD: "budget"}


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
    account, balance = reservation.accounts[standing.refused], standing.balances[standing.refused]
    quota, now_us = account.limit(standing.by), standing.now_us
    used, held = balance.used[standing.by], balance.held[standing.by]
    asked = reservation.asked(quota)
    wait_ms = algorithm_of(quota).wait_ms(quota, used, asked, now_us)
    crossed = _crossed(account, quota, used, caller)
    upstream = account.scope.kind in UPSTREAM
    too_large = quota.enforcement.holds_worst_case and _has_room(quota, used, held)
    spent = quota.meter is Meter.USD and not (standing.only_held or quota.seconds)
    if spent and not upstream:
        if too_large:
            cost = f"{crossed.spent}, and this call may cost {dollars(asked)}"
            crossed = replace(crossed, spent=cost)
        worded = budget_spent(preset, family, crossed)
    else:
        message = _reached(quota, used, held, asked, crossed)
        if spent:
            message = _spent_upstream(crossed)
        helps = WHAT_HELPS_UPSTREAM if upstream else WHAT_HELPS
        if too_large:
            helps = WHAT_HELPS_STRICT
        again = _again(quota, wait_ms, helps, only_held=standing.only_held, too_large=too_large)
        worded = rate_reached(preset, family, quota.meter, f"{message} {again}", crossed)
    if standing.only_held:
        wait_ms = _HOLD_WAIT_MS if wait_ms is None else min(wait_ms, _HOLD_WAIT_MS)
    retry = _retry(wait_ms)
    if algorithm_of(quota) is period and wait_ms is not None and not standing.only_held:
        # An SDK that tries again before the period ends is refused again.
        retry = (*retry, _NO_RETRY)
    reason = f"{account.scope.kind}_{_REASONS.get(quota.meter, quota.meter.value)}"
    level = used, held, asked
    hit = partial(_hit, account, quota, level, crossed.name, standing, wait_ms)
    told = (*headers, *retry)
    limit = LimitName(account.scope.kind, quota.meter.value, shown_length(quota))
    return Refusal(
        worded.status, reason, worded.message, worded.body, told, hit, reservation, limit
    )


def unavailable(family: Family, retry_after_s: int) -> Refusal:
    """The store is down: nobody's fault but ours, and worth trying again."""
    message = "Tollgate cannot check limits at the moment. Please try again."
    body = error_body(family, 503, "server_error", message, code="limits_unavailable")
    return Refusal(
        503, "store_unavailable", message, body, (Header("retry-after", str(retry_after_s)),)
    )


def _reached(quota: Quota, used: int, held: int, asked: int, crossed: Crossed) -> str:
    """What to say of a limit that time or a call's end makes room in.

    What a provider grants is not the caller's to know, unless it is a share of the caller's own.
    """
    told = crossed.scope not in UPSTREAM or shared_bucket.is_own_share(quota)
    if quota.meter is Meter.USD and not quota.seconds:
        said = f"The budget of {crossed.whose} is held by calls in flight."
        if not told:
            return said
        return (
            f"{said} Current spend: {crossed.spent}; Max Budget: {crossed.limit}{crossed.window};"
            f" Held: {dollars(held)}."
        )
    said = f"{_noun(quota)} reached for {crossed.whose} on {described(quota)}"
    if not told:
        return f"{said}."
    return f"{said}: {_arithmetic(quota, used, held, asked, crossed)}."


def _noun(quota: Quota) -> str:
    if quota.meter is Meter.CALLS:
        return "Limit"
    return "Rate limit" if quota.seconds else "Quota"


def _arithmetic(quota: Quota, used: int, held: int, asked: int, crossed: Crossed) -> str:
    """Return the amounts of a limit that refused."""
    if quota.meter is Meter.CALLS:
        return f"Limit {quota.amount}, In flight {used}"
    if quota.share is not None:
        return (
            f"Limit {shared_bucket.at_once(quota)} at once"
            f" ({quota.share.amount} per {length_of(quota)}),"
            f" Used {shared_bucket.used_amount(quota, used)},"
            f" Requested {bucket.hold(quota, asked)}"
        )
    if quota.seconds:
        used = quota.amount - bucket.remaining(quota, used)
        shown = [
            dollars(each) if quota.meter is Meter.USD else str(each)
            for each in (quota.amount, used, bucket.hold(quota, asked))
        ]
        return "Limit {}, Used {}, Requested {}".format(*shown)
    requested = f", Requested {asked}" if quota.enforcement.holds_worst_case else ""
    return f"Limit {quota.amount}, Used {used}, In flight {held}{requested}, {crossed.resets}"


def _has_room(quota: Quota, used: int, held: int) -> bool:
    """Whether a limit that refused is not used up: a call that asks for less would fit."""
    return algorithm_of(quota).remaining(quota, used, held) > 0


def _spent_upstream(crossed: Crossed) -> str:
    """What to say of dollars that are spent with a deployment or a provider.

    The caller's own budget has room, so this is no refusal of a budget to a client.
    """
    return f"The budget of {crossed.whose} is spent; {crossed.it_resets}."


def _again(
    quota: Quota, wait_ms: int | None, helps: str, *, only_held: bool, too_large: bool
) -> str:
    """When to try again, and what helps, in words. `too_large`: a smaller call would fit."""
    if only_held:
        wait_ms = _HOLD_WAIT_MS if wait_ms is None else min(wait_ms, _HOLD_WAIT_MS)
    if wait_ms is not None:
        again = f"Please try again in {_seconds(wait_ms)}s."
        return again if wait_ms <= _SHORT_WAIT_MS and not too_large else f"{again} {helps}"
    if too_large:
        return helps
    if quota.amount == 0:
        return f"The limit allows none. {helps}"
    return f"The quota is used up. {helps}"


def _seconds(milliseconds: int) -> str:
    """Return seconds as a decimal number, however many there are."""
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)


def _retry(wait_ms: int | None) -> tuple[Header, ...]:
    """When to try again. An SDK ignores a wait of 0, so there is none; None: never."""
    if wait_ms is None:
        return (_NO_RETRY,)
    wait_ms = max(1, wait_ms)
    return (Header("retry-after", str(-(-wait_ms // 1000))), Header("retry-after-ms", str(wait_ms)))


def _hit(
    account: Account,
    quota: Quota,
    level: tuple[int, int, int],
    scope_name: str,
    standing: Standing,
    wait_ms: int | None,
) -> LimitHit:
    """Return the limit that refused, as it is recorded. `level`: used, held and asked, as counted
    by its algorithm.
    """
    used, held, asked = level
    if quota.meter is Meter.CALLS:
        held = 0
    else:
        used, held = settled_and_held(quota, used, held)
    if quota.seconds:
        asked = bucket.hold(quota, asked)
    scope = account.scope
    return LimitHit(
        scope=scope.kind,
        scope_id=scope.id,
        scope_name=scope_name,
        meter=quota.meter.value,
        amount=quota.amount if quota.share is None else shared_bucket.at_once(quota),
        used=used,
        asked=asked,
        only_for=scope.model,
        window=shown_length(quota),
        held=held,
        until_us=None if wait_ms is None else standing.now_us + wait_ms * 1000,
        only_held=standing.only_held,
        share="" if quota.share is None else quota.share.words,
    )


def _crossed(account: Account, quota: Quota, used: int, caller: Caller) -> Crossed:
    scope, resets = account.scope, "never reset"
    if quota.period.end_us:
        reset = datetime.fromtimestamp(quota.period.end_us / 1_000_000, UTC)
        resets = f"reset at {reset.isoformat(timespec='seconds').replace('+00:00', 'Z')}"
    # The budget of the page has no window in its words.
    window = described(quota).removeprefix(METERS[quota.meter].noun) if quota.duration else ""
    return Crossed(
        scope.kind,
        account_name(caller, account),
        scope.model,
        dollars(used),
        dollars(quota.amount),
        resets,
        window,
    )
