"""Bounds on log lines: what happens often is counted, and told now and then."""

from __future__ import annotations

from time import monotonic


class SeldomLine:
    """A log line that is worth repeating only at intervals."""

    def __init__(self, every_s: float) -> None:
        self.times = 0
        self._every_s = every_s
        self._next_s = 0.0

    def due(self) -> bool:
        """Count an occurrence; return whether to log it."""
        self.times += 1
        now_s = monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True


class LinesASecond:
    """Allows some log lines a second, and counts the others."""

    def __init__(self, most_a_second: int) -> None:
        self._most = most_a_second
        self._second = 0
        self._shown = 0
        self.hidden = 0

    def show(self) -> bool:
        """Return whether this line is logged."""
        second = int(monotonic())
        if second != self._second:
            self._second, self._shown = second, 0
        if self._shown >= self._most:
            self.hidden += 1
            return False
        self._shown += 1
        return True
