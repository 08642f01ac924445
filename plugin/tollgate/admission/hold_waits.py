"""Let a request wait that only the holds of calls in flight refuse, until one of them ends.

A sequential client may have its reply before the call is settled, possibly by another process. A
waiting request holds nothing, and every attempt is decided by the store, so limits stay exact.

Requests refused by the same scope form one queue, of which only the first asks: at once when this
process has settled a call of that scope, and after short pauses because other processes settle too.
Leaving the queue lets the next one ask. A crowd therefore costs the store no more than one request
does, and requests that are not refused pay nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from tollgate import telemetry
from tollgate.core.calls.reservation import Reservation
from tollgate.core.limits.accounts import Scope, Standing
from tollgate.ports import Counters

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.004, 0.064
"""Pause of the first in a queue before it asks; doubles each time."""
LOOK_S = 0.1
"""Interval at which the others check whether their client is still connected."""
MOST_WAITING, MOST_IN_LINE = 1024, 128
"""Most waiting requests in this process, and for one scope; more are refused at once."""

_Line = deque["_Waiter"]
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


class HoldWaits:
    """Requests that wait for holds, each at most `longest_s`; 0 disables waiting."""

    def __init__(self, counters: Counters, longest_s: float) -> None:
        self._counters = counters
        self._longest_s = longest_s
        self._lines: dict[_Place, _Line] = {}
        self._waiting = 0

    async def ask_again(
        self, reservation: Reservation, refused: Standing, left: Callable[[], bool]
    ) -> Standing:
        """Ask until the reservation is admitted, refused by more than holds, or out of time.

        `left` tells whether the client has gone. Returns the store's last answer; raises what
        `Counters.reserve` raises.
        """
        if self._longest_s == 0 or self._waiting >= MOST_WAITING:
            return refused
        self._waiting += 1
        try:
            standing = await self._ask_in_line(reservation, refused, left)
        finally:
            self._waiting -= 1
        telemetry.waited(admitted=standing.refused is None)
        return standing

    def settled(self, reservation: Reservation) -> None:
        """Notify the first in the queue of each scope of a settled call."""
        if not self._lines:
            return
        for account in reservation.accounts:
            if (line := self._lines.get((reservation.organization, account.scope))) is not None:
                line[0].call()

    async def _ask_in_line(
        self, reservation: Reservation, standing: Standing, left: Callable[[], bool]
    ) -> Standing:
        clock = asyncio.get_running_loop().time
        until_s, waiter, place = clock() + self._longest_s, _Waiter(), None
        try:
            while standing.only_held and not left() and (rest_s := until_s - clock()) > 0:
                if (here := _place(reservation, standing)) != place:
                    self._leave(place, waiter)
                    place = here if self._join(here, waiter) else None
                if place is None:
                    break
                is_first = self._lines[place][0] is waiter
                pause_s = waiter.pause_s if is_first else LOOK_S
                if await waiter.sleep(min(pause_s, rest_s)) or is_first or clock() >= until_s:
                    waiter.pause_s = min(2 * waiter.pause_s, LONGEST_PAUSE_S)
                    standing = await self._counters.reserve(reservation)
            return standing
        finally:
            self._leave(place, waiter)

    def _join(self, place: _Place, waiter: _Waiter) -> bool:
        """Join the end of a queue. Return False if it is full."""
        line = self._lines.setdefault(place, deque())
        if len(line) >= MOST_IN_LINE:
            return False
        line.append(waiter)
        return True

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


def _place(reservation: Reservation, standing: Standing) -> _Place:
    """Return the queue of a refused request: that of the scope that refused it."""
    assert standing.refused is not None
    return reservation.organization, reservation.accounts[standing.refused].scope
