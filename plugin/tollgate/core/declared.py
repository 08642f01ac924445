"""Entities that a file declares: what `tollgate apply` remembers about its own work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file says of an entity.

    `file` is the name that the file gives itself, and `fields` are those that it sets: one that it
    names no longer is cleared. `made`: the entity did not exist before, so that it may be deleted
    when the file no longer contains it.
    """

    file: str
    fields: tuple[str, ...] = ()
    made: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarable:
    """An entity that a file may declare."""

    declared: Declared | None = None
