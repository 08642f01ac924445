"""Look up entities for workers, cached only while every change is certain to be heard of.

`changes.follow` reports changes and proves, twice a second, that it still hears them. Without a
proof in the last second nothing cached is used, and each look-up reads the store. A blocked key
therefore stops everywhere within a second, however the connection fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any

from tollgate.adapters.valkey.entities.cache import Cache, Kept
from tollgate.adapters.valkey.entities.documents import ENTITY_KINDS
from tollgate.adapters.valkey.entities.resolve import resolve
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
from tollgate.core.errors import StoreUnavailable
from tollgate.ports import E, Registry, Stored

# No kind of entity has this name.
_ALIAS, _ID = "alias of key", "id of key"


class CachedDirectory:
    """The port `Directory` over a registry, with a bounded cache, also for ids
    that clients make up.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        stale_while_down: bool = False,
        most_found_bytes: int = 64 * 1024 * 1024,
        most_missing_bytes: int = 8 * 1024 * 1024,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._registry = registry
        # `on_store_error: allow`: callers known before the outage may continue with what was known
        # of them.
        self._stale_while_down = stale_while_down
        self._clock_s = clock_s
        self._fresh_until_s = 0.0
        self._cache: Cache[Any] = Cache(most_found_bytes, most_missing_bytes)
        # A change during a look-up must reach its result: one set per look-up, filled by `changed`.
        self._underway: list[set[str]] = []
        self._session = 0
        self._changes = 0

    @property
    def generation(self) -> int | None:
        """Return the number of changes heard; None while they may be missed."""
        if self._clock_s() >= self._fresh_until_s:
            return None
        return self._changes

    def find_key(self, key_hash: str) -> Coroutine[Any, Any, Key | None]:
        """Return the key whose secret has that SHA-256, with the limits of its budget."""
        return self._find_entity(Key, key_hash)

    async def find_key_of_alias(self, alias: str) -> Key | None:
        """Return the key with that alias, with the limits of its budget.

        Its hash is cached while the key does not change, a missing alias is not: no change would
        tell that somebody got it.
        """
        return await self._find_key_by(
            f"{_ALIAS}:{alias}", lambda: self._registry.find_named(Key, alias)
        )

    async def find_key_of_id(self, key_id: str) -> Key | None:
        """Return the key that counters know by that id, with the limits of its budget."""

        async def look_up() -> Stored[Key] | None:
            return (await self._registry.keys_of_ids([key_id]))[0]

        return await self._find_key_by(f"{_ID}:{key_id}", look_up)

    async def _find_key_by(
        self, reference: str, look_up: Callable[[], Awaitable[Stored[Key] | None]]
    ) -> Key | None:
        """Return a key by another name than its hash, which `look_up` finds in the store."""
        kept: Kept[str] | None = self._cache.get(reference)
        known = None if kept is None else kept.entity
        if known is not None and self.is_fresh:
            return await self.find_key(known)
        session, changed = self._session, set[str]()
        self._underway.append(changed)
        try:
            stored = await look_up()
        except StoreUnavailable:
            if self._stale_while_down and known is not None:
                return await self.find_key(known)
            raise
        finally:
            self._underway = [each for each in self._underway if each is not changed]
        if stored is None:
            return None
        key_hash = stored.entity.hash
        source = f"{ENTITY_KINDS[Key].name}:{key_hash}"
        if session == self._session and source not in changed:
            self._cache.keep(reference, Kept(key_hash, frozenset({source})))
        return await self.find_key(key_hash)

    async def find_user(self, user_id: str) -> User | None:
        """Return the internal user with that id."""
        return await self._find_entity(User, user_id)

    async def find_team(self, team_id: str) -> Team | None:
        """Return the team with that id."""
        return await self._find_entity(Team, team_id)

    async def find_member(self, team_id: str, user_id: str) -> Member | None:
        """Return the user as a member of the team, with the limits that the team
        gives its members.
        """
        return await self._find_entity(Member, f"{team_id}/{user_id}")

    async def find_customer(self, customer_id: str) -> Customer | None:
        """Return the customer with that id, with the limits of its budget."""
        return await self._find_entity(Customer, customer_id)

    async def find_budget(self, budget_id: str) -> Budget | None:
        """Return the budget with that id."""
        return await self._find_entity(Budget, budget_id)

    async def find_organization(self, organization_id: str) -> Organization | None:
        """Return the organization with that id, with the limits of its budget."""
        return await self._find_entity(Organization, organization_id)

    async def find_tag(self, tag_id: str) -> Tag | None:
        """Return the tag with that id, with the limits of its budget."""
        return await self._find_entity(Tag, tag_id)

    async def find_organization_member(
        self, organization_id: str, user_id: str
    ) -> OrganizationMember | None:
        """Return the user as a member of the organization."""
        return await self._find_entity(OrganizationMember, f"{organization_id}/{user_id}")

    # Called by `changes.follow`.

    def started(self) -> None:
        """Discard the cache: a new subscription only hears changes from now on."""
        self._session += 1
        self._changes += 1
        self._fresh_until_s = 0.0
        self._cache.clear()

    def changed(self, reference: str) -> None:
        """Drop a changed entity."""
        self._changes += 1
        self._cache.drop(reference)
        for references in self._underway:
            references.add(reference)

    def fresh_until(self, instant_s: float) -> None:
        """Extend the validity of the cache.

        Every change made up to a second before this instant, on this directory's clock, is known.
        """
        self._fresh_until_s = instant_s

    @property
    def is_fresh(self) -> bool:
        """Return whether cached entities may be used now."""
        return self._clock_s() < self._fresh_until_s

    async def _find_entity(self, kind: type[E], identity: str) -> E | None:
        reference = f"{ENTITY_KINDS[kind].name}:{identity}"
        if self.is_fresh and (kept := self._cache.get(reference)) is not None:
            entity: E | None = kept.entity
            return entity
        try:
            return await self._look_up(kind, identity, reference)
        except StoreUnavailable:
            if self._stale_while_down and (kept := self._cache.get(reference)) is not None:
                known: E | None = kept.entity
                return known
            raise

    async def _look_up(self, kind: type[E], identity: str, reference: str) -> E | None:
        session, changed = self._session, set[str]()
        self._underway.append(changed)
        try:
            resolved: Kept[Any] = await resolve(self._registry, kind, identity)
        finally:
            # By identity: two look-ups may have heard the same changes.
            self._underway = [each for each in self._underway if each is not changed]
        if session == self._session and changed.isdisjoint({reference, *resolved.sources}):
            self._cache.keep(reference, resolved)
        entity: E | None = resolved.entity
        return entity
