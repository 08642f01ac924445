"""Provide the port `Clock` from the store's clock, which all processes that share it follow.

A process's own clock may be changed, or wrong by days; budget periods and expiry of keys must not
depend on it. Between two answers of the store, the monotonic clock continues its time. An answer
arrives slightly late, so the clock lags by the time of its way and is never ahead; at the end of a
period, the scripts begin the next one by the store's clock itself.
"""

from __future__ import annotations

import time

_TRUSTED_US = 1_000_000


class StoreClock:
    """The store's time as of its last answer; before the first one, the machine's."""

    def __init__(self) -> None:
        self.known = False
        self._ahead_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000 + self._ahead_us

    def learn(self, now_us: int) -> None:
        """Take the time that the store has just reported."""
        self._ahead_us = now_us - time.monotonic_ns() // 1000
        self.known = True

    def was_wrong(self, now_us: int) -> bool:
        """Take the store's time; return whether earlier readings of this clock
        should be discarded.
        """
        far = abs(now_us - self.now_us()) > _TRUSTED_US
        self.learn(now_us)
        return far
