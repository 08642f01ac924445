"""Manage virtual keys: create, change, block, regenerate, delete, and report their spend."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from tollgate.core.callers.authentication import hash_of
from tollgate.core.entities import Key, Team, User
from tollgate.core.errors import BadRequest, Conflict, NotFound
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION
from tollgate.core.limits.duration import instant_after, parse_duration
from tollgate.core.money.dollars import dollars_of
from tollgate.management.collection import Collection
from tollgate.management.lookups import home_in, imply_teams
from tollgate.management.organizations import moved
from tollgate.management.spending.creation import NewKeys
from tollgate.management.spending.limits import new_entity, restarted
from tollgate.management.spending.ranking import Ranking, ranked
from tollgate.management.spending.spending import Live, Spending
from tollgate.ports import Clock, Page, Registry, Stored, Write, entity_of

Change = Callable[[Key, int], Key]
"""A change to a key: a function of the current key and the time in microseconds."""

SECRET_PREFIX = "sk-"
_ALL = 2**31
_SHORTEST_SECRET = 16  # LiteLLM's rule for keys that a caller chooses


@dataclass(frozen=True, slots=True)
class Made:
    """A key with its secret, which is returned once and never stored."""

    secret: str
    live: Live[Key]


@dataclass(frozen=True, slots=True)
class KeyQuery:
    """Which keys to list."""

    user_id: str | None = None
    team_id: str | None = None
    organization: str | None = None
    alias: str | None = None
    hash: str | None = None
    search: str | None = None


class Keys:
    """The use cases on keys. A key is named by its secret or its hash."""

    def __init__(
        self, registry: Registry, spending: Spending, clock: Clock, rules: NewKeys
    ) -> None:
        self._rules = rules
        self._registry = registry
        self.spending = spending
        self._clock = clock
        self._keys = Collection(registry, Key, "Key not found.")

    async def create(
        self,
        change: Change,
        *,
        secret: str | None = None,
        spend_nanousd: int = 0,
        anonymous: bool = False,
    ) -> Made:
        """Create a key.

        `anonymous`: the key belongs to nobody in particular, so it gets a user id of its own, as in
        LiteLLM's documentation of budgets.
        """
        secret = new_secret() if secret is None else checked_secret(secret)
        now_us = self._clock.now_us()
        key = self._rules.made(change(blank(secret, now_us), now_us), now_us)
        if anonymous and key.user_id is None and key.team_id is None:
            key = replace(key, user_id=str(uuid4()))
        key = await self._in_organization(key)
        try:
            await self._registry.write(Write(None, key))
        except Conflict as conflict:
            raise BadRequest(str(conflict), "key_alias") from conflict
        await imply_teams(self._registry, [key.team_id], key.organization, now_us)
        if spend_nanousd:
            await self.spending.correct(Live(key), spend_nanousd, key.place)
        return Made(secret, await self._live(key))

    async def live_by_name(self, name: str) -> Live[Key]:
        """Return the key with that secret or hash. Raises NotFound."""
        return await self._live((await self._stored(name)).entity)

    async def live_by_alias(self, alias: str) -> Live[Key]:
        """Return the key with that alias. Raises NotFound."""
        stored = await self._keys.find_named(alias)
        if stored is None:
            raise NotFound(f"Key not found. No key with key_alias='{alias}'.")
        return await self._live(stored.entity)

    async def former(self, key: Key) -> Key | None:
        """Return the secret that a key's own replaced, while it works."""
        stored = await self._former(key)
        if stored is None or (stored.entity.expires_us or 0) <= self._clock.now_us():
            return None
        return stored.entity

    async def names(self, key_ids: Sequence[str]) -> dict[str, str]:
        """Return how the keys of some ids are called, of those that exist: by alias or last
        letters.
        """
        found = await self._registry.keys_of_ids(list(dict.fromkeys(key_ids)))
        keys = [stored.entity for stored in found if stored is not None]
        return {key.id: key.alias or key.name for key in keys}

    async def update(
        self, name: str, change: Change, spend_nanousd: int | None = None
    ) -> Live[Key]:
        """Change a key. Raises NotFound or BadRequest."""
        now_us = self._clock.now_us()

        def changed(key: Key) -> Key:
            after = replace(change(key, now_us), updated_us=now_us)
            self._rules.check(key, after)
            return replace(after, limits=restarted(key.limits, after.limits, now_us))

        try:
            key = await self._keys.change(
                (await self._stored(name)).entity.hash,
                changed,
                self.spending.periods.carry,
                self._settled,
                lambda after: self._former_writes(after, now_us),
            )
        except Conflict as conflict:
            raise BadRequest(str(conflict), "key_alias") from conflict
        await imply_teams(self._registry, [key.team_id], key.organization, now_us)
        if spend_nanousd is not None:
            await self.spending.correct(Live(key), spend_nanousd, key.place)
        return await self._live(key)

    async def delete(self, names: Sequence[str], aliases: Sequence[str] = ()) -> list[str]:
        """Delete keys, all or none; return their hashes.

        Their spend stays in the ledger only.
        """
        found = [
            await self._stored(name) for name in dict.fromkeys(as_hash(each) for each in names)
        ]
        for alias in aliases:
            stored = await self._keys.find_named(alias)
            if stored is None:
                raise NotFound(f"Key not found. No key with key_alias='{alias}'.")
            found.append(stored)
        unique = {each.entity.hash: each for each in found}
        if not unique:
            raise NotFound("No keys found")
        former = [each for key in unique.values() if (each := await self._former(key.entity))]
        await self._registry.write(*(Write(each, None) for each in (*unique.values(), *former)))
        await self.spending.forget([each.entity for each in unique.values()])
        return list(unique)

    async def regenerate(
        self, name: str, change: Change, secret: str | None = None, grace: str | None = None
    ) -> Made:
        """Give a key a new secret. Spend, limits and alias stay.

        The old secret stops working; with `grace`, a duration, only when that is over. An even
        older one stops at once.
        """
        secret = new_secret() if secret is None else checked_secret(secret)
        before = await self._stored(name)
        now_us = self._clock.now_us()
        after = replace(
            await self._settled(before.entity, change(before.entity, now_us)),
            hash=hash_of(secret),
            name=shown_name(secret),
            first_hash=before.entity.id,
            former_hash=None if grace is None else before.entity.hash,
            updated_us=now_us,
        )
        retired = None
        if grace is not None:
            until_us = instant_after(parse_duration(grace), now_us)
            retired = former_of(after, before.entity, until_us)
        oldest = await self._former(before.entity)
        self._rules.check(before.entity, after)
        writes = [Write(before, retired), Write(None, after)]
        await self._registry.write(*writes, *([] if oldest is None else [Write(oldest, None)]))
        await imply_teams(self._registry, [after.team_id], after.organization, now_us)
        return Made(secret, await self._live(after))

    async def reset_spend(self, name: str, to_nanousd: int) -> tuple[Live[Key], int]:
        """Lower a key's spend in the current period; return the key and the former spend."""
        live = await self.live_by_name(name)
        spent, limit = live.spend.used_nanousd, live.entity.limits.max_budget_nanousd
        if to_nanousd > spent:
            raise BadRequest(
                f"reset_to ({dollars_of(to_nanousd)}) must be <= current spend"
                f" ({dollars_of(spent)})",
                "reset_to",
            )
        if limit is not None and to_nanousd > limit:
            raise BadRequest(
                f"reset_to ({dollars_of(to_nanousd)}) must be <= max_budget ({dollars_of(limit)})",
                "reset_to",
            )
        await self.spending.correct(live, to_nanousd, live.entity.place)
        return await self._live(live.entity), spent

    async def page(
        self, query: KeyQuery, offset: int, count: int, most: int | None = None
    ) -> Page[Key]:
        """Return a part of the list, newest first; a search's total is exact up to `most`."""
        if query.search is not None and query == KeyQuery(search=query.search):
            return await self._registry.search(Key, query.search, offset, count, most)
        owner = _owner(query)
        only_owner = query == KeyQuery(user_id=query.user_id) or query == KeyQuery(
            team_id=query.team_id
        )
        if only_owner:
            return await self._keys.page(owner, None, offset, count)
        kept = [key for key in await self._candidates(query, owner) if _fits(key, query)]
        return Page(tuple(kept[offset : offset + count]), len(kept))

    async def _candidates(self, query: KeyQuery, owner: User | Team | None) -> Sequence[Key]:
        """Return keys among which are all that fit, newest first: as few as the store can tell."""
        if query.alias is not None or query.hash is not None:
            stored = await (
                self._keys.find_named(query.alias)
                if query.alias is not None
                else self._keys.find_stored(query.hash or "")
            )
            return [] if stored is None else [stored.entity]
        if query.search is not None and owner is None:
            return (await self._registry.search(Key, query.search, 0, _ALL)).entities
        return await self._keys.all(owner)

    async def by_spend(self, offset: int, count: int) -> Ranking[Key]:
        """Return a part of all keys, ordered by spend."""
        return await ranked(self._current(), self.live, offset, count)

    async def live(self, keys: Sequence[Key]) -> list[Live[Key]]:
        """Return keys with their spend."""
        return await self.spending.live(keys)

    async def _current(self) -> AsyncIterator[Sequence[Key]]:
        """Yield all keys in parts, without secrets that were replaced."""
        async for chunk in self._keys.chunks():
            yield [each for each in chunk if each.replaced_by is None]

    async def _stored(self, name: str) -> Stored[Key]:
        """Return the key of a secret, a hash or an id, also of what was replaced: the first hash
        stays a key's id, by which records name it. Raises NotFound.
        """
        found = await self._keys.find_stored(as_hash(name))
        if found is None and as_hash(name) == name:
            (found,) = await self._registry.keys_of_ids([name])
        if found is None:
            found = await self._keys.get(as_hash(name))
        if found.entity.replaced_by is None:
            return found
        return await self._keys.get(found.entity.replaced_by)

    async def _former(self, key: Key) -> Stored[Key] | None:
        """Return the secret that a key's own replaced, if it is still kept."""
        if key.former_hash is None:
            return None
        return await self._keys.find_stored(key.former_hash)

    async def _former_writes(self, key: Key, now_us: int) -> list[Write]:
        """Return the write that changes a replaced secret as its key was, or drops an expired
        one.
        """
        stored = await self._former(key)
        if stored is None:
            return []
        until_us = stored.entity.expires_us or 0
        if until_us <= now_us:
            return [Write(stored, None)]
        return [Write(stored, former_of(key, stored.entity, until_us))]

    async def _live(self, key: Key) -> Live[Key]:
        (live,) = await self.spending.live([key])
        return live

    async def _in_organization(self, key: Key) -> Key:
        """Return a new key in its organization: its own, else its team's, else its user's.

        Raises BadRequest if its team is in another one.
        """
        if (team := await self._team(key)) is not None:
            return replace(
                key, organization=_organization_in(team, key.organization), home=team.home
            )
        if key.user_id is not None and key.organization == DEFAULT_ORGANIZATION:
            user = entity_of((await self._registry.get(User, [key.user_id]))[0])
            key = key if user is None else replace(key, organization=user.organization)
        home = await home_in(self._registry, key.organization, key.team_id or key.id)
        return key if home is None else replace(key, home=home)

    async def _settled(self, before: Key, after: Key) -> Key:
        """Return a changed key in the organization of its team, its counters where they were.

        Raises BadRequest if it was given another organization than its team's.
        """
        if before.organization == after.organization and before.team_id == after.team_id:
            return after
        if (team := await self._team(after)) is not None:
            given = after.organization
            if given == before.organization:
                given = DEFAULT_ORGANIZATION
            after = replace(after, organization=_organization_in(team, given))
        return moved(before, after)

    async def _team(self, key: Key) -> Team | None:
        if key.team_id is None:
            return None
        return entity_of((await self._registry.get(Team, [key.team_id]))[0])


