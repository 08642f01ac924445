"""LiteLLM's limits of each session: `max_budget_per_session` and `max_iterations`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.limits import printed_dollars
from tollgate.adapters.http_api.wire.parts.types import Count, Dollars
from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import Forever, Limit


class SessionFields(RequestBody):
    """What each session may use in all: dollars, and calls."""

    max_budget_per_session: Dollars | None = None
    max_iterations: Count | None = None

    def session_limits_over(self, before: LimitSet) -> LimitSet:
        """Return the limits of each session with these fields applied."""
        after = before
        if "max_budget_per_session" in self.model_fields_set:
            after = replace(after, max_budget_nanousd=self.max_budget_per_session)
        if "max_iterations" in self.model_fields_set:
            most = self.max_iterations
            limits = () if most is None else (Limit(Meter.REQUESTS, most, Forever()),)
            after = replace(after, limits=limits)
        return after


class SessionRow(ResponseBody):
    """The limits of each session."""

    max_budget_per_session: float | None
    max_iterations: int | None


def session_row(limits: LimitSet) -> dict[str, Any]:
    """Return the values of a `SessionRow`."""
    return {
        "max_budget_per_session": printed_dollars(limits.max_budget_nanousd),
        "max_iterations": limits.limits[0].amount if limits.limits else None,
    }
