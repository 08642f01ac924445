"""Decide which headers of a provider's reply the client sees, and under which name.

A client must be able to tell whose limits and costs a header reports. The filter is in the
provider's cluster, so it cannot touch what Tollgate adds. It is `header_mutation` because Lua takes
25 us to go through a reply's headers.
"""

from __future__ import annotations

from functools import cache

from tollgate.core.callers.credentials import OWN_PREFIX
from tollgate.core.envoy_contract import HEADER_PREFIX, TOLD_PREFIXES
from tollgate.envoy_config.literals import Json, filter_literal, overwritten

_STATES = ("limit", "remaining", "reset")
# https://platform.openai.com/docs/guides/rate-limits and compatible providers;
# https://platform.claude.com/docs/en/api/rate-limits
_LIMITS = tuple(
    f"x-ratelimit-{state}{noun}"
    for noun in ("", "-requests", "-tokens", "-project-tokens")
    for state in _STATES
)
_ANTHROPIC_LIMITS = tuple(
    f"anthropic-ratelimit-{noun}-{state}"
    for noun in ("requests", "tokens", "input-tokens", "output-tokens")
    for state in _STATES
)
# Headers that only Tollgate sends to clients.
_OURS = (*TOLD_PREFIXES, HEADER_PREFIX)
# Headers that reveal the gateway's account at a provider.
_ACCOUNT = (
    "openai-organization",
    "openai-project",
    "openai-user",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "x-goog-user-project",
    "x-amz-security-token",
)
# Headers that a browser would attribute to the gateway: cookies, alternative addresses, reporting,
# and access rights (`access-control-*`).
_SITE = (
    "alt-svc",
    "clear-site-data",
    "nel",
    "report-to",
    "reporting-endpoints",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
)


# Several expressions instead of one: Envoy bounds the size of an expression, and many short
# comparisons are no slower.
def _without(prefix: str) -> Json:
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}


_DROPPED = [
    *map(_without, (*_OURS, "access-control-")),
    *({"remove": each} for each in (*_ACCOUNT, *_SITE)),
]
# Of a request: what a client tells a gateway does not concern the provider.
_FOR_A_GATEWAY = _without(OWN_PREFIX)


@cache
def reply_headers(provider: str) -> Json:
    """Rename the provider's own limits to `llm_provider-`, if known, and drop reserved headers.

    The same filter removes request headers meant for a gateway. `retry-after` and `x-should-retry`
    stay: they are true of the call that the provider answered.
    """
    names = (*_LIMITS, *(_ANTHROPIC_LIMITS if provider == "anthropic" else ()))
    renamed = overwritten({f"llm_provider-{name}": f"%RESP({name})%" for name in names})
    mutations = {
        "request_mutations": [_FOR_A_GATEWAY],
        "response_mutations": [*({"append": each} for each in renamed), *_DROPPED],
        "response_trailers_mutations": _DROPPED,
    }
    return filter_literal("header_mutation", "HeaderMutation", mutations=mutations)
