"""Encode entities as documents, and define their indexes and unique names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tollgate.adapters.valkey.keys import entities_index, owned_index
from tollgate.core.entities import (
    BUDGETED,
    NO_LIMITS,
    Budget,
    Customer,
    Entity,
    Key,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.models.added_model import AddedModel
from tollgate.ports import E


@dataclass(frozen=True, slots=True)
class EntityKind:
    """What the store needs to know about one kind of entity.

    `exists` and `taken` are LiteLLM's messages for an id or a name in use. `former_identity`: the
    id that an entity had before its present one, under which it is still found. `searched`: the
    names that one is found by a part of, beside its id; None: it is not found so.
    """

    name: str
    identity: Callable[[Any], str]
    exists: str
    unique_name: Callable[[Any], str | None] = lambda _: None
    taken: str = ""
    former_identity: Callable[[Any], str | None] = lambda _: None
    searched: Callable[[Any], str | None] = lambda _: None


ENTITY_KINDS: dict[type[Entity], EntityKind] = {
    Key: EntityKind(
        "key",
        lambda key: key.hash,
        "this key exists already",
        lambda key: key.alias,
        "Key with alias '{}' already exists. Unique key aliases across all keys are required.",
        lambda key: None if key.replaced_by else key.first_hash,
        # A secret that was replaced is no key of its own.
        lambda key: None if key.replaced_by is not None else key.alias or "",
    ),
    User: EntityKind(
        "user",
        lambda user: user.id,
        "User with id {} already exists",
        lambda user: user.email,
        "User with email {} already exists",
    ),
    Team: EntityKind(
        "team", lambda team: team.id, "Team id = {} already exists. Please use a different team id."
    ),
    Member: EntityKind("member", lambda member: member.id, "User already in team. Member: {}"),
    Customer: EntityKind(
        "customer",
        lambda customer: customer.id,
        "Customer already exists, passed user_id={}. Please pass a new user_id.",
    ),
    Budget: EntityKind("budget", lambda budget: budget.id, "Budget with id '{}' already exists."),
    Organization: EntityKind(
        "organization",
        lambda organization: organization.id,
        "Organization already exists, passed organization_id={}.",
    ),
    Tag: EntityKind("tag", lambda tag: tag.id, "Tag {} already exists"),
    OrganizationMember: EntityKind(
        "organization_member",
        lambda member: member.id,
        "User already in organization. Member: {}",
    ),
    AddedModel: EntityKind(
        "model", lambda model: model.id, "Model with id={} exists already; use /model/update"
    ),
}

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type[Entity], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in ENTITY_KINDS
}


def encode(entity: Entity) -> bytes:
    """Return the document of an entity."""
    return _ENCODER.encode(entity)


def decode(kind: type[E], document: bytes) -> E:
    """Return the entity of a document; fields from later versions are ignored."""
    if _FIRST_EDITION in document:
        document = _ENCODER.encode(_carried_over(msgspec.json.decode(document)))
    entity: E = _DECODERS[kind].decode(document)
    return entity


# Version 0.1 wrote three limits as fields of their own.
_FIRST_EDITION = b'"rpm":'
_FIRST_FIELDS = {"rpm": "rpm_limit", "tpm": "tpm_limit", "parallel": "max_parallel_requests"}


def _carried_over(value: Any) -> Any:
    """Return a document of version 0.1 with its limits as they are written now."""
    if isinstance(value, list):
        return [_carried_over(each) for each in value]
    if not isinstance(value, dict):
        return value
    if not _FIRST_FIELDS.keys() <= value.keys():
        return {name: _carried_over(each) for name, each in value.items()}
    limits = NO_LIMITS
    for name, field in _FIRST_FIELDS.items():
        limits = limits.with_amount(field, value.pop(name))
    return {"limits": limits.limits, **value}


def reference(entity: Entity) -> str:
    """Return `KIND:ID`, which is published when the entity changes."""
    kind = ENTITY_KINDS[type(entity)]
    return f"{kind.name}:{kind.identity(entity)}"


def searched_text(entity: Entity) -> str | None:
    """Return what an entity is found by a part of; None: it is not found so."""
    kind = ENTITY_KINDS[type(entity)]
    names = kind.searched(entity)
    return None if names is None else f"{names.lower()} {kind.identity(entity)}"


def listings(entity: Entity) -> list[str]:
    """Return the indexes that contain an entity."""
    kind = ENTITY_KINDS[type(entity)].name
    places = [entities_index(kind)]
    if isinstance(entity, Key | Member):
        if entity.user_id is not None:
            places.append(owned_index("user", entity.user_id, kind))
        if entity.team_id is not None:
            places.append(owned_index("team", entity.team_id, kind))
    if isinstance(entity, OrganizationMember):
        places.append(owned_index("user", entity.user_id, kind))
        places.append(owned_index("organization", entity.organization_id, kind))
    if isinstance(entity, BUDGETED) and entity.budget_id is not None:
        places.append(owned_index("budget", entity.budget_id, kind))
    return places
