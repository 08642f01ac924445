"""Define an alert: a limit of a scope has come to a threshold."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from tollgate.core.limits.accounts import Meter, ScopeKind
from tollgate.core.limits.limit import METERS
from tollgate.core.money.dollars import dollars_of


class Event(StrEnum):
    """What has happened, in LiteLLM's words (its documentation: "Budget Alerts", webhook)."""

    SOFT_BUDGET = "soft_budget_crossed"
    BUDGET = "budget_crossed"
    THRESHOLD = "threshold_crossed"
    PROJECTED = "projected_limit_exceeded"


_GROUPS: dict[str, str] = {ScopeKind.USER: "internal_user", ScopeKind.MEMBER: "team_member"}


class Alert(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A limit that has come to a threshold, in whole units of its meter; dollars are nano-dollars.

    - `threshold_permille`: the share of the amount; None: it is a soft budget, or `projected` is
      what will be used at the end of the period, and `exceeded_us` when the amount will be.
    - `amount`: the limit, or the soft budget.
    - `window`: how long the amount is for, as `1d`; empty: for ever, or calls in flight.
    - `resets_us`: when the window starts anew; None: never, or it refills continuously.
    """

    id: str
    at_us: int
    scope: str
    scope_id: str
    scope_name: str
    meter: str
    amount: int
    used: int
    threshold_permille: int | None = None
    only_for: str | None = None
    window: str = ""
    resets_us: int | None = None
    key_alias: str | None = None
    user_id: str | None = None
    user_email: str | None = None
    team_id: str | None = None
    team_alias: str | None = None
    organization_id: str | None = None
    projected: int | None = None
    exceeded_us: int | None = None

    @property
    def event(self) -> Event:
        """What has happened."""
        if self.projected is not None:
            return Event.PROJECTED
        if self.threshold_permille is None:
            return Event.SOFT_BUDGET
        if self.meter == Meter.USD and self.threshold_permille >= 1000:
            return Event.BUDGET
        return Event.THRESHOLD


def sentence(alert: Alert) -> str:
    """Return the alert as a sentence for people."""
    kind = alert.scope.replace("_", " ")
    whose = "The proxy" if alert.scope == ScopeKind.PROXY else f"{kind} {alert.scope_name}"
    narrowed = f" for model {alert.only_for}" if alert.only_for else ""
    per = f" per {alert.window}" if alert.window else ""
    resets = ""
    if alert.resets_us is not None:
        moment = datetime.fromtimestamp(alert.resets_us // 1_000_000, UTC)
        resets = f"; it starts anew {moment:%Y-%m-%d %H:%M} UTC"
    whose = f"{whose[0].upper()}{whose[1:]}{narrowed}"
    if alert.projected is not None and alert.exceeded_us is not None:
        when = f"{datetime.fromtimestamp(alert.exceeded_us // 1_000_000, UTC):%Y-%m-%d %H:%M} UTC"
        return (
            f"{whose} has used {_printed(alert, alert.used)} and will reach its limit of"
            f" {_printed(alert, alert.amount)}{per} on {when} at this pace, which leads to"
            f" {_printed(alert, alert.projected)}{resets}."
        )
    noun = "soft budget" if alert.threshold_permille is None else "limit"
    return (
        f"{whose} has used {_printed(alert, alert.used)} of its"
        f" {noun} of {_printed(alert, alert.amount)}{per}{resets}."
    )


def webhook_fields(alert: Alert) -> dict[str, Any]:
    """Return the alert as LiteLLM's webhook tells it, with fields of our own behind."""
    is_money = alert.meter == Meter.USD
    soft = alert.event is Event.SOFT_BUDGET
    amount = dollars_of(alert.amount) if is_money else alert.amount
    used = dollars_of(alert.used) if is_money else alert.used
    ids = {alert.scope: alert.scope_id}
    return {
        "spend": used if is_money else None,
        "max_budget": amount if is_money and not soft else None,
        "soft_budget": amount if soft else None,
        "token": ids.get(ScopeKind.KEY),
        "customer_id": ids.get(ScopeKind.CUSTOMER),
        "user_id": alert.user_id,
        "team_id": alert.team_id,
        "team_alias": alert.team_alias,
        "organization_id": alert.organization_id,
        "user_email": alert.user_email,
        "key_alias": alert.key_alias,
        "projected_exceeded_date": _day(alert.exceeded_us),
        "projected_spend": (
            dollars_of(alert.projected) if is_money and alert.projected is not None else None
        ),
        "event": alert.event.value,
        "event_group": _GROUPS.get(alert.scope, alert.scope),
        "event_message": sentence(alert),
        "id": alert.id,
        "time": datetime.fromtimestamp(alert.at_us / 1_000_000, UTC).isoformat(),
        "scope": alert.scope,
        "scope_id": alert.scope_id,
        "scope_name": alert.scope_name,
        "meter": alert.meter,
        "window": alert.window or None,
        "model": alert.only_for,
        "amount": amount,
        "used": used,
        "threshold": _share(alert.threshold_permille),
    }


def _day(moment_us: int | None) -> str | None:
    if moment_us is None:
        return None
    return datetime.fromtimestamp(moment_us / 1_000_000, UTC).date().isoformat()


def _share(permille: int | None) -> float | None:
    return None if permille is None else permille / 1000


def _printed(alert: Alert, amount: int) -> str:
    if alert.meter == Meter.USD:
        return f"${dollars_of(amount):,.2f}"
    return f"{amount:,} {METERS[Meter(alert.meter)].noun}"
