"""Where a caller's limits stand, as response headers: OpenAI's, Anthropic's, and those of the page.

Sources: platform.openai.com/docs/guides/rate-limits (resets are Go durations until the bucket is full again),
docs.anthropic.com/en/api/rate-limits (resets are RFC 3339 times), datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from tollgate.core import bucket
from tollgate.core.dialects import Family
from tollgate.core.entities import Balance, Charge, Header, LimitKind, ScopeKind, Standing

REQUEST_ID = "x-tollgate-request-id"
COST = "x-litellm-response-cost"

_POLICIES = {
    LimitKind.REQUESTS: ("requests", ";w=60"),
    LimitKind.TOKENS: ("tokens", ';w=60;qu="tollgate-tokens"'),
    LimitKind.PARALLEL: ("parallel", ';qu="concurrent-requests"'),
}

Stand = tuple[Charge, Balance]


def standing_headers(charges: tuple[Charge, ...], standing: Standing, family: Family, model: str) -> tuple[Header, ...]:
    """The headers that tell where the limits of a request stand. Charges without a balance in the standing are passed over."""
    stands = list(zip(charges, standing.balances, strict=False))
    found: list[Header] = []
    for kind, noun in ((LimitKind.REQUESTS, "requests"), (LimitKind.TOKENS, "tokens")):
        of_kind = [stand for stand in stands if stand[0].kind is kind]
        if of_kind:
            found += _rate_headers(min(of_kind, key=_remaining), noun, family, standing.now_us)
            found += _key_headers(of_kind, noun, model)
    return (*found, *_spend_headers(stands))


def ietf_headers(charges: tuple[Charge, ...], standing: Standing) -> tuple[Header, ...]:
    """Every limit of a request by rate, as draft-ietf-httpapi-ratelimit-headers-10 writes them: one policy for each, named by its
    scope. Tokens are no unit of its registry, so theirs is ours; budgets are no rates and stay out."""
    policies, states = [], []
    for charge, balance in zip(charges, standing.balances, strict=False):
        if charge.kind is LimitKind.BUDGET or charge.limit is None:
            continue
        narrowed = "" if charge.scope.model is None else "-model"
        noun, parameters = _POLICIES[charge.kind]
        name = f'"{charge.scope.kind.value}{narrowed}-{noun}"'
        policies.append(f"{name};q={charge.limit}{parameters}")
        states.append(f"{name};{_ietf_state(charge, balance, charge.limit)}")
    if not policies:
        return ()
    return (Header("ratelimit-policy", ", ".join(policies)), Header("ratelimit", ", ".join(states)))


def _ietf_state(charge: Charge, balance: Balance, limit: int) -> str:
    """What is left, and in how many seconds: something again where nothing is (so Retry-After is never earlier), else all of it."""
    if charge.kind is LimitKind.PARALLEL:
        return f"r={max(0, limit - balance.used)}"
    left = bucket.remaining(balance.used, limit)
    wait_ms = bucket.reset_ms(balance.used, limit) if left else bucket.wait_ms(balance.used, 1, limit)
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


def _remaining(stand: Stand) -> int:
    charge, balance = stand
    return bucket.remaining(balance.used, charge.limit or 0)


def _rate_headers(stand: Stand, noun: str, family: Family, now_us: int) -> Iterator[Header]:
    charge, balance = stand
    limit = charge.limit or 0
    remaining, reset_ms = bucket.remaining(balance.used, limit), bucket.reset_ms(balance.used, limit)
    if family is Family.ANTHROPIC:
        reset = datetime.fromtimestamp(-(-(now_us + reset_ms * 1000) // 1_000_000), UTC)
        yield Header(f"anthropic-ratelimit-{noun}-limit", str(limit))
        yield Header(f"anthropic-ratelimit-{noun}-remaining", str(remaining))
        yield Header(f"anthropic-ratelimit-{noun}-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ"))
    yield Header(f"x-ratelimit-limit-{noun}", str(limit))
    yield Header(f"x-ratelimit-remaining-{noun}", str(remaining))
    yield Header(f"x-ratelimit-reset-{noun}", go_duration(reset_ms))


def _key_headers(stands: Iterable[Stand], noun: str, model: str) -> Iterator[Header]:
    """What the key has left for the model; the limit for this model alone tells it, where there is one."""
    of_key = [stand for stand in stands if stand[0].scope.kind is ScopeKind.KEY]
    if of_key:
        # Header names hold neither slash nor colon, which model names may.
        name = model.replace("/", "-").replace(":", "-")
        yield Header(f"x-litellm-key-remaining-{noun}-{name}", str(_remaining(of_key[-1])))


def _spend_headers(stands: Iterable[Stand]) -> Iterator[Header]:
    for charge, balance in stands:
        if charge.kind is LimitKind.BUDGET and charge.scope.kind is ScopeKind.KEY and charge.scope.model is None:
            yield Header("x-litellm-key-spend", dollars(balance.used))
            if charge.limit is not None:
                yield Header("x-litellm-key-max-budget", dollars(charge.limit))


def provider_headers(headers: Mapping[str, str]) -> tuple[tuple[Header, ...], tuple[str, ...]]:
    """A provider's own rate-limit headers under `llm_provider-`, and their names: ours stand under those."""
    own = tuple(name for name in headers if name.startswith(("x-ratelimit-", "anthropic-ratelimit-")))
    return tuple(Header(f"llm_provider-{name}", headers[name]) for name in own), own


def misplaced_bearer(headers: Mapping[str, str]) -> str:
    """A sentence about a header that carries a Bearer token and is not Authorization, as the page's own slip; else nothing."""
    carries = (name for name, value in headers.items() if value[:7].lower() == "bearer ")
    name = next((name for name in carries if name.lower() != "authorization"), None)
    return "" if name is None else f" The header {name!r} carries a Bearer token; its name must be 'Authorization'."
