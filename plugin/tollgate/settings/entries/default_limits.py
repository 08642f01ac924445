"""`tollgate.default_limits`: limits of each entity that has none of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tollgate.core.callers.limit_entries import MOST_LIMITS
from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import UPSTREAM, ScopeKind
from tollgate.settings.entries.limit_entry import LimitSetting

DEFAULTED = frozenset(ScopeKind) - {ScopeKind.PROXY, ScopeKind.TAG, ScopeKind.SESSION} - UPSTREAM
"""Kinds of scopes that may have default limits. The proxy has its own, and dimensions theirs;
deployments and providers have theirs in `model_list` and `router_settings`.
"""


def default_limits_of(given: Mapping[str, Iterable[LimitSetting]]) -> dict[str, LimitSet]:
    """Return default limits by kind of scope. Raises ValueError for what cannot be."""
    found = {}
    for name, entries in given.items():
        if name not in DEFAULTED:
            right = ", ".join(sorted(DEFAULTED))
            raise ValueError(
                f"default_limits.{name}: must be one of {right}; limits of the proxy are"
                " tollgate.limits, those of a dimension stand there"
            )
        limits = tuple(each.limit for each in entries)
        if len({each.counter for each in limits}) < len(limits) or len(limits) > MOST_LIMITS:
            raise ValueError(
                f"default_limits.{name}: at most {MOST_LIMITS}, of one meter and window only one"
            )
        if limits:
            found[name] = LimitSet(limits)
    return found
