"""The port `Clock` by the store's clock, which every process that shares the store goes by.

A process's own clock may be set, or wrong by days; budgets' periods and the expiry of keys may not
depend on it. Between two answers of the store the time is carried on by the monotonic clock, which
nobody sets. An answer is told a little late, so the clock is behind by its way, and never ahead: at
the end of a period the scripts begin the next one by the store's clock itself.
"""

from __future__ import annotations

import time

_TRUSTED_US = 1_000_000


class StoreClock:
    """The store's time, as of its last answer. Until the first one it is the machine's."""

    def __init__(self) -> None:
        self.known = False
        self._ahead_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000 + self._ahead_us

    def learn(self, now_us: int) -> None:
        """Take what the store has just said."""
        self._ahead_us = now_us - time.monotonic_ns() // 1000
        self.known = True

    def was_wrong(self, now_us: int) -> bool:
        """Take the store's time, and tell whether what was read of this clock before should be
        forgotten.
        """
        far = abs(now_us - self.now_us()) > _TRUSTED_US
        self.learn(now_us)
        return far
