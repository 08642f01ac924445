"""Where a caller's limits stand, as response headers: OpenAI's, Anthropic's, and those of the page.

Sources: platform.openai.com/docs/guides/rate-limits (resets are Go durations until the bucket is
full again), docs.anthropic.com/en/api/rate-limits (resets are RFC 3339 times),
datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct

from tollgate.core.calls.decision import Header
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits import bucket, lease
from tollgate.core.limits.accounts import (
    UPSTREAM,
    Account,
    Accounts,
    Balance,
    Meter,
    Quota,
    ScopeKind,
    Standing,
    accounts_bytes,
    amounts_are_confidential,
)
from tollgate.core.limits.limit import METERS, length_of
from tollgate.core.memo import Memo
from tollgate.core.requests.dialects import Family

REQUEST_ID = "x-tollgate-request-id"
COST = "x-litellm-response-cost"
SHADOW = "x-tollgate-shadow"
"""Names the limits in shadow mode that a call did not fit."""
SERVED_MODEL = "x-tollgate-model"
"""The model that serves a call in place of the one that was asked for."""
CHALLENGE = Header("www-authenticate", "Bearer")
"""What a 401 asks for (RFC 9110, 11.6.1)."""

# RFC 9110, 5.6.2: a header's name is a token.
_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_MOST_NAME_CHARACTERS = 256

_MINUTE = 60
# OpenAI has no headers for the two kinds of tokens; Anthropic has.
_OPENAI_NOUNS = frozenset({"requests", "tokens"})


class _Place(Struct, frozen=True):
    """A rate among the accounts of a request: the number of its account, its own there, and it."""

    account: int
    limit: int
    quota: Quota


class _Rate(Struct, frozen=True):
    """The limits of one meter that headers tell: those of the shortest window, of which the one
    with least left is told, and the key's (the one for this model alone, where there is one).
    """

    noun: str
    places: tuple[_Place, ...]
    of_key: _Place | None


class _Told(Struct, frozen=True):
    """What headers tell of accounts: their rates, and the number of the key's account."""

    rates: tuple[_Rate, ...]
    key: int | None


def _told(accounts: Accounts) -> _Told:
    rates = []
    for meter, row in METERS.items():
        places = [
            _Place(number, place, quota)
            for number, account in enumerate(accounts)
            for place, quota in enumerate(account.limits)
            if quota.meter is meter
            and quota.seconds
            and not quota.enforcement.shadow
            and account.scope.kind not in UPSTREAM
        ]
        if row.header is None or not places:
            continue
        shortest = min(each.quota.seconds for each in places)
        rates.append(
            _Rate(
                row.header,
                tuple(each for each in places if each.quota.seconds == shortest),
                _find_place_of_key(accounts, places),
            )
        )
    keys = [
        number
        for number, account in enumerate(accounts)
        if account.scope.kind == ScopeKind.KEY and account.scope.model is None
    ]
    return _Told(tuple(rates), keys[0] if keys else None)


def _find_place_of_key(accounts: Accounts, places: Sequence[_Place]) -> _Place | None:
    """Return the key's shortest rate; the limit for this model alone stands behind the key's."""
    found = [each for each in places if accounts[each.account].scope.kind == ScopeKind.KEY]
    return max(found, key=lambda each: (each.account, -each.quota.seconds)) if found else None


_told_of: Memo[Accounts, _Told] = Memo(_told, accounts_bytes)


def standing_headers(
    accounts: Accounts, standing: Standing, family: Family, model: str
) -> tuple[Header, ...]:
    """The headers that tell where the limits of a request stand: of each rate the limit that has
    least left, and what the key has left for the model (the limit for this model alone, where there
    is one).

    Accounts without a balance in the standing are passed over; without a model nothing is told of
    it.
    """
    told, balances = _told_of.get(accounts), standing.balances
    found: list[Header] = []
    for rate in told.rates:
        least, least_left, used_of_least = None, 0, 0
        for place in rate.places:
            used = balances[place.account].used[place.limit]
            left = bucket.remaining(place.quota, used)
            if least is None or left < least_left:
                least, least_left, used_of_least = place.quota, left, used
        assert least is not None
        found += _rate_headers(least_left, least, used_of_least, rate.noun, family, standing.now_us)
        if rate.of_key is not None and model and rate.noun in _OPENAI_NOUNS:
            place = rate.of_key
            left = bucket.remaining(place.quota, balances[place.account].used[place.limit])
            found.append(Header(_key_remaining(rate.noun, model), str(left)))
    if told.key is not None and told.key < len(balances):
        found += _spend_headers(accounts[told.key], balances[told.key])
    return tuple(found)


