"""Limits in their general form, and LiteLLM's several budgets at once, on every entity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from pydantic import PrivateAttr, model_validator

from tollgate.adapters.http_api.wire.parts.base import RequestBody
from tollgate.adapters.http_api.wire.parts.types import Dollars, DurationText, Identifier, wrong
from tollgate.core.callers.limit_entries import MOST_LIMITS, limit_of_entry, printed_entry
from tollgate.core.entities import LimitSet
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import KINDS, Limit, Recurring
from tollgate.core.money.dollars import dollars_of

_OWN_FIELDS = frozenset(kind.counter for kind in KINDS.values())


class LimitEntry(RequestBody):
    """An entry of `limits`: what is counted, how much of it, within which window.

    `amount` is in dollars where the meter is `usd`. `per` is a duration; without it the amount is
    for ever. `calendar` is a time zone, to whose days, weeks and months periods align. `model`: for
    calls of that model alone.
    """

    meter: Meter
    amount: float
    per: DurationText | None = None
    calendar: str | None = None
    model: Identifier | None = None
    mode: Literal["enforce"] | None = None
    strict: Literal[False] | None = None

    _limit: Limit = PrivateAttr()

    @model_validator(mode="after")
    def _countable(self) -> LimitEntry:
        try:
            self._limit = limit_of_entry(self.meter, self.amount, self.per, self.calendar)
        except BadRequest as error:
            raise wrong(str(error)) from error
        return self

    @property
    def limit(self) -> Limit:
        """The limit that it describes."""
        return self._limit


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


def with_entries(limits: LimitSet, entries: Iterable[Limit]) -> LimitSet:
    """Return a set with these limits in place of those that have no field of their own.

    An entry that means the same as a field sets that field.
    """
    added = tuple(entries)
    replaced = {each.counter for each in added}
    kept = [
        each
        for each in limits.limits
        if each.counter in _OWN_FIELDS and each.counter not in replaced
    ]
    return replace(limits, limits=(*kept, *added))


def with_windows(limits: LimitSet, windows: Iterable[Limit]) -> LimitSet:
    """Return a set with these budgets in place of all others that roll."""
    kept = [each for each in limits.limits if not _rolls(each)]
    added = {each.counter: each for each in windows}
    return replace(
        limits,
        limits=(*(each for each in kept if each.counter not in added), *added.values()),
    )


def _rolls(limit: Limit) -> bool:
    window = limit.window
    return limit.meter is Meter.USD and isinstance(window, Recurring) and window.calendar is None


def printed_entries(limits: LimitSet) -> list[dict[str, Any]]:
    """Return `limits`: those that have no field of their own."""
    return [printed_entry(each) for each in limits.limits if each.counter not in _OWN_FIELDS]


def printed_windows(limits: LimitSet) -> list[dict[str, Any]]:
    """Return `budget_limits`: budgets that roll, beside `max_budget`."""
    return [
        {"budget_duration": each.window.duration, "max_budget": dollars_of(each.amount)}
        for each in limits.limits
        if _rolls(each) and isinstance(each.window, Recurring)
    ]
