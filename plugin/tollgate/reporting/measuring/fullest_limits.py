"""Find the limits that are nearest to being used up, and when they will be, for metrics and the
console.

A call only notes whose limits it meets. A second after the first one, then every ten, the limits
of the scopes that were met within an hour are read in one go, and the fullest are told. What a
limit gained in the last quarter of an hour tells when it will be used up at that rate; what a rate
gained within its own window, if that is shorter.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from msgspec import Struct, structs

from tollgate import telemetry
from tollgate.core.calls.reservation import Reservation
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Account, Accounts, Meter, Scope
from tollgate.core.limits.limit import shown_length
from tollgate.core.limits.limit_parts import expanded, folded, whole_of
from tollgate.ports import Clock, Counters
from tollgate.reporting.levels import Level, levels_of
from tollgate.reporting.measuring.scope_labels import ScopeNames

LOOK_EVERY_S = 10.0
_FIRST_LOOK_S = 1.0
MOST_SCOPES = 1_000
"""Scopes whose limits are read; beyond them, those that were met longest ago are forgotten."""
_FORGOTTEN_AFTER_US = 3_600_000_000
_RATE_OF_US = 900_000_000
_KEPT_LOOKS = 15
_LEAST_SEEN_US = 60_000_000
_FOR_EVER_US = 2**63

_Place = tuple[str, Scope]
"""An organization, and a scope whose counters are there."""
_Limit = tuple[str, Scope, Meter, str | None, int]
"""A limit of a scope at a place, by its meter and window."""


class FullLimit(Struct, frozen=True, kw_only=True):
    """A limit, and how full it is. Dollars are nano-dollars.

    - `scope`, `id`, `name`: whose it is; the name is an alias where there is one.
    - `only_for`: the model that it is narrowed to; empty: all.
    - `window`: how long the amount is for, as `1m`; empty: for ever, or calls in flight.
    - `used`: what is settled and held. `resets_us`: when it starts anew, or is untouched again if
      nobody calls; None: never.
    - `empty_s`: seconds until nothing is left at the present rate; None: not before it starts
      anew, or it does not fill.
    - `shadow`: it refuses nothing.
    """

    scope: str
    id: str
    name: str
    meter: str
    window: str
    only_for: str
    used: int
    amount: int
    resets_us: int | None = None
    empty_s: float | None = None
    shadow: bool = False

    @property
    def share(self) -> float:
        """How much of the limit is used, from 0 to 1."""
        return min(1.0, max(0.0, self.used / self.amount))


def nearest(limits: Iterable[FullLimit], most: int) -> list[FullLimit]:
    """Return the limits that will be used up first, and behind them the fullest of the others: at
    most so many of either kind.
    """
    found = list(limits)
    timed = heapq.nsmallest(most, (each for each in found if each.empty_s is not None), _end)
    others = (each for each in found if each.empty_s is None)
    return timed + heapq.nlargest(most, others, key=lambda each: each.share)


def _end(limit: FullLimit) -> tuple[float, int]:
    """Return what orders limits that will be used up: those that stay so longest come first."""
    assert limit.empty_s is not None
    return limit.empty_s, -(limit.resets_us or _FOR_EVER_US)


class FullestFile(Protocol):
    """Where a process leaves its fullest limits for the one that tells metrics."""

    def write(self, limits: Sequence[FullLimit]) -> None:
        """Replace what this process left."""
        ...


class FullestLimits:
    """The limits that calls of this process meet. `most`: how many are told."""

    def __init__(
        self, counters: Counters, clock: Clock, names: ScopeNames, file: FullestFile, most: int
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._names = names
        self._file = file
        self._most = most
        self._met: dict[_Place, tuple[Account, int]] = {}
        # By the identity of the accounts, which callers share.
        self._new: dict[int, tuple[str, Accounts]] = {}
        # When a limit was looked at, and what was used of it.
        self._looks: dict[_Limit, deque[tuple[int, int]]] = {}
        self._noted = asyncio.Event()

    def meets(self, reservation: Reservation, _: object = None) -> None:
        """Note the limits that a call meets, whatever comes of it."""
        new, accounts = self._new, reservation.accounts
        if id(accounts) in new:
            return
        new[id(accounts)] = reservation.organization, accounts
        if len(new) > MOST_SCOPES:
            del new[next(iter(new))]
        self._noted.set()

    async def keep_looking(self) -> None:
        """Look forever; while nobody calls only until all is forgotten."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(LOOK_EVERY_S if self._met else _FIRST_LOOK_S)
            self._noted.clear()
            try:
                await self.look()
            except StoreUnavailable as error:
                telemetry.store_failed("levels", error)
            if self._met:
                self._noted.set()

    async def look(self) -> None:
        """Tell the fullest limits. Raises StoreUnavailable."""
        now_us = self._clock.now_us()
        self._take_in(now_us)
        looks, self._looks = self._looks, {}
        found = []
        async for place, level in self._levels(now_us):
            name = place, level.scope, level.quota.meter, level.quota.duration, level.quota.seconds
            self._looks[name] = looks.get(name) or deque()
            found.append(_full_limit(level, _find_empty_s(self._looks[name], level, now_us)))
        told = nearest(found, self._most)
        names = await self._names.find({(each.scope, each.id) for each in told})
        self._file.write([structs.replace(each, name=names[each.scope, each.id]) for each in told])

    def _take_in(self, now_us: int) -> None:
        """Add what was met since the last look, and forget what was not met for long."""
        new, self._new = self._new, {}
        met = {
            (place, account.scope): account
            for place, accounts in new.values()
            for account in accounts
            if account.limits
        }
        for place, account in met.items():
            if account.parts > 1:
                account = whole_of(account)
                place = account.scope.id, account.scope
            self._met.pop(place, None)
            self._met[place] = account, now_us
        for place, (_, met_us) in tuple(self._met.items()):
            if met_us > now_us - _FORGOTTEN_AFTER_US and len(self._met) <= MOST_SCOPES:
                break
            del self._met[place]

    async def _levels(self, now_us: int) -> AsyncIterator[tuple[str, Level]]:
        """Yield where limits stand, each with the organization in whose place it is."""
        by_place: defaultdict[str, list[Account]] = defaultdict(list)
        for (place, _), (account, _) in self._met.items():
            by_place[place].append(account)
        for place, accounts in by_place.items():
            standing = await self._counters.peek(place, expanded(accounts, place))
            balances = folded(accounts, standing.balances)
            for account, balance in zip(accounts, balances, strict=True):
                for level in levels_of(account, balance, standing.now_us):
                    # A period that is over was noted with a call of that time. A limit of 0
                    # is no limit that fills, and a share fills whenever others use it.
                    quota = level.quota
                    ended = 0 < quota.period.end_us <= now_us
                    if quota.amount and quota.share is None and not ended:
                        yield place, level


