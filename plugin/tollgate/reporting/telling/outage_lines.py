"""Log the outage of a receiver in a few lines, however long it lasts."""

from __future__ import annotations

import logging
from collections import Counter
from time import monotonic

_log = logging.getLogger("tollgate")


class OutageLines:
    """One line when deliveries begin to fail, one when something is lost, one at the end.

    The last line has the totals. `receiver`: what the lines call it.
    """

    def __init__(self, receiver: str) -> None:
        self._receiver = receiver
        self._began_s: float | None = None
        self._tries = 0
        self._totals: Counter[str] = Counter()

    def failed(self, error: Exception) -> None:
        """Record a failed delivery, which is made again."""
        if not self._tries:
            _log.warning("delivery to %s fails and is tried again: %s", self._receiver, error)
        self._tries += 1
        self._begin()

    def noted(self, number: int, what: str) -> None:
        """Record what an outage does to some records, such as `events are lost`."""
        if not self._totals[what]:
            _log.error("delivery to %s: %d %s", self._receiver, number, what)
        self._totals[what] += number
        self._begin()

    def worked(self) -> None:
        """Record a delivery that worked, or that nothing waits for one: an outage is over."""
        if self._began_s is None:
            return
        totals = [f"{self._tries} tries failed"] if self._tries else []
        totals += [f"{number} {what}" for what, number in self._totals.items()]
        _log.warning(
            "delivery to %s works again after %.0f s: %s",
            self._receiver,
            monotonic() - self._began_s,
            "; ".join(totals),
        )
        self._began_s, self._tries = None, 0
        self._totals.clear()

    def _begin(self) -> None:
        if self._began_s is None:
            self._began_s = monotonic()
