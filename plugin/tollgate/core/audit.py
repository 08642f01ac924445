"""The audit log's entries: what was changed of an entity, field by field, and who did it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from tollgate.core.entities import (
    Entity,
)
from tollgate.core.models.added_model import SECRET


class Action(StrEnum):
    """What was done. `spend`: what somebody has spent was corrected."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    SPEND = "spend"


class Change(Struct, frozen=True, omit_defaults=True):
    """One change of one entity.

    `name` is what people call it. `before` and `after` hold the fields that differ; of an entity
    that is made or deleted, those that are not as in a blank one. Neither holds a secret: a key is
    known by its hash, and a provider's credential is shown as a piece of its own.
    """

    action: Action
    kind: str
    id: str
    name: str = ""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}


class AuditEntry(Struct, frozen=True, omit_defaults=True):
    """A change, and who made it; `by` is empty for Tollgate itself."""

    change: Change
    by: str = ""


def changes_of(pairs: Iterable[tuple[Entity | None, Entity | None]]) -> list[Change]:
    """Return what is changed by entities as they were and as they will be.

    None: there is none. A key that gets a new secret is one key: it is removed and made under
    another hash, and keeps its id.
    """
    found: dict[tuple[str, str], tuple[Entity | None, Entity | None]] = {}
    for before, after in pairs:
        entity = after or before
        if entity is not None:
            place = kind_name(type(entity)), entity.id
            old, new = found.get(place, (None, None))
            found[place] = before or old, after or new
    return [
        _change(kind, identity, before, after)
        for (kind, identity), (before, after) in found.items()
    ]


def kind_name(kind: type[Entity]) -> str:
    """Return what the audit log calls a kind of entity, as `organization_member`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _change(kind: str, identity: str, before: Entity | None, after: Entity | None) -> Change:
    old, new = _told(before), _told(after)
    action = Action.CREATE if before is None else Action.DELETE if after is None else Action.CHANGE
    if action is Action.CHANGE:
        differing = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        old = {name: old.get(name) for name in sorted(differing)}
        new = {name: new.get(name) for name in sorted(differing)}
    entity: Any = after or before
    name = str(getattr(entity, "alias", None) or getattr(entity, "model_name", ""))
    return Change(action, kind, identity, name, old, new)


# When it was, the log itself says.
_MOMENTS = {"created_us", "updated_us"}


def _told(entity: Entity | None) -> dict[str, Any]:
    """Return the fields of an entity that are not as in a blank one."""
    if entity is None:
        return {}
    found = {}
    for each in fields(entity):
        value = getattr(entity, each.name)
        if each.metadata == SECRET and value != each.default:
            found[each.name] = f"sha256:{sha256(str(value).encode()).hexdigest()[:12]}"
        elif each.name not in _MOMENTS and (each.default is MISSING or value != each.default):
            found[each.name] = msgspec.json.decode(msgspec.json.encode(value))
    return found
