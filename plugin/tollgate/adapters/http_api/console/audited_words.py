"""Fields of the audit log in the words of the console: limits as its other pages call them, dollars
and times as such, anything else as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tollgate.adapters.http_api.console.page_rendering import as_json, moment, precise_dollars
from tollgate.core.entities import LimitSet, ModelLimits
from tollgate.core.limits.accounts import Enforcement, Meter, Quota
from tollgate.core.limits.limit import METERS, Limit, Raise, Recurring, described

_NO_LIMITS = "no limits"
_ONLY_COUNTS = "only counts (shadow)"


def audited(name: str, value: Any) -> str:
    """Return the value of a field for people."""
    if value is not None and name.endswith("limits"):
        try:
            return "; ".join(_lines(value)) or _NO_LIMITS
        except msgspec.ValidationError:  # as another version of Tollgate wrote them
            pass
    return as_json(_readable(name, value))


def _lines(value: Any) -> Iterator[str]:
    """Yield the limits of a scope, or of each model. Raises msgspec.ValidationError."""
    if isinstance(value, Mapping):
        yield from _limit_lines(msgspec.convert(value, LimitSet))
        return
    for each in msgspec.convert(value, tuple[ModelLimits, ...]):
        yield f"{each.model}: {', '.join(_limit_lines(each.limits)) or _NO_LIMITS}"


def _limit_lines(limits: LimitSet) -> Iterator[str]:
    """Yield each limit of a scope, the budget first, and what holds for all of them."""
    if limits.max_budget_nanousd is not None:
        budget = Quota(Meter.USD, limits.max_budget_nanousd, duration=limits.budget_duration)
        words = _calendar(limits.calendar_timezone), *_raise(Meter.USD, limits.budget_increase)
        shadow = Enforcement(shadow=limits.budget_shadow)
        yield _joined(budget, budget.amount, *words, *_enforcement(shadow))
    elif limits.budget_increase is not None:  # of a budget that it inherits
        yield from _raise(Meter.USD, limits.budget_increase)
    for each in limits.limits:
        yield _joined(each.in_force(0, 0), each.amount, *_limit_words(each))
    if limits.budget_since_us:
        yield f"periods since {moment(limits.budget_since_us)}"
    if limits.shadow:
        yield f"each {_ONLY_COUNTS}"


def _joined(quota: Quota, amount: int, *words: str) -> str:
    """Return a limit with its amount, without a raise of it, and what else there is to say."""
    of = described(quota).removeprefix(METERS[Meter.USD].noun).strip()
    first = f"{_amount(quota.meter, amount)} {of}".rstrip()
    return ", ".join((first, *filter(None, words)))


def _limit_words(limit: Limit) -> Iterator[str]:
    if isinstance(limit.window, Recurring):
        yield _calendar(limit.window.calendar)
        if limit.window.since_us:
            yield f"periods since {moment(limit.window.since_us)}"
    yield from _raise(limit.meter, limit.increase)
    if limit.rollover is not None:
        yield f"rolls over up to {_amount(limit.meter, limit.rollover)}"
    yield from _enforcement(limit.enforcement)
    if limit.alert_at:
        yield f"tells at {', '.join(f'{each / 10:g}%' for each in limit.alert_at)}"


def _calendar(zone: str | None) -> str:
    return "" if zone is None else f"calendar {zone}"


def _raise(meter: Meter, increase: Raise | None) -> Iterator[str]:
    if increase is not None:
        amount = _amount(meter, increase.amount)
        yield f"raised by {amount} until {moment(increase.until_us)}"


def _enforcement(enforcement: Enforcement) -> Iterator[str]:
    if enforcement.shadow:
        yield _ONLY_COUNTS
    if enforcement.strict:
        yield "strict"
    if enforcement.fallback_model is not None:
        yield f"then {enforcement.fallback_model} serves"
    if enforcement.throttle_percent:
        yield f"then throttled to {enforcement.throttle_percent}%"
    if enforcement.max_wait_ms:
        yield f"calls wait up to {enforcement.max_wait_ms} ms"


def _amount(meter: Meter, amount: int) -> str:
    return precise_dollars(amount) if meter is Meter.USD else f"{amount:,}"


def _readable(name: str, value: Any) -> Any:
    """Return a value with dollars and times as people write them, without what says nothing."""
    if isinstance(value, dict):
        # 0 says that nothing is allowed, and a time of 0 that there is none.
        return {
            each.removesuffix("_nanousd").removesuffix("_us"): _readable(each, given)
            for each, given in value.items()
            if given is not False
            and given not in (None, [], {})
            and not (each.endswith("_us") and given == 0)
        }
    if isinstance(value, list):
        return [_readable(name, each) for each in value]
    if isinstance(value, int) and name.endswith("_nanousd"):
        return precise_dollars(value)
    if isinstance(value, int) and name.endswith("_us"):
        return moment(value)
    return value
