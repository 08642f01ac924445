"""Where budget periods are counted from: the entity's creation, or the last change of a duration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tollgate.core.entities import LimitSet
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
    """The new limits; another duration or calendar starts a period of its own now."""
    same = (before.budget_duration, before.calendar_timezone) == (
        after.budget_duration,
        after.calendar_timezone,
    )
    return after if same else replace(after, budget_since_us=now_us)
