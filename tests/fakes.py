"""Ports over plain memory, built on core's arithmetic: the Python twins that the store's scripts
are compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from tollgate.core.calls.records import Record, record
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import (
    Account,
    Accounts,
    Balance,
    LimitKind,
    Scope,
    Spend,
    Standing,
)
from tollgate.core.limits.period import current


@dataclass
class FixedClock:
    """A clock that a test moves."""

    us: int = 1_800_000_000_000_000

    def now_us(self) -> int:
        return self.us


@dataclass
class _Bucket:
    used: int = 0
    at_ms: int = 0


@dataclass
class _Scope:
    used: int = 0
    held: int = 0
    period_start_us: int = 0
    requests: _Bucket = field(default_factory=_Bucket)
    tokens: _Bucket = field(default_factory=_Bucket)
    held_tokens: int = 0
    slots: dict[str, int] = field(default_factory=dict)
    total: int = 0
    by_model: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class MemoryCounters:
    """The Counters port in memory."""

    def __init__(self, clock: FixedClock, lease_us: int = 60_000_000) -> None:
        self.clock = clock
        self.lease_us = lease_us
        self.ledger: list[Record] = []
        self._scopes: dict[tuple[str, Scope], _Scope] = defaultdict(_Scope)
        self._open: dict[str, tuple[Reservation, list[int]]] = {}
        self._leases: dict[str, int] = {}
        self._organizations: set[str] = set()

    async def organizations(self) -> list[str]:
        return sorted(self._organizations)

    def forget(self, organization: str, scopes: Sequence[Scope]) -> None:
        for each in scopes:
            self._scopes.pop((organization, each), None)

    async def reserve(self, reservation: Reservation) -> Standing:
        self._organizations.add(reservation.organization)
        accounts = tuple(each for each in reservation.accounts if each.limited)
        balances = [self._balance(reservation.organization, each) for each in accounts]
        for number, (account, balance) in enumerate(zip(accounts, balances, strict=True)):
            if (kind := _refusing(account, balance, reservation)) is not None:
                held_tokens = self.scope(reservation.organization, account).held_tokens
                only_held = _only_held(kind, account, balance, held_tokens, reservation)
                return Standing(self.clock.us, tuple(balances), number, kind, only_held)
        held, hold = [], _hold(accounts, balances, reservation.cost_nanousd)
        for number, (account, balance) in enumerate(zip(accounts, balances, strict=True)):
            scope, amount = self.scope(reservation.organization, account), 0
            if account.parallel is not None:
                scope.slots[reservation.id] = self.clock.us + self.lease_us
            if account.budget_nanousd is not None:
                amount = hold
            held.append(amount)
            balances[number] = Balance(
                balance.requests + (0 if account.rpm is None else bucket.UNITS),
                balance.tokens
                + (
                    0
                    if account.tpm is None
                    else reservation.tokens_within(account.tpm) * bucket.UNITS
                ),
                balance.parallel + (account.parallel is not None),
                balance.used_nanousd,
                balance.held_nanousd + amount,
                balance.period_start_us,
            )
            if account.tpm is not None:
                scope.held_tokens += reservation.tokens_within(account.tpm)
            self._keep(scope, account, balances[number])
        self._open[reservation.id] = (reservation, held)
        self._leases[reservation.id] = self.clock.us + self.lease_us
        return Standing(self.clock.us, tuple(balances))

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        if reservation.id not in self._open:
            return None
        _, held = self._open.pop(reservation.id)
        del self._leases[reservation.id]
        balances = []
        for number, account in enumerate(reservation.accounts):
            scope, balance = (
                self.scope(reservation.organization, account),
                self._balance(reservation.organization, account),
            )
            tokens = balance.tokens
            if account.tpm is not None:
                held_tokens = reservation.tokens_within(account.tpm)
                tokens = bucket.charged(tokens, settlement.usage.total_tokens - held_tokens)
                scope.held_tokens = max(0, scope.held_tokens - held_tokens)
            balance = Balance(
                balance.requests,
                tokens,
                balance.parallel - (scope.slots.pop(reservation.id, 0) > self.clock.us),
                balance.used_nanousd + settlement.cost_nanousd,
                max(0, balance.held_nanousd - (held[number] if number < len(held) else 0)),
                balance.period_start_us,
            )
            scope.total += settlement.cost_nanousd
            scope.by_model[reservation.model] += settlement.cost_nanousd
            balances.append(balance)
            self._keep(scope, account, balance)
        self.ledger.append(record(reservation, settlement))
        return Standing(self.clock.us, tuple(balances))

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        return [await self.settle(*each) is not None for each in calls]

    async def renew(self, reservation: Reservation) -> bool:
        if reservation.id not in self._open:
            return False
        self._leases[reservation.id] = self.clock.us + self.lease_us
        for each in reservation.accounts:
            if each.parallel is not None:
                self.scope(reservation.organization, each).slots[reservation.id] = (
                    self.clock.us + self.lease_us
                )
        return True

    async def peek(self, organization: str, accounts: Accounts) -> Standing:
        return Standing(
            self.clock.us, tuple(self._balance(organization, each) for each in accounts)
        )

    async def spend(self, organization: str, accounts: Accounts) -> list[Spend]:
        spends = []
        for each in accounts:
            scope, balance = self.scope(organization, each), self._balance(organization, each)
            by_model = {model: nanousd for model, nanousd in scope.by_model.items() if nanousd}
            spends.append(Spend(balance.used_nanousd, balance.held_nanousd, scope.total, by_model))
        return spends

    async def open(self, organization: str, stream_ids: Set[str]) -> list[Reservation]:
        return [
            each
            for each, _ in self._open.values()
            if each.organization == organization and each.stream_id in stream_ids
        ]

    async def expired(self, organization: str) -> list[Reservation]:
        due = sorted((end, each) for each, end in self._leases.items() if end <= self.clock.us)
        return [
            self._open[each][0]
            for _, each in due
            if self._open[each][0].organization == organization
        ][:100]

    def scope(self, organization: str, account: Account) -> _Scope:
        return self._scopes[organization, account.scope]

    def _balance(self, organization: str, account: Account) -> Balance:
        scope, now_us = self.scope(organization, account), self.clock.us
        used, start_us = current(scope.used, scope.period_start_us, account.period, now_us)
        return Balance(
            _level(scope.requests, account.rpm, now_us),
            _level(scope.tokens, account.tpm, now_us),
            0 if account.parallel is None else sum(end > now_us for end in scope.slots.values()),
            used,
            scope.held,
            start_us,
        )

    def _keep(self, scope: _Scope, account: Account, balance: Balance) -> None:
        now_ms = self.clock.us // 1000
        if account.rpm is not None:
            scope.requests = _Bucket(balance.requests, max(scope.requests.at_ms, now_ms))
        if account.tpm is not None:
            scope.tokens = _Bucket(balance.tokens, max(scope.tokens.at_ms, now_ms))
        scope.used, scope.held, scope.period_start_us = (
            balance.used_nanousd,
            balance.held_nanousd,
            balance.period_start_us,
        )


def _level(stored: _Bucket, limit: int | None, now_us: int) -> int:
    return 0 if limit is None else bucket.drained(stored.used, stored.at_ms, now_us // 1000, limit)


def _hold(accounts: Accounts, balances: Sequence[Balance], cost_nanousd: int) -> int:
    """What a call holds of every budget: never more than the tightest of them has left."""
    left = [
        account.budget_nanousd - balance.used_nanousd - balance.held_nanousd
        for account, balance in zip(accounts, balances, strict=True)
        if account.budget_nanousd is not None
    ]
    return min([cost_nanousd, *left])


def _refusing(account: Account, balance: Balance, reservation: Reservation) -> LimitKind | None:
    if account.rpm is not None and not bucket.fits(balance.requests, 1, account.rpm):
        return LimitKind.REQUESTS
    if account.tpm is not None and not bucket.fits(
        balance.tokens, reservation.tokens_within(account.tpm), account.tpm
    ):
        return LimitKind.TOKENS
    if account.parallel is not None and balance.parallel >= account.parallel:
        return LimitKind.PARALLEL
    if (
        account.budget_nanousd is not None
        and balance.used_nanousd + balance.held_nanousd >= account.budget_nanousd
    ):
        return LimitKind.BUDGET
    return None


def _only_held(
    kind: LimitKind, account: Account, balance: Balance, held_tokens: int, reservation: Reservation
) -> bool:
    """Whether a limit that refuses would not, were all that is held given back."""
    match kind:
        case LimitKind.TOKENS:
            tpm = account.tpm or 0
            settled = max(0, balance.tokens - held_tokens * bucket.UNITS)
            return bucket.fits(settled, reservation.tokens_within(tpm), tpm)
        case LimitKind.PARALLEL:
            return account.parallel != 0
        case LimitKind.BUDGET:
            return balance.used_nanousd < (account.budget_nanousd or 0)
        case _:
            return False
