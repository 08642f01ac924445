"""Calls on the counters that leave for the store together: one run of the script for all that came up in one turn of the loop, or,
where calls come in crowds, within a few milliseconds.

A run costs as much as several calls in it, and callers share scopes (the proxy's at least), which are then read and written once.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from tollgate.adapters.valkey import keys
from tollgate.adapters.valkey.states import States
from tollgate.core.entities import Account, Accounts, Standing
from tollgate.core.memo import Memo

MOST_CALLS = 64
"""In one run: the store answers nobody else meanwhile."""
ENOUGH_CALLS, FEW_CALLS = 8, 5
"""A batch with enough calls waits for no more; with a few, or none, it has waited in vain. A run costs as much as some ten calls in it,
but to wait for ten or twelve cost 16 clients in gRPC up to a quarter of their rate, and gained nothing at 32."""
GATHER_S = 0.004
"""How long a batch waits for them when the one before had several; a call alone never waits. The loop counts whole milliseconds."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 1.28
"""How long none waits after one has waited in vain; twice as long each time until one has not. Clients who wait for their answers send
nothing meanwhile, so few of them never become enough: where all waited, 4 clients had 820 calls a second in native mode, and have 1,980."""

_LIMITS = struct.Struct("<7d")
_ANSWER = struct.Struct("<hc")


class Answer(Struct, frozen=True):
    """What the script says of one call: the number of the account that refused (0: none did, -1: no such reservation), and its limit;
    and where the accounts of its caller stand after all that the run did."""

    refused: int
    by: bytes
    states: States
    accounts: Accounts
    numbers: Sequence[int]

    @property
    def standing(self) -> Standing:
        """Where the accounts stand: calls of one caller share it. Nobody who did not ask to be told knows that."""
        return self.states.standing(self.accounts, self.numbers)


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
    """Accounts as the script takes them, and their keys: of the scope, and of its slots, empty where calls at once are not limited.
    `first`, `numbers`, `packed`: what they come to in a batch that this caller is the first of, as it mostly is."""

    accounts: Accounts
    keys: tuple[tuple[str, str], ...]
    limits: bytes
    first: _Numbers
    numbers: tuple[int, ...]
    packed: bytes

    @classmethod
    def of(cls, organization: str, accounts: Accounts) -> Keyed:
        """The accounts of an organization's caller."""
        named = tuple(
            (
                keys.scope_key(organization, each.scope),
                "" if each.parallel is None else keys.slots_key(organization, each.scope),
            )
            for each in accounts
        )
        limits = b"".join(_LIMITS.pack(*_limits(each)) for each in accounts)
        first = _Numbers({}, {})
        numbers = first.add(named)
        return cls(accounts, named, limits, first, numbers, _packed(numbers))


class Batch:
    """Calls of one operation, for one organization."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Future[Answer], int]] = []
        self._calls: list[bytes | str] = []
        self._callers: list[bytes] = []
        self._numbers: list[tuple[Accounts, Sequence[int]]] = []
        self._known = _Numbers({}, {})
        self._caller_of: Memo[Keyed, int] = Memo(self._add_caller)

    def add(
        self, keyed: Keyed, packed: struct.Struct, *numbers: int, texts: tuple[bytes | str, ...] = ()
    ) -> asyncio.Future[Answer]:
        """One call more: its numbers as the operation packs them, the caller's first, and its texts."""
        caller = self._caller_of.get(keyed)
        self._calls += packed.pack(caller, *numbers), *texts
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, caller))
        return future

    def _add_caller(self, keyed: Keyed) -> int:
        if self._numbers:
            numbers = self._known.add(keyed.keys)
            packed = _packed(numbers)
        else:
            self._known = _Numbers(keyed.first.scopes.copy(), keyed.first.slots.copy())
            numbers, packed = keyed.numbers, keyed.packed
        self._callers += keyed.limits, packed
        self._numbers.append((keyed.accounts, numbers))
        return len(self._numbers)

    @property
    def size(self) -> int:
        """How many calls came together."""
        return len(self._waiting)

    def keys(self) -> tuple[str, ...]:
        """The keys that its callers name by number: the scopes, then the slots."""
        return (*self._known.scopes, *self._known.slots)

    @property
    def scope_count(self) -> int:
        """How many of its keys are scopes."""
        return len(self._known.scopes)

    def arguments(self) -> tuple[int | bytes | str, ...]:
        """How many callers there are, those, and the calls."""
        return len(self._numbers), *self._callers, *self._calls

    def answer(self, reply: Sequence[Any]) -> None:
        """Tell everybody who waits."""
        now_us, answers, packed, in_flight = reply
        states = States(now_us, packed, in_flight)
        for (future, caller), (refused, by) in zip(self._waiting, _ANSWER.iter_unpack(answers), strict=True):
            if not future.done():  # its caller was cancelled
                future.set_result(Answer(refused, by, states, *self._numbers[caller - 1]))

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits that nobody knows what became of it."""
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(error)


class Batches:
    """One operation's batches. `send` takes the organization and the batch."""

    def __init__(self, send: Callable[[str, Batch], None]) -> None:
        self._send = send
        self._open: dict[str, Batch] = {}
        self._crowded = False
        self._gathering: asyncio.TimerHandle | None = None
        self._gather_from_s = 0.0
        self._pause_s = FIRST_PAUSE_S

    def of(self, organization: str) -> Batch:
        """The batch to add the next call of an organization to."""
        batch = self._open.get(organization)
        if batch is not None and batch.size >= MOST_CALLS:
            self._send(organization, self._open.pop(organization))
            batch = None
        if batch is None:
            if not self._open:
                loop = asyncio.get_running_loop()
                if self._crowded and loop.time() >= self._gather_from_s:
                    self._gathering = loop.call_later(GATHER_S, self._wait_no_more)
                else:
                    loop.call_soon(self._flush)
            batch = self._open[organization] = Batch()
        elif batch.size == ENOUGH_CALLS - 1 and self._gathering is not None:
            self._gathering.cancel()
            self._gathered(enough=True)
            # What else comes up in this turn leaves with them.
            asyncio.get_running_loop().call_soon(self._flush)
        return batch

    def _wait_no_more(self) -> None:
        self._gathered(enough=any(batch.size > FEW_CALLS for batch in self._open.values()))
        self._flush()

    def _gathered(self, *, enough: bool) -> None:
        self._gathering = None
        if enough:
            self._pause_s = FIRST_PAUSE_S
        else:
            self._gather_from_s = asyncio.get_running_loop().time() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _flush(self) -> None:
        if self._gathering is not None:  # a full batch has left, and what was left of its turn leaves with it
            self._gathering.cancel()
            self._gathering = None
        batches, self._open = self._open, {}
        self._crowded = any(batch.size > 1 for batch in batches.values())
        for organization, batch in batches.items():
            self._send(organization, batch)


def _packed(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


def _limits(account: Account) -> tuple[int, ...]:
    period = account.period
    limits = (account.rpm, account.tpm, account.parallel, account.budget_nanousd)
    return (*(-1 if each is None else each for each in limits), period.previous_us, period.start_us, period.end_us)
