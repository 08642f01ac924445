"""Cache resolved entities by reference (`KIND:ID`), within a bound, and drop them on changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from tollgate.core.memo import Bounded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """An entity (None if it does not exist), and the references of the others it
    was resolved from.
    """

    entity: T | None
    sources: frozenset[str] = frozenset()


def size_bytes(reference: str, kept: Kept[T]) -> int:
    """Return the approximate memory of an entity, whose texts may be of any length."""
    sources = sum([len(each) for each in kept.sources])
    return 1_000 + 4 * (len(reference) + sources) + 2 * len(repr(kept.entity))


class Cache(Generic[T]):
    """The most recently used entities.

    Missing entities are kept apart, so that made-up ids can only displace each other.
    """

    def __init__(self, most_found_bytes: int, most_missing_bytes: int) -> None:
        self._found: Bounded[str, Kept[T]] = Bounded(most_found_bytes, self._unlink)
        self._missing: Bounded[str, Kept[T]] = Bounded(most_missing_bytes, self._unlink)
        self._made_from: dict[str, set[str]] = {}

    def get(self, reference: str) -> Kept[T] | None:
        """Return what is cached under the reference, or None."""
        for entries in (self._found, self._missing):
            kept = entries.get(reference)
            if kept is not None:
                entries.touch(reference)
                return kept
        return None

    def keep(self, reference: str, kept: Kept[T]) -> None:
        """Add an entity and evict the least recently used ones to make room."""
        self._forget(reference)
        for source in kept.sources:
            self._made_from.setdefault(source, set()).add(reference)
        entries = self._missing if kept.entity is None else self._found
        entries.put(reference, kept, size_bytes(reference, kept))

    def drop(self, reference: str) -> None:
        """Drop the entity, and everything resolved from it."""
        self._forget(reference)
        for dependent in tuple(self._made_from.get(reference, ())):
            self._forget(dependent)

    def clear(self) -> None:
        """Drop everything."""
        self._found.clear()
        self._missing.clear()
        self._made_from.clear()

    def _forget(self, reference: str) -> None:
        kept = self._found.drop(reference) or self._missing.drop(reference)
        if kept is not None:
            self._unlink(reference, kept)

    def _unlink(self, reference: str, kept: Kept[T]) -> None:
        for source in kept.sources:
            dependents = self._made_from[source]
            dependents.discard(reference)
            if not dependents:
                del self._made_from[source]
