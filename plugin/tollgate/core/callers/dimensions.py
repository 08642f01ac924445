"""Dimensions: scopes whose ids requests themselves tell.

The sources of tags and sessions are LiteLLM's (https://docs.litellm.ai/docs/proxy/tag_budgets,
https://docs.litellm.ai/docs/a2a_iteration_budgets).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tollgate.core.callers.customer_ids import HEADERS as CUSTOMER_HEADERS
from tollgate.core.callers.verified import VerifiedSource
from tollgate.core.entities import NO_LIMITS, LimitSet, ModelLimits
from tollgate.core.limits.accounts import ScopeKind


class Dimension(Struct, frozen=True):
    """A dimension: where requests tell its values, and the limits of each that nobody registered.

    `places` are names in the body, `NAME` or `OBJECT.NAME`. `several`: a request may carry more
    than one; else the first source that tells one counts: those that Envoy vouches for (`verified`)
    come first, then headers, then the body. `remember_us` is how long the store keeps
    a value that nobody uses. `most_values`: how many that nobody registered are told apart (0: any
    number); `refuses_more`: calls with others are refused, instead of sharing OVERFLOW's limits.
    """

    name: str
    headers: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    several: bool = False
    limits: LimitSet = NO_LIMITS
    model_limits: tuple[ModelLimits, ...] = ()
    remember_us: int = 0
    most_values: int = 0
    refuses_more: bool = False
    verified: tuple[VerifiedSource, ...] = ()


OVERFLOW = "(others)"
"""The value that all values beyond `most_values` share."""

TAG = Dimension(
    ScopeKind.TAG, ("x-litellm-tags",), ("metadata.tags", "litellm_metadata.tags"), several=True
)
SESSION = Dimension(
    ScopeKind.SESSION,
    ("x-litellm-trace-id", "x-session-id"),
    ("metadata.trace_id", "litellm_metadata.trace_id", "litellm_trace_id"),
)
UNBOUNDED_CUSTOMERS = Dimension(ScopeKind.CUSTOMER, CUSTOMER_HEADERS)
"""Customers, of whom any number is told apart."""
BUILT_IN: Mapping[str, Dimension] = {each.name: each for each in (TAG, SESSION)}

Values = tuple[tuple[str, str], ...]
"""What a request tells: dimensions, each with a value."""
