"""Where a caller's limits stand, as response headers: OpenAI's, Anthropic's, and those of the page.

Sources: platform.openai.com/docs/guides/rate-limits (resets are Go durations until the bucket is full again),
docs.anthropic.com/en/api/rate-limits (resets are RFC 3339 times).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from tollgate.core import bucket
from tollgate.core.dialects import Family
from tollgate.core.entities import Balance, Charge, Header, LimitKind, ScopeKind, Standing

REQUEST_ID = "x-tollgate-request-id"
COST = "x-litellm-response-cost"

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
