"""A caller's accounts as counters.lua takes them: keys, limits, and the meters that its calls tell.

They are the same for all calls of a caller, so they are made once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.counters.layout import kind_of, name_of
from tollgate.adapters.valkey.counters.states import Names
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.limits.accounts import (
    MAX_EXACT,
    Account,
    Accounts,
    HoldGroup,
    Meter,
    Period,
    hold_groups,
)
from tollgate.core.limits.bucket import units
from tollgate.core.limits.limit import METERS, MeterRow

_COUNTED_AT_ONCE = {Meter.REQUESTS, Meter.CALLS}
"""Meters of which a call is one, at once: it tells the script nothing of them."""


class CountedMeter(Struct, frozen=True):
    """A meter of a caller's limits, of one group of them that hold alike."""

    group: HoldGroup
    row: MeterRow


class Numbers(Struct):
    """The keys that a batch's callers name by number, from 1: of scopes, and of slots."""

    scopes: dict[str, int]
    slots: dict[str, int]

    def add(self, named: Iterable[tuple[str, str]]) -> tuple[int, ...]:
        """The numbers of a caller's keys in turn; of slots that it has none of, 0."""
        scopes, slots = self.scopes, self.slots
        numbers: list[int] = []
        for scope, slot in named:
            numbers.append(scopes.setdefault(scope, len(scopes) + 1))
            numbers.append(slots.setdefault(slot, len(slots) + 1) if slot else 0)
        return tuple(numbers)


class Keyed(Struct, frozen=True):
    """Accounts as the script takes them, and their keys: of the scope, and of its slots, empty
    where calls at once are not limited.

    `names`: what the counters of its limits are called, account by account. `counted`: the meters
    of its limits, in the order in which its calls tell them. `first`, `numbers`: what the keys come
    to in a batch that this caller is the first of, as it mostly is.
    """

    accounts: Accounts
    keys: tuple[tuple[str, str], ...]
    limits: bytes
    names: Names
    counted: tuple[CountedMeter, ...]
    first: Numbers
    numbers: tuple[int, ...]

    @classmethod
    def of(
        cls,
        organization: str,
        accounts: Accounts,
        key_of: Callable[[str, Account], str] = lambda place, each: keys.scope_key(
            place, each.scope
        ),
    ) -> Keyed:
        """The accounts of an organization's caller. `key_of`: the key of an account's scope."""
        named = tuple(
            (
                key_of(organization, each),
                keys.slots_key(organization, each.scope) if has_slots(each) else "",
            )
            for each in accounts
        )
        asked = {quota.hold_group for each in accounts for quota in each.limits}
        counted = tuple(
            CountedMeter(group, row)
            for meter, row in METERS.items()
            if meter not in _COUNTED_AT_ONCE
            for group in hold_groups(meter)
            if group in asked
        )
        limits = _limits(accounts, [each.group for each in counted])
        first = Numbers({}, {})
        numbers = first.add(named)
        names = tuple(tuple(map(name_of, each.limits)) for each in accounts)
        return cls(accounts, named, limits, names, counted, first, numbers)

    def estimates(self, reservation: Reservation) -> list[int]:
        """Return what a call may use of each meter, and what of that is a guess of its output; of
        limits that hold the worst case that, and -1.
        """
        found: list[int] = []
        for each in self.counted:
            row = each.row
            if each.group.worst_case:
                most = reservation.worst or reservation
                found += row.estimated(most) + row.estimated_output(most), -1
            else:
                firm, output = row.estimated(reservation), row.estimated_output(reservation)
                found += (firm, output) if reservation.guessed else (firm + output, 0)
        return found

    def settled(self, reservation: Reservation, settlement: Settlement) -> list[int]:
        """Return the estimates of a call, then what it used of each meter, as its limits count it,
        and what it cost.
        """
        found = self.estimates(reservation)
        for each in self.counted:
            found.append(settlement.counted(each.group, reservation))
        found.append(settlement.cost_nanousd)
        return found


def _limits(accounts: Accounts, meters: Sequence[HoldGroup]) -> bytes:
    """Return a caller's limits as counters.lua reads them.

    `meters`: what its calls tell, by the limits that they tell it for.
    """
    numbers: list[int] = [len(accounts), len(meters)]
    bounds: list[int] = []
    before_bounds = 2 + sum(3 + 5 * len(each.limits) for each in accounts)

    def behind(*more: int) -> int:
        """How far behind the next numbers more of them stand."""
        first = before_bounds + len(bounds)
        bounds.extend(more)
        return first - len(numbers)

    def distance(period: Period, *more: int) -> int:
        """How far behind the next numbers the bounds of a period stand, with more behind them; 0:
        it never ends.
        """
        if period.end_us == 0:
            return 0
        return behind(period.previous_us, period.start_us, period.end_us, *more)

    for account in accounts:
        numbers += (
            len(account.limits),
            account.remember_ms or account.passing,
            distance(account.period),
        )
        for quota in account.limits:
            kind = kind_of(quota)
            group = quota.hold_group
            meter = meters.index(group) + 1 if group in meters else 0
            if (share := quota.share) is not None:
                extra = behind(units(quota.seconds), share.common, share.reserve, share.amount)
            elif quota.seconds:
                extra = units(quota.seconds)
            elif quota.rollover is None:
                extra = distance(quota.period)
            else:
                extra = distance(quota.period, quota.rollover, quota.amount)
            amount = MAX_EXACT if quota.counts_on else quota.amount
            numbers += (kind, meter, amount, name_of(quota), extra)
    return struct.pack(f"<{before_bounds + len(bounds)}d", *numbers, *bounds)


def has_slots(account: Account) -> bool:
    """Whether calls in flight are limited."""
    return any(each.meter is Meter.CALLS for each in account.limits)
