"""What a run of a script tells of scopes: where the accounts of its callers stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tollgate.adapters.valkey.counters.layout import (
    State,
    find_counter,
    read_state,
)
from tollgate.core.limits import bucket, period, shared_bucket
from tollgate.core.limits.accounts import Account, Accounts, Balance, Meter, Standing
from tollgate.core.limits.period import current

Names = tuple[tuple[int, ...], ...]
"""What the counters of limits are called (`layout.name_of`), account by account."""


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

    def standing(self, accounts: Accounts, names: Names, numbers: Sequence[int]) -> Standing:
        """Where accounts stand, whose scope's and slots' numbers these are in turn, from 1; slots
        0: none.

        `names`: what the counters of their limits are called. Calls of one caller share it.
        """
        found = self._known.get(id(accounts))
        if found is None:
            if not self._states:
                self._read()
            found = self._known[id(accounts)] = Standing(
                self.now_us, tuple(self._balances(accounts, names, numbers))
            )
        return found

    def _read(self) -> None:
        packed, offset = self._packed, 0
        while offset < len(packed):
            state, offset = read_state(packed, offset)
            self._states.append(state)

    def _balances(
        self, accounts: Accounts, names: Names, numbers: Sequence[int]
    ) -> Iterator[Balance]:
        places = iter(numbers)
        for account, its_names, scope, slots in zip(accounts, names, places, places, strict=True):
            calls = self._in_flight[slots - 1] if slots else 0
            yield _balance(account, its_names, self._states[scope - 1], calls, self.now_us)


def _balance(
    account: Account, names: tuple[int, ...], state: State, calls: int, now_us: int
) -> Balance:
    _, spent, held_nanousd, start_us = state[:4]
    if account.period.end_us:
        spent, start_us = current(spent, start_us, account.period, now_us)
    used: list[int] = []
    held: list[int] = []
    for quota, name in zip(account.limits, names, strict=True):
        if quota.share is not None:
            units, hold, at_tick = find_counter(state, name)
            own = shared_bucket.own_level(quota, units, at_tick, now_us)
            whole = shared_bucket.Filled(used[-1], held[-1])
            level = shared_bucket.level(quota, whole, shared_bucket.Filled(own, hold))
            used.append(level.used)
            held.append(level.held)
        elif quota.seconds:
            units, hold, at_tick = find_counter(state, name)
            used.append(bucket.level(quota, units, at_tick, now_us))
            held.append(hold)
        elif quota.meter is Meter.CALLS:
            used.append(calls)
            held.append(calls)
        elif not name:  # the scope's own spend
            used.append(spent)
            held.append(held_nanousd)
        else:
            amount, hold, began_us = find_counter(state, name)
            used.append(period.level(quota, amount, began_us, now_us))
            held.append(hold)
    return Balance(tuple(used), tuple(held), spent, held_nanousd, start_us)
