"""Ports over plain memory, built on core's arithmetic: the Python twins that the store's scripts
are compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from tollgate.core.calls import record_text
from tollgate.core.calls.records import Record
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.limits import bucket, period, shared_bucket
from tollgate.core.limits.accounts import (
    MAX_EXACT,
    Account,
    Accounts,
    Balance,
    HoldGroup,
    Meter,
    Quota,
    Scope,
    Spend,
    Standing,
    place_of,
)
from tollgate.core.limits.algorithms import algorithm_of
from tollgate.core.limits.period import current
from tollgate.ports import LedgerQuery
from tollgate.ports.event_ports import PlacedRefusal, RefusalPlace, matches


@dataclass
class FixedClock:
    """A clock that a test moves."""

    us: int = 1_800_000_000_000_000

    def now_us(self) -> int:
        return self.us


@dataclass
class _Counter:
    """What is used of a limit and held, and as of when: a bucket's tick, or a period's start."""

    used: int = 0
    held: int = 0
    at: int = 0


@dataclass
class _Scope:
    used: int = 0
    held: int = 0
    period_start_us: int = 0
    counters: dict[object, _Counter] = field(default_factory=lambda: defaultdict(_Counter))
    slots: dict[str, int] = field(default_factory=dict)
    total: int = 0
    by_model: dict[str, int] = field(default_factory=lambda: defaultdict(int))


_Holds = dict[HoldGroup, int]


class MemoryCounters:
    """The Counters port in memory."""

    def __init__(self, clock: FixedClock, lease_us: int = 60_000_000) -> None:
        self.clock = clock
        self.lease_us = lease_us
        self.ledger: list[Record] = []
        self._scopes: dict[tuple[str, Scope], _Scope] = defaultdict(_Scope)
        # With what it holds, and when it was admitted.
        self._open: dict[str, tuple[Reservation, _Holds, int]] = {}
        self._deleted: dict[tuple[str, Scope], int] = {}
        self._leases: dict[str, int] = {}
        self._organizations: set[str] = set()

    async def organizations(self) -> list[str]:
        return sorted(self._organizations)

    async def settle_guests(self) -> None:
        pass

    def forget(self, organization: str, scopes: Sequence[Scope]) -> None:
        for each in scopes:
            self._scopes.pop(_counted(organization, each), None)
            self._deleted[_counted(organization, each)] = self.clock.us

    async def reserve(self, reservation: Reservation) -> Standing:
        organization = reservation.organization
        self._organizations.add(organization)
        accounts = tuple(each for each in reservation.accounts if each.limited)
        balances = [self._balance(organization, each) for each in accounts]
        for number, (account, balance) in enumerate(zip(accounts, balances, strict=True)):
            for place, level in enumerate(_levels(account, balance)):
                quota, asked = level[0], reservation.asked(level[0])
                if not algorithm_of(quota).fits(*level, asked):
                    only_held = algorithm_of(quota).fits_settled(*level, asked)
                    return Standing(self.clock.us, tuple(balances), number, place, only_held)
        holds = _holds(accounts, balances, reservation)
        for account in accounts:
            self._hold(account, reservation, holds)
        self._open[reservation.id] = (reservation, holds, self.clock.us)
        self._leases[reservation.id] = self.clock.us + self.lease_us
        return Standing(
            self.clock.us, tuple(self._balance(organization, each) for each in accounts)
        )

    def _hold(self, account: Account, reservation: Reservation, holds: _Holds) -> None:
        scope, now_us = self.scope(reservation.organization, account), self.clock.us
        for quota in account.limits:
            at_admission = quota.meter is Meter.REQUESTS
            if quota.meter is Meter.CALLS:
                scope.slots[reservation.id] = now_us + self.lease_us
            elif quota.seconds:
                hold = bucket.hold(quota, reservation.asked(quota))
                counter = _drained(scope, quota, now_us)
                charged = bucket.charged if quota.share is None else shared_bucket.charged
                counter.used = charged(quota, counter.used, hold)
                counter.held += 0 if at_admission else hold
            elif quota.duration is None:
                scope.held += holds[quota.hold_group]
            else:
                counter = _current(scope, quota, now_us)
                counter.used += holds[quota.hold_group] if at_admission else 0
                counter.held += 0 if at_admission else holds[quota.hold_group]

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        if reservation.id not in self._open:
            return None
        _, holds, admitted_us = self._open.pop(reservation.id)
        del self._leases[reservation.id]
        organization = reservation.organization
        for account in reservation.accounts:
            self.scope(organization, account).slots.pop(reservation.id, None)
            if admitted_us > self._deleted.get(_counted(organization, account.scope), 0):
                self._settle(account, reservation, settlement, holds, admitted_us)
        self.ledger.append(record_text.decode(record_text.encode(reservation, settlement)))
        balances = tuple(self._balance(organization, each) for each in reservation.accounts)
        return Standing(self.clock.us, balances)

    def _settle(
        self,
        account: Account,
        reservation: Reservation,
        settlement: Settlement,
        holds: _Holds,
        admitted_us: int,
    ) -> None:
        scope, now_us = self.scope(reservation.organization, account), self.clock.us
        self._enter_period(scope, account)
        cost = settlement.cost_nanousd
        if admitted_us >= period.period_start_us(account.period, now_us):
            scope.used += cost
        scope.total += cost
        scope.by_model[reservation.model] += cost
        for quota in account.limits:
            hold = holds.get(quota.hold_group, 0)
            used = settlement.counted(quota.hold_group, reservation)
            if quota.meter is Meter.CALLS or quota.meter is Meter.REQUESTS:
                pass  # a lease is given back, a request is counted at admission
            elif quota.seconds:
                counter = _drained(scope, quota, now_us)
                hold = bucket.hold(quota, reservation.asked(quota))
                charged = bucket.charged if quota.share is None else shared_bucket.corrected
                counter.used = charged(quota, counter.used, used - hold)
                counter.held = max(0, counter.held - hold)
            elif quota.duration is None:
                scope.held = max(0, scope.held - hold)
            else:
                counter = _current(scope, quota, now_us)
                if admitted_us >= period.period_start_us(quota.period, now_us):
                    counter.used = min(MAX_EXACT, counter.used + used)
                counter.held = max(0, counter.held - hold)

    async def settle_all(self, calls: Sequence[tuple[Reservation, Settlement]]) -> list[bool]:
        return [await self.settle(*each) is not None for each in calls]

    async def renew(self, reservation: Reservation) -> bool:
        if reservation.id not in self._open:
            return False
        self._leases[reservation.id] = self.clock.us + self.lease_us
        for each in reservation.accounts:
            slots = self.scope(reservation.organization, each).slots
            if reservation.id in slots:  # those of a deleted scope are gone
                slots[reservation.id] = self.clock.us + self.lease_us
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
            spends.append(Spend(balance.spent_nanousd, balance.held_nanousd, scope.total, by_model))
        return spends

    async def open(self, organization: str, stream_ids: Set[str]) -> list[Reservation]:
        return [
            each
            for each, *_ in self._open.values()
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
        return self._scopes[_counted(organization, account.scope)]

    def _enter_period(self, scope: _Scope, account: Account) -> None:
        scope.used, scope.period_start_us = current(
            scope.used, scope.period_start_us, account.period, self.clock.us
        )

    def _balance(self, organization: str, account: Account) -> Balance:
        scope, now_us = self.scope(organization, account), self.clock.us
        spent, start_us = current(scope.used, scope.period_start_us, account.period, now_us)
        used, held = [], []
        for quota in account.limits:
            counter = scope.counters.get(_name(quota), _Counter())
            if quota.meter is Meter.CALLS:
                calls = sum(end > now_us for end in scope.slots.values())
                level = calls, calls
            elif quota.share is not None:
                own = shared_bucket.own_level(quota, counter.used, counter.at, now_us)
                whole = shared_bucket.Filled(used[-1], held[-1])
                level = shared_bucket.level(quota, whole, shared_bucket.Filled(own, counter.held))
            elif quota.seconds:
                level = bucket.level(quota, counter.used, counter.at, now_us), counter.held
            elif quota.duration is None:
                level = spent, scope.held
            else:
                level = period.level(quota, counter.used, counter.at, now_us), counter.held
            used.append(level[0])
            held.append(level[1])
        return Balance(tuple(used), tuple(held), spent, scope.held, start_us)


def _counted(organization: str, scope: Scope) -> tuple[str, Scope]:
    """A scope by the place of its counters, whoever calls."""
    return place_of(organization, scope), Scope(scope.kind, scope.id, scope.model)


def _name(quota: Quota) -> object:
    share = None if quota.share is None else quota.share.name
    return quota.meter, quota.seconds, quota.duration, quota.trickle, share


def _levels(account: Account, balance: Balance) -> list[tuple[Quota, int, int]]:
    return list(zip(account.limits, balance.used, balance.held, strict=True))


def _drained(scope: _Scope, quota: Quota, now_us: int) -> _Counter:
    """A bucket, as it is now."""
    counter, now_tick = (
        scope.counters[_name(quota)],
        now_us // 1000 // bucket.tick_ms(quota.seconds),
    )
    level = bucket.level if quota.share is None else shared_bucket.own_level
    counter.used = level(quota, counter.used, counter.at, now_us)
    counter.at = max(counter.at, now_tick)
    return counter


def _current(scope: _Scope, quota: Quota, now_us: int) -> _Counter:
    """The counter of a period, in the one that is now."""
    counter = scope.counters[_name(quota)]
    counter.used, counter.at = period.entered(quota, counter.used, counter.at, now_us)
    return counter


def _holds(accounts: Accounts, balances: Sequence[Balance], reservation: Reservation) -> _Holds:
    """What a call holds of every period's limit of a meter: no more than the tightest has left. All
    that it asks for of strict ones.
    """
    holds: _Holds = {}
    for account, balance in zip(accounts, balances, strict=True):
        for quota, used, held in _levels(account, balance):
            if quota.seconds == 0 and quota.meter is not Meter.CALLS:
                hold = min(reservation.asked(quota), period.remaining(quota, used, held))
                holds[quota.hold_group] = min(holds.get(quota.hold_group, hold), hold)
    return holds


class MemoryRefusals:
    """The ports `RefusalBook` and `StoredRefusals` over a list."""

    def __init__(self) -> None:
        self.records: list[RefusalRecord] = []

    async def add(self, records: Sequence[RefusalRecord]) -> None:
        """Keep all of them."""
        self.records += records

    async def organizations(self) -> list[str]:
        return sorted({each.organization for each in self.records})

    async def after(self, organization: str, place: RefusalPlace | None) -> list[PlacedRefusal]:
        placed = await self.newest(LedgerQuery(organization), len(self.records), None)
        return [each for each in reversed(placed) if place is None or each.place > place]

    async def newest(
        self, query: LedgerQuery, count: int, before: RefusalPlace | None
    ) -> list[PlacedRefusal]:
        """The newest records; their places are numbers in the order of writing."""
        placed = [
            PlacedRefusal(RefusalPlace(number, 0, each.organization), each)
            for number, each in enumerate(self.records)
            if matches(query, each)
        ]
        return [each for each in reversed(placed) if before is None or each.place < before][:count]


@dataclass
class MemoryValues:
    """The ValueBook port in memory."""

    clock: FixedClock
    asked: int = 0
    _until_us: dict[tuple[str, str], int] = field(default_factory=dict)

    async def remember(self, dimension: str, value: str, most: int, kept_us: int) -> bool:
        self.asked += 1
        now_us, place = self.clock.us, (dimension, value)
        alive = {each for each, until_us in self._until_us.items() if until_us > now_us}
        if place not in alive and sum(name == dimension for name, _ in alive) >= most:
            return False
        self._until_us[place] = now_us + kept_us
        return True
