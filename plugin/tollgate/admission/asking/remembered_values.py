"""Bound how many values of a dimension, and how many customers, the store remembers.

Clients choose such ids. Values beyond the bound share one scope, or their calls are refused;
registered ones are not counted. A worker asks the store about a value once in a while, so that a
value in use costs a look-up in memory.
"""

from __future__ import annotations

from tollgate import telemetry
from tollgate.core.callers.dimensions import OVERFLOW, Dimension
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import ScopeKind, spans_organizations
from tollgate.core.memo import Bounded
from tollgate.ports import Clock, Directory
from tollgate.ports.value_ports import ValueBook

ASKED_AGAIN_US = 3_600_000_000
"""How long a worker relies on the store remembering a value: an hour, or a tenth of how long it is
remembered when idle.
"""
REFUSED_AGAIN_US = 10_000_000
"""How long a worker relies on the store having no room for a value."""
_SHARES = 10
_ANYWHERE = ""
"""Whose a value is that spans organizations, as a customer does."""
_MOST_BYTES = 16 * 1024 * 1024
_ENTRY_BYTES, _CHARACTER_BYTES = 400, 4


class RememberedValues:
    """Decides which values of requests are told apart: all those of unbounded dimensions."""

    def __init__(
        self, book: ValueBook, directory: Directory, clock: Clock, dimensions: tuple[Dimension, ...]
    ) -> None:
        self._book = book
        self._directory = directory
        self._clock = clock
        self._dimensions = {each.name: each for each in dimensions if each.most_values}
        # Of a value: whether there is room for it, and until when that is relied on.
        self._known: Bounded[tuple[str, str, str], tuple[bool, int]] = Bounded(_MOST_BYTES)

    def has_room_for_customer(self, customer_id: str) -> bool:
        """Return whether a customer is told apart for sure, so that told_apart() need not say."""
        if ScopeKind.CUSTOMER not in self._dimensions:
            return True
        known = self._known.get((ScopeKind.CUSTOMER, _ANYWHERE, customer_id))
        return known is not None and known[0] and known[1] > self._clock.now_us()

    async def told_apart(self, name: str, value: str, place: str) -> str | None:
        """Return the value of a dimension, or OVERFLOW if there is no room for it; None where calls
        with such values are refused.

        `place`: the organization that asks.
        """
        dimension = self._dimensions.get(name)
        if dimension is None or value == OVERFLOW:
            return value
        whose = _ANYWHERE if spans_organizations(name) else place
        known = self._known.get((name, whose, value))
        if known is None or known[1] <= self._clock.now_us():
            known = await self._ask(dimension, whose, value)
        if known[0]:
            return value
        telemetry.value_overflowed(name)
        return None if dimension.refuses_more else OVERFLOW

    async def _ask(self, dimension: Dimension, whose: str, value: str) -> tuple[bool, int]:
        now_us, name = self._clock.now_us(), dimension.name
        asked_again_us = min(ASKED_AGAIN_US, dimension.remember_us // _SHARES)
        # An hour's use may be told only after it: it is remembered for so much longer.
        kept_us = dimension.remember_us + asked_again_us
        try:
            room = await self._is_registered(name, value) or await self._book.remember(
                name, f"{whose}/{value}", dimension.most_values, kept_us
            )
        except StoreUnavailable as error:
            # Whoever holds something for the call decides what follows from that.
            telemetry.store_failed("values", error)
            return True, now_us
        found = (room, now_us + (asked_again_us if room else REFUSED_AGAIN_US))
        size = _ENTRY_BYTES + _CHARACTER_BYTES * len(value)
        self._known.put((name, whose, value), found, size)
        return found

    async def _is_registered(self, name: str, value: str) -> bool:
        if name == ScopeKind.CUSTOMER:
            return await self._directory.find_customer(value) is not None
        return name == ScopeKind.TAG and await self._directory.find_tag(value) is not None
