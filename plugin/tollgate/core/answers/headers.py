"""Where a caller's limits stand, as response headers: OpenAI's, Anthropic's, and those of the page.

Sources: platform.openai.com/docs/guides/rate-limits (resets are Go durations until the bucket is
full again), docs.anthropic.com/en/api/rate-limits (resets are RFC 3339 times),
datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from tollgate.core.calls.decision import Header
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import Account, Accounts, Balance, LimitKind, ScopeKind, Standing
from tollgate.core.requests.dialects import Family

REQUEST_ID = "x-tollgate-request-id"
COST = "x-litellm-response-cost"
CHALLENGE = Header("www-authenticate", "Bearer")
"""What a 401 asks for (RFC 9110, 11.6.1)."""

# RFC 9110, 5.6.2: a header's name is a token.
_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_MOST_NAME_CHARACTERS = 256

_POLICIES = {
    LimitKind.REQUESTS: ("requests", ";w=60"),
    LimitKind.TOKENS: ("tokens", ';w=60;qu="tollgate-tokens"'),
    LimitKind.PARALLEL: ("parallel", ';qu="concurrent-requests"'),
}


# The members of an enumeration are slow to look up.
_KEY = ScopeKind.KEY


def standing_headers(
    accounts: Accounts, standing: Standing, family: Family, model: str
) -> tuple[Header, ...]:
    """The headers that tell where the limits of a request stand: of each rate the limit that has
    least left, and what the key has left for the model (the limit for this model alone, where
    there is one).

    Accounts without a balance in the standing are passed over; without a model nothing is told of
    it.
    """
    requests = tokens = key_requests = key_tokens = None
    spend: tuple[Header, ...] = ()
    for account, balance in zip(accounts, standing.balances, strict=False):
        scope = account.scope
        of_key = scope.kind is _KEY
        if (rpm := account.rpm) is not None:
            left = bucket.remaining(balance.requests, rpm)
            if requests is None or left < requests[0]:
                requests = left, rpm, balance.requests
            if of_key:
                key_requests = left
        if (tpm := account.tpm) is not None:
            left = bucket.remaining(balance.tokens, tpm)
            if tokens is None or left < tokens[0]:
                tokens = left, tpm, balance.tokens
            if of_key:
                key_tokens = left
        if of_key and scope.model is None:
            spend = _spend_headers(account, balance)
    found: list[Header] = []
    for noun, rate, left_of_key in (
        ("requests", requests, key_requests),
        ("tokens", tokens, key_tokens),
    ):
        if rate is not None:
            found += _rate_headers(*rate, noun, family, standing.now_us)
        if left_of_key is not None and model:
            found.append(Header(_key_remaining(noun, model), str(left_of_key)))
    return (*found, *spend)


def ietf_headers(accounts: Accounts, standing: Standing) -> tuple[Header, ...]:
    """Every limit of a request by rate, as draft-ietf-httpapi-ratelimit-headers-10 writes them: one
    policy for each, named by its scope.

    Tokens are no unit of its registry, so theirs is ours; budgets are no rates and stay out.
    """
    policies, states = [], []
    for account, balance in zip(accounts, standing.balances, strict=False):
        narrowed = "" if account.scope.model is None else "-model"
        for kind, limit, state in (
            (LimitKind.REQUESTS, account.rpm, _ietf_rate(balance.requests, account.rpm)),
            (LimitKind.TOKENS, account.tpm, _ietf_rate(balance.tokens, account.tpm)),
            (
                LimitKind.PARALLEL,
                account.parallel,
                f"r={max(0, (account.parallel or 0) - balance.parallel)}",
            ),
        ):
            if limit is not None:
                noun, parameters = _POLICIES[kind]
                name = f'"{account.scope.kind.value}{narrowed}-{noun}"'
                policies.append(f"{name};q={limit}{parameters}")
                states.append(f"{name};{state}")
    if not policies:
        return ()
    return (Header("ratelimit-policy", ", ".join(policies)), Header("ratelimit", ", ".join(states)))


def _ietf_rate(used: int, limit: int | None) -> str:
    """What is left, and in how many seconds: something again where nothing is (so Retry-After is
    never earlier), else all of it.
    """
    if limit is None:
        return ""
    left = bucket.remaining(used, limit)
    wait_ms = bucket.reset_ms(used, limit) if left else bucket.wait_ms(used, 1, limit)
    return f"r={left}" if wait_ms is None else f"r={left};t={-(-wait_ms // 1000)}"


def dollars(nanousd: int) -> str:
    """An amount as the page prints it: a float of dollars."""
    return repr(nanousd / 1_000_000_000)


def go_duration(milliseconds: int) -> str:
    """A duration as Go prints it, and OpenAI with it: `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    if milliseconds == 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{seconds}.{rest:03}".rstrip("0") if rest else str(seconds)
    if hours:
        return f"{hours}h{minutes}m{shown}s"
    return f"{minutes}m{shown}s" if minutes else f"{shown}s"


def _rate_headers(
    remaining: int, limit: int, used: int, noun: str, family: Family, now_us: int
) -> list[Header]:
    reset_ms = bucket.reset_ms(used, limit)
    found = [
        Header(f"x-ratelimit-limit-{noun}", str(limit)),
        Header(f"x-ratelimit-remaining-{noun}", str(remaining)),
        Header(f"x-ratelimit-reset-{noun}", go_duration(reset_ms)),
    ]
    if family is Family.ANTHROPIC:
        reset = datetime.fromtimestamp(-(-(now_us + reset_ms * 1000) // 1_000_000), UTC)
        found += [
            Header(f"anthropic-ratelimit-{noun}-limit", str(limit)),
            Header(f"anthropic-ratelimit-{noun}-remaining", str(remaining)),
            Header(f"anthropic-ratelimit-{noun}-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ]
    return found


# A wildcard of the configuration leaves the rest of a name to the client, so names are cut and the
# cache is bounded.
@lru_cache(maxsize=4096)
def _key_remaining(noun: str, model: str) -> str:
    return f"x-litellm-key-remaining-{noun}-{_NO_TOKEN.sub('-', model[:_MOST_NAME_CHARACTERS])}"


def _spend_headers(account: Account, balance: Balance) -> tuple[Header, ...]:
    spent = Header("x-litellm-key-spend", dollars(balance.used_nanousd))
    if account.budget_nanousd is None:
        return (spent,)
    return spent, Header("x-litellm-key-max-budget", dollars(account.budget_nanousd))


def misplaced_bearer(headers: Mapping[str, str]) -> str:
    """A sentence about a header that carries a Bearer token and is not Authorization, as the page's
    own slip; else nothing.
    """
    carries = (name for name, value in headers.items() if value[:7].lower() == "bearer ")
    name = next((name for name in carries if name.lower() != "authorization"), None)
    return (
        ""
        if name is None
        else f" The header {name!r} carries a Bearer token; its name must be 'Authorization'."
    )