def _organization_in(team: Team, given: str) -> str:
    """Return the organization of a team's key. Raises BadRequest if it was given another."""
    if given not in (DEFAULT_ORGANIZATION, team.organization):
        raise BadRequest(
            f"the key's team {team.id} is in another organization; leave out organization_id",
            "organization_id",
        )
    return team.organization


def blank(secret: str, now_us: int) -> Key:
    """Return a new key with that secret and no limits."""
    return new_entity(Key(hash_of(secret), shown_name(secret)), now_us)


def former_of(key: Key, before: Key, until_us: int) -> Key:
    """Return a replaced secret as an entity: its key's limits and owners, until a moment."""
    ends = [each for each in (until_us, key.expires_us) if each is not None]
    return replace(
        key,
        hash=before.hash,
        name=before.name,
        alias=None,
        expires_us=min(ends),
        former_hash=None,
        replaced_by=key.hash,
    )


def new_secret() -> str:
    """Return a secret of 128 random bits."""
    return SECRET_PREFIX + secrets.token_urlsafe(16)


def checked_secret(secret: str) -> str:
    """Return a secret that a caller chose. Raises BadRequest if it is invalid."""
    if not secret.startswith(SECRET_PREFIX) or len(secret) < _SHORTEST_SECRET:
        raise BadRequest(
            f"a key of your own must begin with '{SECRET_PREFIX}' and have at least 16 characters",
            "key",
        )
    return secret


def shown_name(secret: str) -> str:
    """Return a key's name as shown to people: its last four characters."""
    return f"{SECRET_PREFIX}...{secret[-4:]}"


def as_hash(name: str) -> str:
    """Return the hash of a key that is named by its secret or its hash."""
    if name.startswith(SECRET_PREFIX):
        return hash_of(name)
    return name


def _owner(query: KeyQuery) -> User | Team | None:
    if query.user_id is not None:
        return User(query.user_id)
    return None if query.team_id is None else Team(query.team_id)


def _fits(key: Key, query: KeyQuery) -> bool:
    if key.replaced_by is not None:
        return False
    wanted = (
        (query.user_id, key.user_id),
        (query.team_id, key.team_id),
        (query.organization, key.organization),
        (query.alias, key.alias),
        (query.hash, key.hash),
    )
    if any(want is not None and want != has for want, has in wanted):
        return False
    return query.search is None or query.search.lower() in f"{key.alias or ''} {key.hash}".lower()
