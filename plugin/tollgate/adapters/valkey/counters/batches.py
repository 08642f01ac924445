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
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct

from tollgate.adapters.valkey.counters.keyed import Keyed, Numbers
from tollgate.adapters.valkey.counters.layout import ANSWER
from tollgate.adapters.valkey.counters.states import States
from tollgate.core.limits.accounts import Standing

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


T = TypeVar("T")

Told = Callable[[int, int, States, Keyed, Sequence[int]], T]
"""Makes of an answer's parts what those who wait are told, as `Answer` does."""


class Batch(Generic[T]):
    """Calls of one operation, for one organization.

    `size`: how many came together. `full`: it takes no further call.
    """

    def __init__(self, told: Told[T]) -> None:
        self.size = 0
        self.full = False
        self._told = told
        self._waiting: list[tuple[asyncio.Future[T], int]] = []
        self._calls: list[int] = []
        self._texts: list[bytes | str] = []
        self._limits: list[bytes] = []
        self._names: list[int] = []
        self._callers: list[tuple[Keyed, Sequence[int]]] = []
        self._known = Numbers({}, {})
        # By the identity of the accounts, which `_callers` keeps: the number of the caller, where
        # it stands among the limits, and where among the names.
        self._places: dict[int, tuple[int, tuple[int, int]]] = {}
        self._new_future = asyncio.get_running_loop().create_future
        self._limit_count = 0

    def add(
        self,
        keyed: Keyed,
        *numbers: int,
        texts: tuple[bytes | str, ...] = (),
    ) -> asyncio.Future[T]:
        """Add one call: its numbers behind those of its caller, and its texts."""
        caller, places = self._places.get(id(keyed.accounts)) or self._add_caller(keyed)
        self._calls += places
        self._calls += numbers
        self._texts += texts
        future: asyncio.Future[T] = self._new_future()
        self._waiting.append((future, caller))
        self.size += 1
        if self.size >= MOST_CALLS:
            self.full = True
        return future

    def _add_caller(self, keyed: Keyed) -> tuple[int, tuple[int, int]]:
        if self._callers:
            numbers = self._known.add(keyed.keys)
        else:
            self._known = Numbers(keyed.first.scopes.copy(), keyed.first.slots.copy())
            numbers = keyed.numbers
        places = len(self._callers), (self._limit_count + 1, len(self._names) + 1)
        self._places[id(keyed.accounts)] = places
        self._callers.append((keyed, numbers))
        self._limits.append(keyed.limits)
        self._limit_count += len(keyed.limits) // 8
        if self._limit_count >= MOST_NUMBERS:
            self.full = True
        self._names += numbers
        return places

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
                future.set_result(self._told(refused, limit, states, *self._callers[caller]))

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits that nobody knows what became of it."""
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(error)


class Batches(Generic[T]):
    """One operation's batches, by organization. `send` takes the organization and the batch; `told`
    makes what its callers are told.

    Whoever sends tells `returned` once for each batch, when its reply is there or never will be.
    """

    def __init__(self, send: Callable[[str, Batch[T]], None], told: Told[T]) -> None:
        self._send = send
        self._told = told
        self._queues: dict[str, _Queue[T]] = {}

    def of(self, organization: str) -> Batch[T]:
        """Find the batch to add the next call of an organization to."""
        queue = self._queues.get(organization)
        if queue is None:
            queue = self._queues[organization] = _Queue(
                partial(self._send, organization), self._told
            )
        batch = queue.open_batch
        return queue.renewed() if batch is None or batch.full else batch

    def returned(self, organization: str) -> None:
        """Let what has gathered follow a run that is over."""
        self._queues[organization].returned()


class _Queue(Generic[T]):
    """One organization's calls of an operation that have not left.

    `open_batch`: the batch that takes the next call unless it is full; None: there is none.
    """

    __slots__ = ("_at_store", "_leaving", "_quiet_turns", "_seen", "_send", "_told", "open_batch")

    def __init__(self, send: Callable[[Batch[T]], None], told: Told[T]) -> None:
        self._send = send
        self._told = told
        self.open_batch: Batch[T] | None = None
        self._at_store = 0
        self._leaving = False
        self._seen = 0
        self._quiet_turns = 0

    def renewed(self) -> Batch[T]:
        """Begin a batch for the next call; a full one leaves whatever is at the store."""
        if self.open_batch is not None:
            self._leave(self.open_batch)
        batch = self.open_batch = Batch(self._told)
        if not self._at_store:
            self._leave_soon()
        return batch

    def returned(self) -> None:
        """Note that a run is over."""
        self._at_store -= 1
        if self.open_batch is not None:
            self._leave_soon()

    def _leave_soon(self) -> None:
        if not self._leaving:
            self._leaving = True
            self._seen = self._quiet_turns = 0
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """End a turn of the loop: leave, unless there may be more to read."""
        batch = self.open_batch
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

    def _leave(self, batch: Batch[T]) -> None:
        self.open_batch = None
        self._at_store += 1
        self._send(batch)
