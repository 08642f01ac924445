"""How often something may happen in a minute, by who causes it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

_MINUTE_S = 60.0
_MOST_KNOWN = 10_000


class EventsAMinute:
    """Counts events of the last minute by who caused them, for as many as there is room.

    `most`: events of one of them in a minute.
    """

    def __init__(self, most: int, now_s: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._now_s = now_s
        self._events: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, who: str) -> int:
        """Return the seconds until they may cause another; 0: now."""
        events = self._recent(who)
        if len(events) < self._most:
            return 0
        return math.ceil(events[-self._most] + _MINUTE_S - self._now_s())

    def count(self, who: str) -> None:
        """Count an event."""
        self._events[who] = [*self._recent(who), self._now_s()]
        self._events.move_to_end(who)
        if len(self._events) > _MOST_KNOWN:
            self._events.popitem(last=False)

    def _recent(self, who: str) -> list[float]:
        since_s = self._now_s() - _MINUTE_S
        return [each for each in self._events.get(who, ()) if each > since_s]
