"""What follows from a change of limits."""

from __future__ import annotations

from dataclasses import replace

from tollgate.core.entities import LimitSet


def restarted(before: LimitSet, after: LimitSet, now_us: int) -> LimitSet:
    """The new limits; another duration or calendar starts a period of its own now."""
    same = (before.budget_duration, before.calendar_timezone) == (
        after.budget_duration,
        after.calendar_timezone,
    )
    return after if same else replace(after, budget_since_us=now_us)
