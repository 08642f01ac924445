"""Calls on the counters that leave for the store together: group commit.

While a run of the script is at the store, the calls that come up gather; they leave in one run when
its reply is back. No timer is involved, so a call alone never waits. A run costs as much as several
calls in it, and callers share scopes (the proxy's at least), which are read and written once.

A worked timeline, one client after the other at first, then several:

    turn 1   call a comes; nothing is at the store, so it leaves at the end of the turn
    turn 2   calls b and c come; a's run is at the store, so they wait
    turn 3   a's reply is back, and call d comes
    turn 4   call e comes: this turn brought something, so there may be more to read
    turn 5   nothing new
    turn 6   nothing new: b, c, d and e leave in one run
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.counters.layout import (
    ANSWER,
    kind_of,
    name_of,
)
from tollgate.adapters.valkey.counters.states import Names, States
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.limits.accounts import (
    MAX_EXACT,
    Account,
    Accounts,
    HoldGroup,
    Meter,
    Period,
    Standing,
    hold_groups,
)
from tollgate.core.limits.bucket import units
from tollgate.core.limits.limit import METERS, MeterRow

MOST_CALLS = 64
"""In one run: the store answers nobody else meanwhile."""
QUIET_TURNS = 2
"""Gathered calls leave after so many turns of the loop that bring none.

A turn that follows another without sleeping only reads what has arrived already, so this costs no
time of its own, and a busy worker reads all that waits before it writes.
"""

MOST_NUMBERS = 4096
"""Of a run's limits; a batch with more is full. Lua's stack takes 8,000 at once."""

_ANSWER = struct.Struct(ANSWER)
_COUNTED_AT_ONCE = {Meter.REQUESTS, Meter.CALLS}
"""Meters of which a call is one, at once: it tells the script nothing of them."""


class Answer(Struct, frozen=True):
    """What the script says of one call: the number of the account that refused (0: none did, -1: no
    such reservation), and of its limit, negative where only holds stand in the way; and where the
    accounts of its caller stand after all that the run did.
    """

    refused: int
    limit: int
    states: States
    keyed: Keyed
    numbers: Sequence[int]

    @property
    def standing(self) -> Standing:
        """Where the accounts stand: calls of one caller share it.

        Nobody who did not ask to be told knows that.
        """
        return self.states.standing(self.keyed.accounts, self.keyed.names, self.numbers)


class CountedMeter(Struct, frozen=True):
    """A meter of a caller's limits, of one group of them that hold alike."""

    group: HoldGroup
    row: MeterRow


class _Numbers(Struct):
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
    first: _Numbers
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
        first = _Numbers({}, {})
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

    def used(self, reservation: Reservation, settlement: Settlement) -> list[int]:
        """Return what a call used of each meter, as its limits count it."""
        return [settlement.counted(each.group, reservation) for each in self.counted]


