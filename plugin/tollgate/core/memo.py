"""Cache derived values within a bound of bytes, since clients choose some of their sources."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
V = TypeVar("V")

MOST_BYTES = 16 * 1024 * 1024
"""Size of one cache: room for some five thousand callers with eight limits each."""


class Bounded(Generic[K, V]):
    """A cache bounded by bytes: entries beyond `most_bytes` evict the oldest ones.

    Sizes are those given to `put`. The newest entry stays, however large it is; putting a key again
    makes it the newest. `given_up` is called with each evicted value.

    `get` returns the value of a key, or None if it is not cached. It is the dictionary's own
    method, because each request looks up a dozen keys.
    """

    __slots__ = ("_bytes", "_entries", "_given_up", "_most_bytes", "_sizes", "get")

    def __init__(
        self, most_bytes: int = MOST_BYTES, given_up: Callable[[K, V], None] | None = None
    ) -> None:
        self._most_bytes = most_bytes
        self._given_up = given_up
        self._bytes = 0
        self._sizes: dict[K, int] = {}
        self._entries: dict[K, V] = {}
        self.get: Callable[[K], V | None] = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def touch(self, key: K) -> None:
        """Mark a cached entry as the newest."""
        self._entries[key] = self._entries.pop(key)

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Add a value and evict the oldest entries to make room."""
        self._entries.pop(key, None)
        self._bytes += size_bytes - self._sizes.get(key, 0)
        self._entries[key], self._sizes[key] = value, size_bytes
        while self._bytes > self._most_bytes and len(self._entries) > 1:
            oldest = next(iter(self._entries))
            given_up = self.drop(oldest)
            if self._given_up is not None and given_up is not None:
                self._given_up(oldest, given_up)

    def drop(self, key: K) -> V | None:
        """Remove a value and return it, or None if it was not cached."""
        self._bytes -= self._sizes.pop(key, 0)
        return self._entries.pop(key, None)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self._sizes.clear()
        self._bytes = 0


class Memo(Generic[T, V]):
    """A cache of values by the identity of their source object, which is kept alive with them.

    For sources that are the same object from one request to the next. `weigh` returns the
    approximate bytes of a source and its value.
    """

    __slots__ = ("_find", "_made", "_make", "_weigh")

    def __init__(
        self, make: Callable[[T], V], weigh: Callable[[T], int], most_bytes: int = MOST_BYTES
    ) -> None:
        self._make = make
        self._weigh = weigh
        self._made: Bounded[int, tuple[T, V]] = Bounded(most_bytes)
        self._find = self._made.get

    def get(self, source: T) -> V:
        """Return the value derived from this object, computing it if needed."""
        found = self._find(id(source))
        if found is not None:
            return found[1]
        value = self._make(source)
        self._made.put(id(source), (source, value), self._weigh(source))
        return value
