"""Calls on the counters that leave for the store together: one run of the script for all that came up in one turn of the loop.

A run costs as much as several calls in it, and callers share scopes (the proxy's at least), which are then read and written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollgate.adapters.valkey import keys
from tollgate.core.entities import Account, Accounts, Balance
from tollgate.core.memo import Memo

MOST_CALLS = 64
"""In one run: the store answers nobody else meanwhile."""

_pack = msgspec.msgpack.Encoder().encode


class Answer(Struct, array_like=True):
    """What the script says of one call: the number of the account that refused (0: none did, -1: no such reservation), and its limit."""

    refused: int
    by: str
    balances: tuple[Balance, ...]


Answering = tuple[int, Answer]
"""An answer, and the store's clock in us."""


class Keyed(Struct, frozen=True):
    """Accounts as the script takes them, and their keys. A slot's key is empty where calls at once are not limited."""

    scopes: tuple[str, ...]
    slots: tuple[str, ...]
    packed: Raw

    @classmethod
    def of(cls, organization: str, accounts: Accounts) -> Keyed:
        """The accounts of an organization's caller."""
        return cls(
            tuple(keys.scope_key(organization, each.scope) for each in accounts),
            tuple("" if each.parallel is None else keys.slots_key(organization, each.scope) for each in accounts),
            Raw(_pack([_packed(each) for each in accounts])),
        )


class Batch:
    """Calls of one operation, for one organization."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Answering]] = []
        self._calls: list[tuple[Any, ...]] = []
        self._scopes: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        self._numbered: Memo[Keyed, tuple[Raw, list[int], list[int]]] = Memo(self._number)

    def add(self, head: tuple[Any, ...], keyed: Keyed, tail: tuple[Any, ...] = ()) -> asyncio.Future[Answering]:
        """One call more; its answer, with the store's clock."""
        self._calls.append((*head, *self._numbered.get(keyed), *tail))
        future: asyncio.Future[Answering] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return future

    def _number(self, keyed: Keyed) -> tuple[Raw, list[int], list[int]]:
        scopes, slots = self._scopes, self._slots
        scope_numbers = [scopes.setdefault(key, len(scopes) + 1) for key in keyed.scopes]
        slot_numbers = [slots.setdefault(key, len(slots) + 1) if key else 0 for key in keyed.slots]
        return keyed.packed, scope_numbers, slot_numbers

    @property
    def full(self) -> bool:
        """Whether it has to leave."""
        return len(self._calls) >= MOST_CALLS

    def keys(self) -> tuple[str, ...]:
        """The keys that its calls name by number: the scopes, then the slots."""
        return (*self._scopes, *self._slots)

    def arguments(self) -> tuple[int, bytes]:
        """How many scopes there are, and the calls."""
        return len(self._scopes), _pack(self._calls)

    def answer(self, now_us: int, answers: list[Answer]) -> None:
        """Tell everybody who waits."""
        for future, answer in zip(self.waiting, answers, strict=True):
            if not future.done():  # its caller was cancelled
                future.set_result((now_us, answer))

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits that nobody knows what became of it."""
        for future in self.waiting:
            if not future.done():
                future.set_exception(error)


class Batches:
    """One operation's batches: what is added in one turn of the loop is sent at its end. `send` takes the organization and the batch."""

    def __init__(self, send: Callable[[str, Batch], None]) -> None:
        self._send = send
        self._open: dict[str, Batch] = {}

    def of(self, organization: str) -> Batch:
        """The batch to add the next call of an organization to."""
        batch = self._open.get(organization)
        if batch is not None and batch.full:
            self._send(organization, self._open.pop(organization))
            batch = None
        if batch is None:
            if not self._open:
                asyncio.get_running_loop().call_soon(self._flush)
            batch = self._open[organization] = Batch()
        return batch

    def _flush(self) -> None:
        batches, self._open = self._open, {}
        for organization, batch in batches.items():
            self._send(organization, batch)


def _packed(account: Account) -> tuple[int | None, ...]:
    period = account.period
    limits = (account.rpm, account.tpm, account.parallel, account.budget_nanousd)
    return (*limits, period.previous_us, period.start_us, period.end_us)
