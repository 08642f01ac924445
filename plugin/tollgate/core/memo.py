"""What was made of something, found again: for values that are the same objects from one request to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")


class Memo(Generic[T, V]):
    """Values by the identity of what they were made from, which is kept with them. At most `most`: the oldest go first."""

    def __init__(self, make: Callable[[T], V], most: int = 10_000) -> None:
        self._make = make
        self._most = most
        self._made: dict[int, tuple[T, V]] = {}

    def get(self, source: T) -> V:
        """What was made of this object, or is now."""
        found = self._made.get(id(source))
        if found is not None:
            return found[1]
        value = self._make(source)
        if len(self._made) >= self._most:
            del self._made[next(iter(self._made))]
        self._made[id(source)] = (source, value)
        return value
