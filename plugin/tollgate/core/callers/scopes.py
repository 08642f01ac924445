"""Tell whose counters an entity's are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tollgate.core.entities import (
    Customer,
    Key,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.limits.accounts import Scope, ScopeKind

Limited = Key | User | Team | Member | Customer | Organization | OrganizationMember | Tag
"""Entities that calls are charged to."""

KINDS_OF: Mapping[type[Limited], ScopeKind] = MappingProxyType(
    {
        Key: ScopeKind.KEY,
        User: ScopeKind.USER,
        Team: ScopeKind.TEAM,
        Member: ScopeKind.MEMBER,
        Customer: ScopeKind.CUSTOMER,
        Organization: ScopeKind.ORGANIZATION,
        OrganizationMember: ScopeKind.ORGANIZATION_MEMBER,
        Tag: ScopeKind.TAG,
    }
)


def scope_of(entity: Limited) -> Scope:
    """Return the scope of an entity, as seen from the place of its own counters."""
    return Scope(KINDS_OF[type(entity)], entity.id)


def scope_from(entity: Limited, entity_place: str, place: str) -> Scope:
    """Return the scope of an entity, as seen from a caller's place."""
    home = None if entity_place == place else entity_place
    return Scope(KINDS_OF[type(entity)], entity.id, None, home)