class Batch:
    """Calls of one operation, for one organization. `size`: how many came together."""

    def __init__(self) -> None:
        self.size = 0
        self._waiting: list[tuple[asyncio.Future[Answer], int]] = []
        self._calls: list[int] = []
        self._texts: list[bytes | str] = []
        self._limits: list[bytes] = []
        self._names: list[int] = []
        self._callers: list[tuple[Keyed, Sequence[int]]] = []
        self._known = _Numbers({}, {})
        # By the identity of the accounts, which `_callers` keeps: the number of the caller, where
        # it stands among the limits, and where among the names.
        self._places: dict[int, tuple[int, int, int]] = {}
        self._limit_count = 0

    def add(
        self,
        keyed: Keyed,
        *numbers: int,
        texts: tuple[bytes | str, ...] = (),
    ) -> asyncio.Future[Answer]:
        """Add one call: its numbers behind those of its caller, and its texts."""
        caller, *places = self._places.get(id(keyed.accounts)) or self._add_caller(keyed)
        self._calls += *places, *numbers
        self._texts += texts
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, caller))
        self.size += 1
        return future

    def _add_caller(self, keyed: Keyed) -> tuple[int, int, int]:
        if self._callers:
            numbers = self._known.add(keyed.keys)
        else:
            self._known = _Numbers(keyed.first.scopes.copy(), keyed.first.slots.copy())
            numbers = keyed.numbers
        places = len(self._callers), self._limit_count + 1, len(self._names) + 1
        self._places[id(keyed.accounts)] = places
        self._callers.append((keyed, numbers))
        self._limits.append(keyed.limits)
        self._limit_count += len(keyed.limits) // 8
        self._names += numbers
        return places

    @property
    def full(self) -> bool:
        """Whether it takes no further call."""
        return self.size >= MOST_CALLS or self._limit_count >= MOST_NUMBERS

    def keys(self) -> tuple[str, ...]:
        """The keys that its callers name by number: the scopes, then the slots."""
        return (*self._known.scopes, *self._known.slots)

    @property
    def scope_count(self) -> int:
        """How many of its keys are scopes."""
        return len(self._known.scopes)

    def arguments(self) -> tuple[bytes | str, ...]:
        """The limits of its callers, their names, and the calls, as counters.lua reads them."""
        names, calls = self._names, self._calls
        return (
            b"".join(self._limits),
            struct.pack(f"<{len(names)}H", *names),
            struct.pack(f"<{len(calls)}d", *calls),
            *self._texts,
        )

    def answer(self, reply: Sequence[Any]) -> None:
        """Tell everybody who waits."""
        now_us, answers, packed, in_flight = reply
        states = States(now_us, packed, in_flight)
        for (future, caller), (refused, limit) in zip(
            self._waiting, _ANSWER.iter_unpack(answers), strict=True
        ):
            if not future.done():  # its caller was cancelled
                future.set_result(Answer(refused, limit, states, *self._callers[caller]))

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits that nobody knows what became of it."""
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(error)


class Batches:
    """One operation's batches, by organization. `send` takes the organization and the batch.

    Whoever sends tells `returned` once for each batch, when its reply is there or never will be.
    """

    def __init__(self, send: Callable[[str, Batch], None]) -> None:
        self._send = send
        self._queues: dict[str, _Queue] = {}

    def of(self, organization: str) -> Batch:
        """Find the batch to add the next call of an organization to."""
        queue = self._queues.get(organization)
        if queue is None:
            queue = self._queues[organization] = _Queue(partial(self._send, organization))
        return queue.batch()

    def returned(self, organization: str) -> None:
        """Let what has gathered follow a run that is over."""
        self._queues[organization].returned()


class _Queue:
    """One organization's calls of an operation that have not left."""

    __slots__ = ("_at_store", "_batch", "_leaving", "_quiet_turns", "_seen", "_send")

    def __init__(self, send: Callable[[Batch], None]) -> None:
        self._send = send
        self._batch: Batch | None = None
        self._at_store = 0
        self._leaving = False
        self._seen = 0
        self._quiet_turns = 0

    def batch(self) -> Batch:
        """Find the batch that takes the next call; a full one leaves whatever is at the store."""
        batch = self._batch
        if batch is not None and batch.full:
            self._leave(batch)
            batch = None
        if batch is None:
            batch = self._batch = Batch()
            if not self._at_store:
                self._leave_soon()
        return batch

    def returned(self) -> None:
        """Note that a run is over."""
        self._at_store -= 1
        if self._batch is not None:
            self._leave_soon()

    def _leave_soon(self) -> None:
        if not self._leaving:
            self._leaving = True
            self._seen = self._quiet_turns = 0
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """End a turn of the loop: leave, unless there may be more to read."""
        batch = self._batch
        if batch is not None and batch.size > 1 and not self._is_quiet(batch.size):
            asyncio.get_running_loop().call_soon(self._turn)
            return
        self._leaving = False
        if batch is not None and not self._at_store:
            self._leave(batch)

    def _is_quiet(self, size: int) -> bool:
        if size > self._seen:
            self._seen, self._quiet_turns = size, 0
        else:
            self._quiet_turns += 1
        return self._quiet_turns >= QUIET_TURNS

    def _leave(self, batch: Batch) -> None:
        self._batch = None
        self._at_store += 1
        self._send(batch)


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
