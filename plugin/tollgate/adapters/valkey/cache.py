"""A bounded memory of resolved entities, by reference (`KIND:ID`), that can be told what has changed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """An entity, or None for one that does not exist, and the references of what else it was made from."""

    entity: T | None
    sources: frozenset[str] = frozenset()


class Cache(Generic[T]):
    """The most recently used entities. Those that do not exist are kept apart: whoever makes up ids displaces only such."""

    def __init__(self, most_found: int, most_missing: int) -> None:
        self._found: OrderedDict[str, Kept[T]] = OrderedDict()
        self._missing: OrderedDict[str, Kept[T]] = OrderedDict()
        self._most_found = most_found
        self._most_missing = most_missing
        self._made_from: dict[str, set[str]] = {}

    def get(self, reference: str) -> Kept[T] | None:
        """What is kept under the reference, if anything."""
        for entries in (self._found, self._missing):
            kept = entries.get(reference)
            if kept is not None:
                entries.move_to_end(reference)
                return kept
        return None

    def keep(self, reference: str, kept: Kept[T]) -> None:
        """Remember, and forget what was used longest ago when there is too much."""
        self._forget(reference)
        entries, most = (self._missing, self._most_missing) if kept.entity is None else (self._found, self._most_found)
        entries[reference] = kept
        for source in kept.sources:
            self._made_from.setdefault(source, set()).add(reference)
        if len(entries) > most:
            self._forget(next(iter(entries)))

    def drop(self, reference: str) -> None:
        """Forget the entity, and all that was made from it."""
        self._forget(reference)
        for dependent in tuple(self._made_from.get(reference, ())):
            self._forget(dependent)

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()
        self._missing.clear()
        self._made_from.clear()

    def _forget(self, reference: str) -> None:
        kept = self._found.pop(reference, None) or self._missing.pop(reference, None)
        if kept is None:
            return
        for source in kept.sources:
            dependents = self._made_from[source]
            dependents.discard(reference)
            if not dependents:
                del self._made_from[source]
