"""What was made before, found again, within a bound of bytes: some of what it is made of clients
choose.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
V = TypeVar("V")

MOST_BYTES = 16 * 1024 * 1024
"""Of one cache: some five thousand callers of eight limits each."""


class Bounded(Generic[K, V]):
    """Values by key, at most `most_bytes` of them by the sizes that they are put in with: the
    oldest go first.

    The last one stays however large it is. What is put in again is as new. `given_up` is told of
    each that goes.
    `entries`: each value with its size, for those who look up often; only this class changes them.
    """

    __slots__ = ("_bytes", "_given_up", "_most_bytes", "entries")

    def __init__(
        self, most_bytes: int = MOST_BYTES, given_up: Callable[[K, V], None] | None = None
    ) -> None:
        self._most_bytes = most_bytes
        self._given_up = given_up
        self._bytes = 0
        self.entries: dict[K, tuple[V, int]] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, key: K) -> V | None:
        """The value, if it is kept."""
        found = self.entries.get(key)
        return None if found is None else found[0]

    def touch(self, key: K) -> None:
        """Let a value that is kept be as new."""
        self.entries[key] = self.entries.pop(key)

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Keep a value, and give the oldest up for it."""
        self.drop(key)
        self.entries[key] = (value, size_bytes)
        self._bytes += size_bytes
        while self._bytes > self._most_bytes and len(self.entries) > 1:
            oldest = next(iter(self.entries))
            given_up = self.drop(oldest)
            if self._given_up is not None and given_up is not None:
                self._given_up(oldest, given_up)

    def drop(self, key: K) -> V | None:
        """Forget a value, and return it if it was kept."""
        found = self.entries.pop(key, None)
        if found is None:
            return None
        self._bytes -= found[1]
        return found[0]

    def clear(self) -> None:
        """Forget all of them."""
        self.entries.clear()
        self._bytes = 0


class Memo(Generic[T, V]):
    """Values by the identity of what they were made from, which is kept with them: for what is the
    same object from one request to the next.

    `weigh`: about how many bytes the source and its value take.
    """

    __slots__ = ("_entries", "_made", "_make", "_weigh")

    def __init__(
        self, make: Callable[[T], V], weigh: Callable[[T], int], most_bytes: int = MOST_BYTES
    ) -> None:
        self._make = make
        self._weigh = weigh
        self._made: Bounded[int, tuple[T, V]] = Bounded(most_bytes)
        self._entries = self._made.entries

    def get(self, source: T) -> V:
        """What was made of this object, or is now."""
        found = self._entries.get(id(source))
        if found is not None:
            return found[0][1]
        value = self._make(source)
        self._made.put(id(source), (source, value), self._weigh(source))
        return value
