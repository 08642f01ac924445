"""Scopes and accounts: who is limited, by how much, and where they stand. Frozen values.

Units: money is integer nano-dollars (`_nanousd`), time integer microseconds since the epoch
(`_us`), tokens are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec import Struct, structs

from tollgate.core.limits.shares import Share

# Lua counts in doubles: integers above this are not exact, so no limit and no single amount may
# exceed it. Sums are kept in two parts.
MAX_EXACT = 2**53 - 1

DEFAULT_ORGANIZATION = "default"


class ScopeKind(StrEnum):
    """Who a limit belongs to, in the order in which a refusal names them."""

    PROXY = "proxy"
    ORGANIZATION = "organization"
    ORGANIZATION_MEMBER = "organization_member"
    TEAM = "team"
    MEMBER = "member"
    USER = "user"
    CUSTOMER = "customer"
    TAG = "tag"
    SESSION = "session"
    KEY = "key"
    PROVIDER = "provider"
    DEPLOYMENT = "deployment"


_WITHIN_ORGANIZATION = frozenset(
    {
        ScopeKind.ORGANIZATION,
        ScopeKind.ORGANIZATION_MEMBER,
        ScopeKind.TEAM,
        ScopeKind.MEMBER,
        ScopeKind.SESSION,
        ScopeKind.KEY,
    }
)


UPSTREAM: Final = frozenset({ScopeKind.PROVIDER, ScopeKind.DEPLOYMENT})
"""Scopes of what serves a call. All others belong to whoever asks."""


def spans_organizations(kind: str) -> bool:
    """Whether a scope of this kind counts the calls of every organization together."""
    return kind not in _WITHIN_ORGANIZATION


class Meter(StrEnum):
    """What one call counts, in the order in which an account's limits are checked.

    `uncached_tokens` are input without what was read from a cache, and output. `calls` are those in
    flight, `usd` is counted in nano-dollars.
    """

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    UNCACHED_TOKENS = "uncached_tokens"
    CALLS = "calls"
    USD = "usd"


def amounts_are_confidential(kind: str, meter: str) -> bool:
    """Whether holders of keys are told no amounts of a limit, only that it is used up and until
    when: it says what the whole company may spend, or what a provider grants it.

    By the rates and calls in flight of the whole gateway they pace themselves, so those are told.
    """
    return kind in UPSTREAM or (kind == ScopeKind.PROXY and meter == Meter.USD)


class Scope(Struct, frozen=True, array_like=True, gc=False):
    """One entity, or one entity narrowed to one model. A member's id is `team/user`.

    `kind` is a `ScopeKind`, or the name of a declared dimension. `home` is the organization in
    whose place the counters are, if it is not that of the caller (see `place_of`).
    """

    kind: str
    id: str
    model: str | None = None
    home: str | None = None

    def narrowed(self, model: str) -> Scope:
        """Return the scope for calls of one model."""
        return Scope(self.kind, self.id, model, self.home)


EVERYWHERE = DEFAULT_ORGANIZATION
"""The place of counters that span organizations.

