"""Track store outages: log them sparingly, and find out when they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NoReturn

from tollgate.core.errors import StoreUnavailable

PROBE_EVERY_S = 1.0
QUIET_S = 1.0
"""An outage ends once the store accepts a write and nothing has failed for this long."""
SAID_EVERY_S = 10.0

_log = logging.getLogger("tollgate")


class Outage:
    """The store's failures as one process sees them.

    Logs one line when an outage begins, one every ten seconds, and one when it ends.
    """

    def __init__(self) -> None:
        self.word = ""
        self._failures = self._unmetered = 0
        self._began_s = self._last_s = self._said_s = 0.0
        self._begun = asyncio.Event()

    def failed(self, error: Exception) -> None:
        """Record a failure."""
        self._last_s = monotonic()
        self._failures += 1
        self.word = str(error)
        if self._begun.is_set():
            return
        self._began_s = self._said_s = self._last_s
        self._begun.set()
        _log.error("the store fails: %s", self.word)

    def unmetered(self) -> None:
        """Record a request that passed unmetered."""
        self._unmetered += 1

    async def watch(self, probe: Callable[[], Awaitable[object]]) -> NoReturn:
        """Probe a failing store until it serves again, forever; a healthy store is not probed.

        `probe` writes something or raises StoreUnavailable.
        """
        while True:
            await self._begun.wait()
            while not await self._over(probe):
                self._say_how_often()
            _log.warning(
                "the store serves again after %.0f s, %s",
                monotonic() - self._began_s,
                self._counted(),
            )
            self._begun.clear()
            self.word, self._failures, self._unmetered = "", 0, 0

    async def _over(self, probe: Callable[[], Awaitable[object]]) -> bool:
        await asyncio.sleep(PROBE_EVERY_S)
        try:
            await probe()
        except StoreUnavailable as error:
            self.word = str(error)
            return False
        return monotonic() - self._last_s >= QUIET_S

    def _say_how_often(self) -> None:
        now_s = monotonic()
        if now_s - self._said_s >= SAID_EVERY_S:
            self._said_s = now_s
            _log.error("the store still fails, %s: %s", self._counted(), self.word)

    def _counted(self) -> str:
        passed = f", {self._unmetered} requests passed unmetered" if self._unmetered else ""
        return f"{self._failures} operations failed{passed}"
