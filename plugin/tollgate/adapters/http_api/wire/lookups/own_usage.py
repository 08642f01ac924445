"""What a key's owner may know of its limits, over HTTP."""

from __future__ import annotations

from typing import Literal

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.adapters.http_api.wire.parts.types import PrintedTime
from tollgate.core.callers.limit_entries import on_exceeded
from tollgate.core.entities import Key
from tollgate.core.limits.accounts import Meter, Quota
from tollgate.core.limits.limit import EVER, described, shown_length
from tollgate.core.money.dollars import dollars_of
from tollgate.reporting.levels import MetLevel

WindowKind = Literal["bucket", "period", "forever", "in_flight"]


class MetLimit(ResponseBody):
    """One limit that calls of the key meet. Of those whose amounts are for administrators only
    the share is told, in whole percents.
    """

    scope: str
    scope_id: str
    scope_name: str
    model: str | None
    meter: str
    window: str | None
    window_kind: WindowKind
    words: str
    enforced: bool
    strict: bool
    on_exceeded: str | dict[str, str]
    rollover_cap: float | None
    max_wait_ms: int
    amount: float | None
    raised_by: float | None
    raised_until: PrintedTime | None
    used: float | None
    held: float | None
    left: float | None
    used_share: float
    resets_at: PrintedTime | None


class OwnUsage(ResponseBody):
    """The answer of /v1/usage."""

    object: Literal["usage"]
    time: PrintedTime
    key_name: str
    key_alias: str | None
    user_id: str | None
    team_id: str | None
    expires: PrintedTime | None
    limits: tuple[MetLimit, ...]


def own_usage(key: Key, levels: list[MetLevel], now_us: int, *, everything: bool) -> OwnUsage:
    """Return what a key meets. `everything`: also the amounts that are for administrators."""
    return OwnUsage(
        object="usage",
        time=now_us,
        key_name=key.name,
        key_alias=key.alias,
        user_id=key.user_id,
        team_id=key.team_id,
        expires=key.expires_us,
        limits=tuple(
            _limit(each, hidden=each.is_confidential and not everything) for each in levels
        ),
    )


def _limit(met: MetLevel, *, hidden: bool) -> MetLimit:
    level = met.level
    quota, scope = level.quota, level.scope
    amounts = (level.amount, quota.raised, level.used - level.held, level.held, level.remaining)
    told = [None if hidden else _shown(quota, each) for each in amounts]
    amount, raised_by, used, held, left = told
    return MetLimit(
        scope=scope.kind,
        scope_id=scope.id,
        scope_name=met.scope_name,
        model=scope.model,
        meter=quota.meter.value,
        window=shown_length(quota) or None,
        window_kind=_window_kind(quota),
        words=described(quota),
        enforced=not quota.enforcement.shadow,
        strict=quota.enforcement.strict,
        on_exceeded=on_exceeded(quota.enforcement) or "refuse",
        rollover_cap=None if hidden else _shown(quota, quota.rollover),
        max_wait_ms=quota.enforcement.max_wait_ms,
        amount=amount,
        raised_by=raised_by,
        raised_until=quota.raised_until_us or None,
        used=used,
        held=held,
        left=left,
        # A finer share and the cost of an own call would tell the amount.
        used_share=round(level.share, 2 if hidden else 4),
        resets_at=level.resets_us,
    )


def _shown(quota: Quota, amount: int | None) -> float | None:
    if amount is None:
        return None
    return dollars_of(amount) if quota.meter is Meter.USD else float(amount)


def _window_kind(quota: Quota) -> WindowKind:
    if quota.seconds:
        return "bucket"
    if quota.meter is Meter.CALLS:
        return "in_flight"
    return "forever" if quota.duration == EVER or quota.period.end_us == 0 else "period"