It is that of callers without an organization, so where there are no organizations every call is
decided in one place.
"""


def place_of(organization: str, scope: Scope) -> str:
    """Return where a scope's counters are: an organization's place, or the one of all.

    `organization`: the caller's place. Everything in one place is decided in one atomic operation.
    """
    if spans_organizations(scope.kind):
        return EVERYWHERE
    return scope.home or organization


class Period(Struct, frozen=True, array_like=True, gc=False):
    """The budget period around an instant: `[start_us, end_us)`, and where the one before it began.

    `end_us` 0: it never ends.
    """

    previous_us: int = 0
    start_us: int = 0
    end_us: int = 0


FOREVER = Period()


class Enforcement(Struct, frozen=True, array_like=True, gc=False):
    """What a limit does to a call that it does not fit, where that is not just a refusal.

    - `shadow`: the call passes, and is reported. The limit counts what it would have let pass.
    - `strict`: the worst case of a call has to fit, so the limit is never exceeded. The output
      limit of a call is lowered until it does. In shadow mode no call is changed, so the estimate
      has to fit.
    - `fallback_model`: the call is served by this model instead.
    - `throttle_percent`: calls pass at this part of the limit's rate.
    - `max_wait_ms`: the call waits for room so long.
    """

    shadow: bool = False
    strict: bool = False
    fallback_model: str | None = None
    throttle_percent: int = 0
    max_wait_ms: int = 0

    @property
    def final(self) -> bool:
        """Whether a call that the limit refuses is refused at once, whatever else applies."""
        return not (self.shadow or self.fallback_model or self.throttle_percent or self.max_wait_ms)

    @property
    def holds_worst_case(self) -> bool:
        """Whether a call holds the most that it may use, instead of its estimate."""
        return self.strict and not self.shadow


ENFORCED = Enforcement()


class HoldGroup(Struct, frozen=True, array_like=True, gc=False):
    """Limits of which one call holds the same amount: no more than the tightest of them has left.

    Limits in shadow mode are a group apart, or else they would lower what others hold.
    """

    meter: Meter
    worst_case: bool
    shadow: bool


def hold_groups(meter: Meter) -> tuple[HoldGroup, ...]:
    """Return every group of limits of a meter, in the order in which the store keeps their
    holds.
    """
    return (
        HoldGroup(meter, worst_case=False, shadow=False),
        HoldGroup(meter, worst_case=True, shadow=False),
        HoldGroup(meter, worst_case=False, shadow=True),
    )


class Quota(Struct, frozen=True, array_like=True, gc=False):
    """A limit in force: what the store counts of a meter, and up to which amount.

    With `seconds` it is a token bucket that refills in so many. With a `duration` it has a counter
    of its own, which starts anew with each `period`. With neither, `usd` is limited by the spend of
    its account, and `calls` are those in flight.

    `rollover`: up to so much of what a period leaves unused is carried over to the next one.
    `raised` of the amount is a raise that ends at `raised_until_us`. `trickle`: the bucket of what
    a throttled limit still lets pass, with a counter of its own; `counts_on`: beside it that limit
    counts, and refuses nothing. `share`: it is the caller's share of the limit before it, of the
    same meter, amount and window. `whole`: the amount of the limit that this one is a part of
    (limit_parts.py).
    """

    meter: Meter
    amount: int
    seconds: int = 0
    duration: str | None = None
    period: Period = FOREVER
    enforcement: Enforcement = ENFORCED
    raised: int = 0
    raised_until_us: int = 0
    trickle: bool = False
    rollover: int | None = None
    counts_on: bool = False
    share: Share | None = None
    whole: int = 0

    @property
    def hold_group(self) -> HoldGroup:
        """The limits that hold what this one holds."""
        how = self.enforcement
        return HoldGroup(self.meter, how.holds_worst_case, how.shadow)


class Account(Struct, frozen=True, array_like=True):
    """A scope that requests are charged to, the limits in force there, and the period in which its
    spend is counted. Spend is counted whether it is limited or not.

    `passing`: of somebody whom nobody registered and nothing limits. The store forgets it when it
    has been idle for as long as the ledger keeps records. `remember_ms`: it forgets the scope when
    it has been idle for so long; 0: never. `parts`: in how many places its limits are counted, each
    with a part of them.
    """

    scope: Scope
    limits: tuple[Quota, ...] = ()
    period: Period = FOREVER
    passing: bool = False
    remember_ms: int = 0
    parts: int = 1

    @property
    def limited(self) -> bool:
        """Whether it can refuse."""
        return bool(self.limits)

    def limit(self, number: int) -> Quota:
        """Return one of its limits; of one that its spend is counted against, with that period."""
        quota = self.limits[number]
        if quota.meter is Meter.USD and quota.duration is None:
            return structs.replace(quota, period=self.period)
        return quota


Accounts = tuple[Account, ...]
"""All that a request is charged to.

Those that can refuse come first, in the order in which a refusal names them.
"""


class Balance(Struct, frozen=True, array_like=True, gc=False):
    """Where an account stands: of each of its limits, in their order, what is used and what of it
    calls in flight hold, as its algorithm counts them (bucket.py, period.py, lease.py).

    `spent_nanousd` is settled in the period that began at `period_start_us`; `held_nanousd` is set
    aside beside it by calls in flight.
    """

    used: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    spent_nanousd: int = 0
    held_nanousd: int = 0
    period_start_us: int = 0


def untouched(account: Account) -> Balance:
    """Return where an account stands of which nothing was used."""
    nothing = (0,) * len(account.limits)
    return Balance(nothing, nothing)


class Standing(Struct, frozen=True, gc=False):
    """The store's answer: its clock, a balance for each account that it was asked about, in their
    order, after all calls that it took together; and the number of the account that refused, and of
    the limit there (None: none did).

    `only_held`: what is settled would fit, so the end of a call in flight may make room.
    """

    now_us: int
    balances: tuple[Balance, ...]
    refused: int | None = None
    by: int | None = None
    only_held: bool = False


@dataclass(frozen=True, slots=True)
class Spend:
    """What one scope has spent: in its current budget period (`used_nanousd`, and `held_nanousd` by
    calls in flight), ever, and by model.
    """

    used_nanousd: int
    held_nanousd: int
    total_nanousd: int
    by_model_nanousd: Mapping[str, int]


# An object of Python's with its fields and its place in a dictionary, and a character of a text in
# any script.
_OBJECT_BYTES, _CHARACTER_BYTES = 300, 4


def accounts_bytes(accounts: Accounts) -> int:
    """About how much memory accounts take, or what is made of them one by one."""
    texts = sum([len(each.scope.id) + len(each.scope.model or "") for each in accounts])
    objects = 1 + 2 * len(accounts) + sum([len(each.limits) for each in accounts])
    return _OBJECT_BYTES * objects + _CHARACTER_BYTES * texts
