"""How often an address may try to sign in."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

FAILURES_A_MINUTE = 10
_MINUTE_S = 60.0
_MOST_ADDRESSES = 10_000


class Attempts:
    """Failed attempts to sign in of the last minute, by address, for as many as there is room.

    Only failures count, so nobody is kept out by how often they sign in.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Return the seconds until the address may try again; 0: now."""
        failures = self._recent(address)
        if len(failures) < FAILURES_A_MINUTE:
            return 0
        return math.ceil(failures[-FAILURES_A_MINUTE] + _MINUTE_S - self._now_s())

    def failed(self, address: str) -> None:
        """Count a failure."""
        self._failures[address] = [*self._recent(address), self._now_s()]
        self._failures.move_to_end(address)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since_s = self._now_s() - _MINUTE_S
        return [each for each in self._failures.get(address, ()) if each > since_s]
