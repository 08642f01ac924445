"""What a run of a script tells of scopes: their states as the scripts keep them, to where the
accounts of its callers stand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import (
    Account,
    Accounts,
    Balance,
    Meter,
    Quota,
    Standing,
)
from tollgate.core.limits.period import current

# STATE of counters.lua: units used of requests, of tokens, tokens held, nano-dollars used, held,
# start of the period in us, and as of which ms requests and tokens are.
STATE = struct.Struct("<8q")
State = tuple[int, int, int, int, int, int, int, int]


class States:
    """The scopes' states after a run, and the calls in flight of those that limit them, each by its
    number in the batch.
    """

    __slots__ = ("_in_flight", "_known", "_packed", "_states", "now_us")

    def __init__(self, now_us: int, packed: bytes, in_flight: Sequence[int]) -> None:
        self.now_us = now_us
        self._packed = packed
        self._in_flight = in_flight
        self._states: list[State] = []
        self._known: dict[int, Standing] = {}

    def standing(self, accounts: Accounts, numbers: Sequence[int]) -> Standing:
        """Where accounts stand, whose scope's and slots' numbers these are in turn, from 1; slots
        0: none.

        Calls of one caller share it.
        """
        found = self._known.get(id(accounts))
        if found is None:
            if not self._states:
                self._states = list(STATE.iter_unpack(self._packed))
            found = self._known[id(accounts)] = Standing(
                self.now_us, tuple(self._balances(accounts, numbers))
            )
        return found

    def _balances(self, accounts: Accounts, numbers: Sequence[int]) -> Iterator[Balance]:
        places = iter(numbers)
        for account, scope, slots in zip(accounts, places, places, strict=True):
            calls = self._in_flight[slots - 1] if slots else 0
            yield _balance(account, self._states[scope - 1], calls, self.now_us)


def _balance(account: Account, state: State, calls: int, now_us: int) -> Balance:
    requests, tokens, held_tokens, spent, held, period_us, requests_ms, tokens_ms = state
    if account.period.end_us:
        spent, period_us = current(spent, period_us, account.period, now_us)
    levels = {
        "r": (requests, requests_ms, 0),
        "t": (tokens, tokens_ms, held_tokens),
        "p": (calls, 0, calls),
        "b": (spent, 0, held),
    }
    used, holds = [], []
    for quota in account.limits:
        amount, at, held_amount = levels[letter_of(quota)]
        used.append(bucket.level(quota, amount, at, now_us) if quota.seconds else amount)
        holds.append(held_amount)
    return Balance(tuple(used), tuple(holds), spent, held, period_us)


LETTERS = "rtpb"
"""The limits that counters.lua knows, by the letter with which it names the one that refused."""
_LETTERS = {Meter.REQUESTS: "r", Meter.TOKENS: "t", Meter.CALLS: "p", Meter.USD: "b"}


def letter_of(quota: Quota) -> str:
    """The letter of a limit."""
    return _LETTERS[quota.meter]


def has_slots(account: Account) -> bool:
    """Whether calls in flight are limited."""
    return any(each.meter is Meter.CALLS for each in account.limits)
