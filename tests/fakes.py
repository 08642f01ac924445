"""Ports over plain memory, built on core's arithmetic: the Python twins that the store's scripts are compared with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field

from tollgate.core import bucket
from tollgate.core.budget import current
from tollgate.core.entities import Balance, Charge, LimitKind, Reservation, Scope, Settlement, Spend, Standing
from tollgate.core.ledger import Record, record


@dataclass
class FixedClock:
    """A clock that a test moves."""

    us: int = 1_800_000_000_000_000

    def now_us(self) -> int:
        return self.us


@dataclass
class _Counter:
    used: int = 0
    at_ms: int = 0
    held: int = 0
    period_start_us: int = 0
    total: int = 0
    by_model: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    slots: dict[str, int] = field(default_factory=dict)


class MemoryCounters:
    """The Counters port in memory."""

    def __init__(self, clock: FixedClock, lease_us: int = 60_000_000) -> None:
        self.clock = clock
        self.lease_us = lease_us
        self.ledger: list[Record] = []
        self._counters: dict[tuple[str, LimitKind, Scope], _Counter] = defaultdict(_Counter)
        self._open: dict[str, tuple[Reservation, list[int]]] = {}
        self._leases: dict[str, int] = {}
        self._organizations: set[str] = set()

    async def organizations(self) -> list[str]:
        return sorted(self._organizations)

    async def reserve(self, reservation: Reservation) -> Standing:
        self._organizations.add(reservation.organization)
        charges = tuple(c for c in reservation.charges if c.limit is not None)
        balances = [self._balance(reservation.organization, c) for c in charges]
        for number, (charge, balance) in enumerate(zip(charges, balances, strict=True)):
            if not _fits(charge, balance):
                return Standing(self.clock.us, tuple(balances), number)
        held = []
        for number, charge in enumerate(charges):
            counter, balance, amount = self._counter(reservation.organization, charge), balances[number], charge.amount
            if charge.kind is LimitKind.BUDGET:
                amount = min(amount, (charge.limit or 0) - balance.used - balance.held)
                balance = Balance(balance.used, balance.held + amount, balance.period_start_us)
            elif charge.kind is LimitKind.PARALLEL:
                balance = Balance(balance.used + 1)
                counter.slots[reservation.id] = self.clock.us + self.lease_us
            else:
                balance = Balance(balance.used + amount * bucket.UNITS)
            held.append(amount)
            balances[number] = balance
            self._store(counter, balance)
        self._open[reservation.id] = (reservation, held)
        self._leases[reservation.id] = self.clock.us + self.lease_us
        return Standing(self.clock.us, tuple(balances))

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        if reservation.id not in self._open:
            return None
        _, held = self._open.pop(reservation.id)
        del self._leases[reservation.id]
        balances = []
        for number, charge in enumerate(reservation.charges):
            counter, balance = (
                self._counter(reservation.organization, charge),
                self._balance(reservation.organization, charge),
            )
            amount = held[number] if number < len(held) else 0
            if charge.kind is LimitKind.BUDGET:
                balance = Balance(
                    balance.used + settlement.cost_nanousd, balance.held - amount, balance.period_start_us
                )
                counter.total += settlement.cost_nanousd
                counter.by_model[reservation.model] += settlement.cost_nanousd
            elif charge.kind is LimitKind.PARALLEL:
                live = counter.slots.pop(reservation.id, 0) > self.clock.us
                balance = Balance(balance.used - live)
            else:
                actual = settlement.usage.total_tokens if charge.kind is LimitKind.TOKENS else charge.amount
                balance = Balance(bucket.charged(balance.used, actual - amount))
            balances.append(balance)
            self._store(counter, balance)
        self.ledger.append(record(reservation, settlement))
        return Standing(self.clock.us, tuple(balances))

    async def renew(self, reservation: Reservation) -> bool:
        if reservation.id not in self._open:
            return False
        self._leases[reservation.id] = self.clock.us + self.lease_us
        for charge in reservation.charges:
            if charge.kind is LimitKind.PARALLEL:
                self._counter(reservation.organization, charge).slots[reservation.id] = self.clock.us + self.lease_us
        return True

    async def peek(self, organization: str, charges: tuple[Charge, ...]) -> Standing:
        return Standing(self.clock.us, tuple(self._balance(organization, c) for c in charges))

    async def spend(self, organization: str, charges: tuple[Charge, ...]) -> list[Spend]:
        spends = []
        for charge in charges:
            counter, balance = self._counter(organization, charge), self._balance(organization, charge)
            spends.append(Spend(balance.used, balance.held, counter.total, dict(counter.by_model)))
        return spends

    async def open(self, organization: str, stream_ids: Set[str]) -> list[Reservation]:
        return [
            each
            for each, _ in self._open.values()
            if each.organization == organization and each.stream_id in stream_ids
        ]

    async def expired(self, organization: str) -> list[Reservation]:
        due = sorted((end, each) for each, end in self._leases.items() if end <= self.clock.us)
        return [self._open[each][0] for _, each in due if self._open[each][0].organization == organization][:100]

    def _counter(self, organization: str, charge: Charge) -> _Counter:
        return self._counters[organization, charge.kind, charge.scope]

    def _balance(self, organization: str, charge: Charge) -> Balance:
        counter, now_us = self._counter(organization, charge), self.clock.us
        if charge.kind is LimitKind.BUDGET:
            return current(Balance(counter.used, counter.held, counter.period_start_us), charge.period, now_us)
        if charge.kind is LimitKind.PARALLEL:
            return Balance(sum(end > now_us for end in counter.slots.values()))
        return Balance(bucket.drained(counter.used, counter.at_ms, now_us // 1000, charge.limit or 0))

    def _store(self, counter: _Counter, balance: Balance) -> None:
        counter.used, counter.held, counter.period_start_us = balance.used, balance.held, balance.period_start_us
        counter.at_ms = max(counter.at_ms, self.clock.us // 1000)


def _fits(charge: Charge, balance: Balance) -> bool:
    limit = charge.limit or 0
    if charge.kind is LimitKind.BUDGET:
        return balance.used + balance.held < limit
    if charge.kind is LimitKind.PARALLEL:
        return balance.used < limit
    return bucket.fits(balance.used, charge.amount, limit)
