"""Where budget periods are counted from: the entity's creation, or the last change
of a duration.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tollgate.core.entities import LimitSet
from tollgate.core.limits.limit import Limit, Recurring
from tollgate.ports import E


def new_entity(blank: E, created_us: int, *, period_us: int | None = None) -> E:
    """Return a new entity with its time of creation, from which its periods are counted too.

    `period_us`: a moment at which a period begins or ends, if it is another one.
    """
    entity: Any = blank
    since_us = created_us if period_us is None else period_us
    limits = replace(entity.limits, budget_since_us=since_us)
    created: E = replace(entity, created_us=created_us, updated_us=created_us, limits=limits)
    return created


def restarted(before: LimitSet, after: LimitSet, now_us: int) -> LimitSet:
    """Return the new limits; a period of another duration, or on another calendar, starts now.

    A limit whose periods are as long as before keeps their beginning, unless its calendar changes.
    """
    began = {
        (each.counter, _calendar(each)): _since_us(each) or before.budget_since_us
        for each in before.limits
    }
    limits = tuple(
        each.begun(began.get((each.counter, _calendar(each)), now_us)) for each in after.limits
    )
    same = (before.budget_duration, before.calendar_timezone) == (
        after.budget_duration,
        after.calendar_timezone,
    )
    since_us = after.budget_since_us if same else now_us
    return replace(after, limits=limits, budget_since_us=since_us)


def _calendar(limit: Limit) -> str | None:
    if not isinstance(limit.window, Recurring):
        return None
    return limit.window.calendar


def _since_us(limit: Limit) -> int:
    if not isinstance(limit.window, Recurring):
        return 0
    return limit.window.since_us
