"""Limits in their general form, and LiteLLM's several budgets at once, on every entity."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace
from typing import Any, Literal

from msgspec import structs
from pydantic import PrivateAttr, StrictBool, model_validator

from tollgate.adapters.http_api.wire.parts.base import RequestBody
from tollgate.adapters.http_api.wire.parts.raises import (
    NO_PERIODS,
    check_raise,
    raise_ends_us,
)
from tollgate.adapters.http_api.wire.parts.types import (
    Dollars,
    DurationText,
    Identifier,
    printed_time,
    wrong,
)
from tollgate.core.callers.limit_entries import (
    MOST_LIMITS,
    amount_of,
    limit_of_entry,
    printed_entry,
)
from tollgate.core.entities import LimitSet
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import ENFORCED, Meter
from tollgate.core.limits.limit import KINDS, Limit, Raise, Recurring
from tollgate.core.money.dollars import dollars_of

OWN_FIELDS = frozenset(kind.counter for kind in KINDS.values())
"""The counters of the limits that have a field of their own."""
OWN_FIELDS_OF_MODELS = frozenset(
    KINDS[field].counter for field in ("rpm_limit", "tpm_limit", "max_parallel_requests")
)
"""The counters of those that have one for single models."""


class LimitEntry(RequestBody):
    """An entry of `limits`: what is counted, how much of it, within which window.

    `amount` is in dollars where the meter is `usd`. `per` is a duration; without it the amount is
    for ever. `calendar` is a time zone, to whose days, weeks and months periods align. `model`: for
    calls of that model alone. `mode`, `strict`, `on_exceeded` and `max_wait_ms`: what becomes of a
    call that does not fit. `rollover`: what a period leaves unused goes to the next one.
    `alert_at`: shares of the amount at which an alert is told.

    `temp_increase` is added to the amount until `temp_expiry`, or to the end of the last of
    `temp_periods`, of which the present one is the first.
    """

    meter: Meter
    amount: float
    per: DurationText | None = None
    calendar: str | None = None
    model: Identifier | None = None
    mode: Literal["enforce", "shadow"] | None = None
    strict: StrictBool | None = None
    rollover: dict[str, float] | None = None
    on_exceeded: Literal["refuse"] | dict[str, str] | None = None
    max_wait_ms: int | None = None
    alert_at: tuple[float, ...] | None = None
    temp_increase: float | None = None
    temp_expiry: str | None = None
    temp_periods: int | None = None

    _limit: Limit = PrivateAttr()

    @model_validator(mode="after")
    def _countable(self) -> LimitEntry:
        try:
            self._limit = limit_of_entry(self)
            if self.temp_increase is not None:
                amount_of(self.meter, self.temp_increase, self._limit.window)
            check_raise("temp", self.temp_increase, self.temp_expiry, self.temp_periods)
            if self.temp_periods and not isinstance(self._limit.window, Recurring):
                raise BadRequest(NO_PERIODS)
        except BadRequest as error:
            raise wrong(str(error)) from error
        return self

    @property
    def limit(self) -> Limit:
        """The limit that it describes, without a raise."""
        return self._limit

    def limit_over(self, before: LimitSet, now_us: int) -> Limit:
        """Return the limit with its raise, in place of those of a scope."""
        limit = self._limit
        if not self.temp_increase:
            return limit
        amount = amount_of(self.meter, self.temp_increase, limit.window)
        began = next((each for each in before.limits if each.counter == limit.counter), limit)
        period = began.in_force(before.budget_since_us or now_us, now_us).period
        until_us = raise_ends_us(self.temp_expiry, self.temp_periods, period, now_us)
        return structs.replace(limit, increase=Raise(amount, until_us))


class BudgetWindow(RequestBody):
    """An entry of LiteLLM's `budget_limits`. `reset_at` follows from the duration and
    is ignored.
    """

    max_budget: Dollars
    budget_duration: DurationText
    reset_at: str | None = None

    @property
    def limit(self) -> Limit:
        """The limit that it describes."""
        return Limit(Meter.USD, self.max_budget, Recurring(self.budget_duration))


def check_entries(limits: Iterable[Limit]) -> None:
    """Raise an error where two limits share a counter, or there are too many."""
    counters = [each.counter for each in limits]
    if len(counters) > MOST_LIMITS:
        raise wrong(f"must hold at most {MOST_LIMITS} limits of one scope")
    for each in counters:
        if counters.count(each) > 1:
            raise wrong(
                f"must name each limit once: there are two of {each.replace('/', ' per ', 1)}"
            )


def with_entries(
    limits: LimitSet, entries: Iterable[Limit], own_fields: Set[str] = OWN_FIELDS
) -> LimitSet:
    """Return a set with these limits in place of those that have no field of their own.

    An entry that means the same as a field sets that field. `own_fields`: the counters of limits
    that have one.
    """
    added = tuple(entries)
    replaced = {each.counter for each in added}
    # What such a list said of a limit that has a field of its own goes with the list.
    kept = [
        structs.replace(each, enforcement=ENFORCED, increase=None, rollover=None, alert_at=())
        for each in limits.limits
        if each.counter in own_fields and each.counter not in replaced
    ]
    return replace(limits, limits=(*kept, *added))


def with_windows(limits: LimitSet, windows: Iterable[Limit]) -> LimitSet:
    """Return a set with these budgets in place of all others that roll."""
    kept = [each for each in limits.limits if not _rolls(each)]
    before = {each.counter: each for each in limits.limits}
    # How a budget is enforced stays: only the general form tells it.
    added = {
        each.counter: structs.replace(
            before.get(each.counter, each), amount=each.amount, window=each.window
        )
        for each in windows
    }
    return replace(
        limits,
        limits=(*(each for each in kept if each.counter not in added), *added.values()),
    )


def _rolls(limit: Limit) -> bool:
    window = limit.window
    return limit.meter is Meter.USD and isinstance(window, Recurring) and window.calendar is None


def printed_entries(limits: LimitSet, own_fields: Set[str] = OWN_FIELDS) -> list[dict[str, Any]]:
    """Return `limits`: those that have no field of their own, or of which it tells too little."""
    return [
        _printed(each)
        for each in limits.limits
        if each.counter not in own_fields
        or each.enforcement != ENFORCED
        or each.increase is not None
        or each.rollover is not None
        or each.alert_at
    ]


def _printed(limit: Limit) -> dict[str, Any]:
    found = printed_entry(limit)
    if limit.increase is not None:
        amount = limit.increase.amount
        found["temp_increase"] = dollars_of(amount) if limit.meter is Meter.USD else amount
        found["temp_expiry"] = printed_time(limit.increase.until_us)
    return found


def printed_windows(limits: LimitSet) -> list[dict[str, Any]]:
    """Return `budget_limits`: budgets that roll, beside `max_budget`."""
    return [
        {"budget_duration": each.window.duration, "max_budget": dollars_of(each.amount)}
        for each in limits.limits
        if _rolls(each) and isinstance(each.window, Recurring)
    ]