def _full_limit(level: Level, empty_s: float | None) -> FullLimit:
    scope, quota = level.scope, level.quota
    return FullLimit(
        scope=scope.kind,
        id=scope.id,
        name=scope.id,
        meter=quota.meter.value,
        window=shown_length(quota),
        only_for=scope.model or "",
        used=level.used,
        amount=level.amount,
        resets_us=level.resets_us,
        empty_s=empty_s,
        shadow=quota.enforcement.shadow,
    )


def _find_empty_s(looks: deque[tuple[int, int]], level: Level, now_us: int) -> float | None:
    """Return the seconds until a limit is used up at the rate of the last looks, to which this one
    is added.
    """
    quota = level.quota
    if level.is_used_up:
        return 0.0
    if quota.meter is Meter.CALLS:
        return None  # they make room by themselves
    span_us = _RATE_OF_US
    if quota.seconds:
        # What is used of a rate also drains, so a longer span would hide that it fills.
        span_us = min(span_us, quota.seconds * 1_000_000)
    elif looks and level.used < looks[-1][1]:
        looks.clear()  # a new period
    while looks and now_us - looks[0][0] > span_us:
        looks.popleft()
    if not looks or now_us - looks[-1][0] >= span_us // _KEPT_LOOKS:
        looks.append((now_us, level.used))
    since_us, before = looks[0]
    if level.used <= before:
        return None
    seen_us = now_us - since_us
    if not quota.seconds:
        # A few calls within seconds are no rate that holds for a month.
        seen_us = max(seen_us, _LEAST_SEEN_US)
    empty_us = level.remaining * seen_us // (level.used - before)
    ends_first = 0 < quota.period.end_us <= now_us + empty_us
    return None if ends_first else empty_us / 1_000_000
