"""Define what a file declares, and the steps that make it so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tollgate.core.entities import Entity

EntityId = tuple[type[Any], str]
"""A kind of entity and an id in it; keys are named by their aliases."""


class PlannedAction(StrEnum):
    """What a step does. `adopt`: only remembers that the file declares the entity."""

    CREATE = "create"
    CHANGE = "change"
    ADOPT = "adopt"
    DELETE = "delete"
    NONE = "unchanged"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One entity of a file.

    `blank` is the entity with nothing but its id. `change` applies the declared fields to an entity
    at a time in microseconds, and clears the fields named last. `needs`: what must exist.
    `secret`: that of a key, if the file chooses it.
    """

    id: str
    blank: Any
    change: Callable[[Any, int, Sequence[str]], Any]
    fields: tuple[str, ...]
    needs: tuple[EntityId, ...] = ()
    secret: str | None = None

    @property
    def kind(self) -> type[Any]:
        """The kind of the entity."""
        return type(self.blank)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """What is to be done about one entity, which is `before` and will be `after`.

    `fault`: why it cannot be done. `note`: what else it does.
    """

    action: PlannedAction
    kind: type[Any]
    id: str
    before: Entity | None = None
    after: Entity | None = None
    declaration: Declaration | None = None
    cleared: tuple[str, ...] = ()
    rotates: bool = False
    fault: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class DoneStep:
    """A step that was taken: the secret of a key that it made, or why it failed."""

    step: PlannedStep
    secret: str | None = None
    failure: str | None = None