class StandingHeaders:
    """Headers that tell where limits stand, with the IETF's if `ietf`; those of the last standing
    are kept.

    Calls of one caller that the store answered together share their standing.
    """

    __slots__ = ("_found", "_ietf", "_of")

    def __init__(self, *, ietf: bool) -> None:
        self._ietf = ietf
        self._of: tuple[Standing | None, Family | None, str] = (None, None, "")
        self._found: tuple[Header, ...] = ()

    def find(
        self, accounts: Accounts, standing: Standing, family: Family, model: str
    ) -> tuple[Header, ...]:
        """Return the headers: the same tuple for the same standing."""
        last, last_family, last_model = self._of
        if last is not standing or last_family is not family or last_model != model:
            self._found = standing_headers(accounts, standing, family, model)
            if self._ietf:
                self._found += ietf_headers(accounts, standing)
            self._of = standing, family, model
        return self._found


def ietf_headers(accounts: Accounts, standing: Standing) -> tuple[Header, ...]:
    """Every limit of a request by rate, as draft-ietf-httpapi-ratelimit-headers-10 writes them: one
    policy for each, named by its scope.

    Tokens are no unit of its registry, so theirs is ours. Budgets and quotas of a period are no
    rates and stay out.
    """
    policies, states = [], []
    for account, balance in zip(accounts, standing.balances, strict=False):
        narrowed = "" if account.scope.model is None else "-model"
        for quota, used in zip(account.limits, balance.used, strict=True):
            rated, in_flight = quota.seconds > 0, quota.meter is Meter.CALLS
            if not (rated or in_flight) or quota.enforcement.shadow or quota.trickle:
                continue
            if amounts_are_confidential(account.scope.kind, quota.meter):
                continue
            noun = "parallel" if in_flight else quota.meter.value.replace("_", "-")
            window = "" if quota.seconds in (0, _MINUTE) else f"-{length_of(quota)}"
            name = f'"{account.scope.kind}{narrowed}-{noun}{window}"'
            parameters = f";w={quota.seconds}" if rated else ""
            policies.append(f"{name};q={quota.amount}{parameters}{METERS[quota.meter].unit}")
            state = _ietf_rate(quota, used) if rated else f"r={lease.remaining(quota, used, used)}"
            states.append(f"{name};{state}")
    if not policies:
        return ()
    return (Header("ratelimit-policy", ", ".join(policies)), Header("ratelimit", ", ".join(states)))


def enforcement_headers(reservation: Reservation) -> tuple[Header, ...]:
    """Return what is told of limits that a call did not fit and that did not refuse it."""
    found = []
    if reservation.shadow:
        found.append(Header(SHADOW, reservation.shadow))
    if reservation.instead_of:
        found.append(Header(SERVED_MODEL, _printable(reservation.model)))
    return tuple(found)


def _printable(name: str) -> str:
    return name.encode("ascii", "replace").decode()


def _ietf_rate(quota: Quota, used: int) -> str:
    """What is left, and in how many seconds: something again where nothing is (so Retry-After is
    never earlier), else all of it.
    """
    left = bucket.remaining(quota, used)
    wait_ms = bucket.reset_ms(quota, used) if left else bucket.wait_ms(quota, used, 1)
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
    remaining: int, quota: Quota, used: int, noun: str, family: Family, now_us: int
) -> list[Header]:
    limit, reset_ms, found = str(quota.amount), bucket.reset_ms(quota, used), list[Header]()
    if noun in _OPENAI_NOUNS:
        found = [
            Header(f"x-ratelimit-limit-{noun}", limit),
            Header(f"x-ratelimit-remaining-{noun}", str(remaining)),
            Header(f"x-ratelimit-reset-{noun}", go_duration(reset_ms)),
        ]
    if family is Family.ANTHROPIC:
        reset = datetime.fromtimestamp(-(-(now_us + reset_ms * 1000) // 1_000_000), UTC)
        found += [
            Header(f"anthropic-ratelimit-{noun}-limit", limit),
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
    spent = Header("x-litellm-key-spend", dollars(balance.spent_nanousd))
    for quota in account.limits:
        if quota.meter is Meter.USD and quota.duration is None:
            return spent, Header("x-litellm-key-max-budget", dollars(quota.amount))
    return (spent,)
