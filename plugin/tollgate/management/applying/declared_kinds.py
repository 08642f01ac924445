"""Find, create, change and delete entities of any kind in one way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tollgate.core.entities import (
    Budget,
    Customer,
    Key,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.management.budgets import Budgets
from tollgate.management.collection import Collection
from tollgate.management.customers import Customers
from tollgate.management.members import Members, NewMember
from tollgate.management.organizations import (
    NewOrganizationMember,
    OrganizationMembers,
    Organizations,
)
from tollgate.management.tags import Tags
from tollgate.management.teams import Teams
from tollgate.management.users import Users
from tollgate.management.virtual_keys import Keys
from tollgate.ports import Registry

Change = Callable[[Any, int], Any]
"""A change of an entity at a time in microseconds."""


@dataclass(frozen=True, slots=True)
class Verbs:
    """What can be done with one kind of entity.

    `create` takes a blank entity, its change and a key's chosen secret. It returns a key's secret,
    as `change` does if it was given a new one.
    """

    find: Callable[[str], Awaitable[Any]]
    create: Callable[[Any, Change, str | None], Awaitable[str | None]]
    change: Callable[[Any, Change, str | None], Awaitable[str | None]]
    delete: Callable[[Any], Awaitable[Any]]
    all: Callable[[], AsyncIterator[Any]]


def verbs_by_kind(
    registry: Registry,
    keys: Keys,
    users: Users,
    teams: Teams,
    customers: Customers,
    budgets: Budgets,
    organizations: Organizations,
    tags: Tags,
) -> dict[type[Any], Verbs]:
    """Return the verbs of each kind that a file may declare, in order of creation."""
    return {
        Budget: _of_noun(budgets, lambda each: budgets.delete(each.id)),
        Organization: _of_noun(organizations, lambda each: organizations.delete([each.id])),
        User: _of_noun(users, lambda each: users.delete([each.id])),
        Team: _of_teams(teams),
        Member: _of_members(teams.members),
        OrganizationMember: _of_employees(organizations.members),
        Customer: _of_noun(customers, lambda each: customers.delete([each.id])),
        Tag: _of_noun(tags, lambda each: tags.delete(each.id)),
        Key: _of_keys(keys, Collection(registry, Key, "")),
    }


def _of_noun(noun: Any, delete: Callable[[Any], Awaitable[Any]]) -> Verbs:
    async def create(blank: Any, change: Change, _: str | None) -> None:
        await noun.create(blank, change)

    return _with_create(noun, create, delete)


def _with_create(
    noun: Any,
    create: Callable[[Any, Change, str | None], Awaitable[None]],
    delete: Callable[[Any], Awaitable[Any]],
) -> Verbs:
    async def change(entity: Any, changed: Change, _: str | None) -> None:
        await noun.update(entity.id, changed)

    async def find(identity: str) -> Any:
        stored = await noun.entities.find_stored(identity)
        return None if stored is None else stored.entity

    return Verbs(find, create, change, delete, lambda: _each(noun.entities))


def _of_teams(teams: Teams) -> Verbs:
    async def create(blank: Team, change: Change, _: str | None) -> None:
        await teams.create_with(blank, change, ())

    return _with_create(teams, create, lambda each: teams.delete([each.id]))


def _of_members(members: Members) -> Verbs:
    async def create(blank: Member, change: Change, _: str | None) -> None:
        new = NewMember(blank.role, blank.user_id)
        await members.add(blank.team_id, [new], change)

    return _with_create(
        members, create, lambda each: members.remove(each.team_id, each.user_id, None)
    )


def _of_employees(members: OrganizationMembers) -> Verbs:
    async def create(blank: OrganizationMember, change: Change, _: str | None) -> None:
        new = NewOrganizationMember(blank.role, blank.user_id)
        await members.add(blank.organization_id, [new], change)

    return _with_create(
        members, create, lambda each: members.remove(each.organization_id, each.user_id, None)
    )


def _of_keys(keys: Keys, collection: Collection[Key]) -> Verbs:
    async def create(_: Key, change: Change, secret: str | None) -> str:
        return (await keys.create(change, secret=secret)).secret

    async def change(key: Key, changed: Change, secret: str | None) -> str | None:
        if secret is None:
            await keys.update(key.hash, changed)
            return None
        return (await keys.regenerate(key.hash, changed, secret)).secret

    async def find(alias: str) -> Key | None:
        stored = await collection.find_named(alias)
        return None if stored is None else stored.entity

    return Verbs(
        find, create, change, lambda key: keys.delete([key.hash]), lambda: _each(collection)
    )


async def _each(collection: Collection[Any]) -> AsyncIterator[Any]:
    async for chunk in collection.chunks():
        for entity in chunk:
            yield entity
