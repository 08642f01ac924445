"""Let a request wait for room in a limit: until calls in flight give back what they hold, or as
long as the limit says (`max_wait_ms`).

A sequential client may have its reply before the call is settled, possibly by another process. A
waiting request holds nothing, and every attempt is decided by the store, so limits stay exact.

Requests refused by the same scope form one queue, of which only the first asks: at once when this
process has settled a call of that scope, when time has made room, and after short pauses because
other processes settle too. Leaving the queue lets the next one ask. A crowd therefore costs the
store no more than one request does, and requests that are not refused pay nothing.

Where a limit says that calls wait, those that come later join the queue without asking, so within
one process they are admitted in order of arrival. The processes' queues compete for room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import structs

from tollgate import telemetry
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import Account, Quota, Scope, Standing
from tollgate.core.limits.algorithms import algorithm_of
from tollgate.ports import Counters

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.004, 0.064
"""Pause of the first in a queue before it asks; doubles each time."""
LOOK_S = 0.1
"""Interval at which the others check whether their client is still connected."""
LONGEST_SLEEP_S = 1.0
"""Longest pause of the first in a queue that only time can make room for: a call that ends may give
back more than was expected.
"""
MOST_WAITING, MOST_IN_LINE = 1024, 128
"""Most waiting requests in this process, and for one scope; more are refused at once."""

_Place = tuple[str, Scope]


class _Waiter:
    """One waiting request."""

    __slots__ = ("_called", "_sleeping", "pause_s")

    def __init__(self) -> None:
        self.pause_s = FIRST_PAUSE_S
        self._called = False
        self._sleeping: asyncio.Future[None] | None = None

    def call(self) -> None:
        """Let it ask: now, or as soon as the current attempt has its answer."""
        self._called = True
        self._wake()

    async def sleep(self, longest_s: float) -> bool:
        """Wait; return True if called before the time was over."""
        if not self._called:
            loop = asyncio.get_running_loop()
            self._sleeping = loop.create_future()
            timer = loop.call_later(longest_s, self._wake)
            try:
                await self._sleeping
            finally:
                timer.cancel()
                self._sleeping = None
        called, self._called = self._called, False
        return called

    def _wake(self) -> None:
        if self._sleeping is not None and not self._sleeping.done():
            self._sleeping.set_result(None)


class _Line(deque[_Waiter]):
    """A queue. `in_turn`: a limit says that calls wait, so later ones join it without asking."""

    in_turn = False


class HoldWaits:
    """Requests that wait: for holds at most `longest_s` (0: not at all), for a limit that says how
    long at most `longest_in_turn_s`. `most_in_line`: for one scope.
    """

    def __init__(
        self,
        counters: Counters,
        longest_s: float,
        longest_in_turn_s: float = 0,
        most_in_line: int = MOST_IN_LINE,
    ) -> None:
        self._counters = counters
        self._longest_s = longest_s
        self._longest_in_turn_s = longest_in_turn_s
        self._most_in_line = most_in_line
        self._lines: dict[_Place, _Line] = {}
        self._waiting = 0

    def ask(self, reservation: Reservation, left: Callable[[], bool]) -> Awaitable[Standing]:
        """Ask the store, behind those who wait already where a limit says that calls wait.

        Returns its answer; raises what `Counters.reserve` raises.
        """
        if not self._lines or (found := self._find_line(reservation)) is None:
            return self._counters.reserve(reservation)
        return self._join(reservation, left, *found)

    async def _join(
        self, reservation: Reservation, left: Callable[[], bool], number: int, place: _Place
    ) -> Standing:
        """Ask behind those who wait for room in an account, which is `number` of the call's."""
        account = reservation.accounts[number]
        waits = [each.enforcement.max_wait_ms for each in account.limits]
        line = self._lines[place]
        if self._waiting >= MOST_WAITING or len(line) >= self._most_in_line:
            limited = tuple(each for each in reservation.accounts if each.limited)
            told = await self._counters.peek(reservation.organization, limited)
            return structs.replace(told, refused=number, by=waits.index(max(waits)))
        return await self._wait(reservation, None, left, place)

    def _find_line(self, reservation: Reservation) -> tuple[int, _Place] | None:
        """Return the account whose queue a request has to join, and that queue."""
        for number, account in enumerate(reservation.accounts):
            place = reservation.organization, account.scope
            line = self._lines.get(place)
            if line is not None and line.in_turn and _longest_wait_ms(account):
                return number, place
        return None

    def patient(self, reservation: Reservation, standing: Standing) -> bool:
        """Whether a refused request may wait."""
        return self._patience_s(reservation, standing) > 0

    def _patience_s(self, reservation: Reservation, standing: Standing) -> float:
        """Return how long a refused request may wait in all."""
        quota, _ = _refusing(reservation, standing)
        own_s = min(quota.enforcement.max_wait_ms / 1000, self._longest_in_turn_s)
        return max(own_s, self._longest_s) if standing.only_held else own_s

    async def ask_again(
        self, reservation: Reservation, refused: Standing, left: Callable[[], bool]
    ) -> Standing:
        """Ask until the reservation is admitted, refused by what no wait helps against, or out of
        time.

        `left` tells whether the client has gone. Returns the store's last answer; raises what
        `Counters.reserve` raises.
        """
        if self._waiting >= MOST_WAITING:
            return refused
        return await self._wait(reservation, refused, left, None)

    def settled(self, reservation: Reservation, _: object = None) -> None:
        """Notify the first in the queue of each scope of a settled call, whatever it came to."""
        if not self._lines:
            return
        for account in reservation.accounts:
            if (line := self._lines.get((reservation.organization, account.scope))) is not None:
                line[0].call()

    async def _wait(
        self,
        reservation: Reservation,
        refused: Standing | None,
        left: Callable[[], bool],
        place: _Place | None,
    ) -> Standing:
        """Wait and ask, as `_ask_in_line`; the time is counted."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        self._waiting += 1
        try:
            standing = await self._ask_in_line(reservation, refused, left, place)
        finally:
            self._waiting -= 1
        telemetry.waited(clock() - began_s, admitted=standing.refused is None)
        return standing

    async def _ask_in_line(
        self,
        reservation: Reservation,
        standing: Standing | None,
        left: Callable[[], bool],
        place: _Place | None,
    ) -> Standing:
        """Wait and ask. `place`: the queue to join without having asked."""
        clock = asyncio.get_running_loop().time
        began_s, waiter = clock(), _Waiter()
        if place is not None:
            self._lines[place].append(waiter)
        try:
            while standing is None or not left():
                pause_s, until_s = FIRST_PAUSE_S, began_s + self._longest_in_turn_s
                if standing is not None:
                    if standing.refused is None:
                        break
                    until_s = began_s + self._patience_s(reservation, standing)
                    found_s = _pause_s(reservation, standing, waiter, until_s - clock())
                    if found_s is None:
                        break
                    pause_s = found_s
                    place = self._move(place, reservation, standing, waiter)
                    if place is None:
                        break
                is_first = place is not None and self._lines[place][0] is waiter
                if not is_first:
                    pause_s = LOOK_S
                elif standing is None:
                    standing = await self._counters.reserve(reservation)
                    continue
                called = await waiter.sleep(min(pause_s, max(0.0, until_s - clock())))
                if called or is_first or clock() >= until_s or (standing is None and left()):
                    waiter.pause_s = min(2 * waiter.pause_s, LONGEST_PAUSE_S)
                    standing = await self._counters.reserve(reservation)
            assert standing is not None
            return standing
        finally:
            self._leave(place, waiter)

    def _move(
        self, place: _Place | None, reservation: Reservation, standing: Standing, waiter: _Waiter
    ) -> _Place | None:
        """Stand in the queue of the scope that refuses now; None: it is full."""
        quota, account = _refusing(reservation, standing)
        here = reservation.organization, account.scope
        if here != place:
            self._leave(place, waiter)
            line = self._lines.setdefault(here, _Line())
            if len(line) >= self._most_in_line:
                return None
            line.append(waiter)
        if quota.enforcement.max_wait_ms:
            self._lines[here].in_turn = True
        return here

    def _leave(self, place: _Place | None, waiter: _Waiter) -> None:
        """Leave a queue; whoever is first then may find room, or must start asking."""
        if place is None:
            return
        line = self._lines[place]
        was_first = line[0] is waiter
        line.remove(waiter)
        if not line:
            del self._lines[place]
        elif was_first:
            line[0].call()


def _refusing(reservation: Reservation, standing: Standing) -> tuple[Quota, Account]:
    """Return the limit that refused, and its account."""
    assert standing.refused is not None
    assert standing.by is not None
    account = reservation.accounts[standing.refused]
    return account.limit(standing.by), account


def _longest_wait_ms(account: Account) -> int:
    return max(each.enforcement.max_wait_ms for each in account.limits)


def _pause_s(
    reservation: Reservation, standing: Standing, waiter: _Waiter, rest_s: float
) -> float | None:
    """Return how long the first in a queue sleeps before it asks; None: no wait helps.

    `rest_s`: how long it may still wait.
    """
    if rest_s <= 0:
        return None
    if standing.only_held:
        return waiter.pause_s
    quota, _ = _refusing(reservation, standing)
    assert standing.refused is not None
    assert standing.by is not None
    balance = standing.balances[standing.refused]
    used, held = balance.used[standing.by], balance.held[standing.by]
    asked, algorithm = reservation.asked(quota), algorithm_of(quota)
    if quota.seconds:
        held *= bucket.units(quota.seconds)
    least_ms = algorithm.wait_ms(quota, max(0, used - held), asked, standing.now_us)
    if least_ms is None or least_ms > rest_s * 1000:
        return None
    wait_ms = algorithm.wait_ms(quota, used, asked, standing.now_us) or 0
    return max(FIRST_PAUSE_S, min(wait_ms / 1000, LONGEST_SLEEP_S))
