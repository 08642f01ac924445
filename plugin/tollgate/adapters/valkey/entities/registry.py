"""Store entities in Valkey.

A change is applied only if nobody changed the entity since it was read; each change is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.entities.documents import (
    ENTITY_KINDS,
    decode,
    encode,
    listings,
    reference,
    searched_text,
)
from tollgate.adapters.valkey.entities.search_index import SearchIndex
from tollgate.adapters.valkey.keys import (
    AUDIT,
    CHANGES_CHANNEL,
    ENTITIES_VERSION,
    entities_index,
    entity_key,
    former_id_key,
    name_key,
    owned_index,
    texts_index,
)
from tollgate.core.audit import AuditEntry, Change, changes_of
from tollgate.core.entities import BUDGETED, Budget, Entity, Key
from tollgate.core.errors import Conflict
from tollgate.ports import E, Owner, Page, Stored, Write, entity_of

_SCRIPT = (
    files("tollgate.adapters.valkey.entities").joinpath("registry.lua").read_text(encoding="utf-8")
)

KEPT_ENTRIES = 100_000
"""The audit log keeps at least so many of its newest entries."""


class _Instruction(NamedTuple):
    """One line for registry.lua, and the message if its condition fails."""

    key: str
    what: str
    a: str | int = ""
    b: str | bytes | int = ""
    c: str = ""
    misfit: str = ""


class ValkeyRegistry:
    """The port `Registry` on Valkey."""

    def __init__(self, client: Valkey, by: str = "") -> None:
        self._client = client
        self._by = by
        self._script = client.register_script(_SCRIPT)

    def acting_as(self, by: str) -> ValkeyRegistry:
        """The same registry, whose changes are somebody's."""
        return ValkeyRegistry(self._client, by)

    async def get(self, kind: type[E], identities: Sequence[str]) -> list[Stored[E] | None]:
        """Return the entities with those ids, in order, in one round trip."""
        name = ENTITY_KINDS[kind].name
        with store_errors():
            async with self._client.pipeline(transaction=False) as pipeline:
                for identity in identities:
                    pipeline.hmget(entity_key(name, identity), ["version", "document"])
                rows = await pipeline.execute()
        return [
            None if document is None else Stored(decode(kind, document), int(version))
            for version, document in rows
        ]

    async def find_named(self, kind: type[E], name: str) -> Stored[E] | None:
        """Return the entity with this unique name."""
        with store_errors():
            identity: Any = await self._client.get(name_key(ENTITY_KINDS[kind].name, name))
        if identity is None:
            return None
        (stored,) = await self.get(kind, [identity.decode()])
        return stored

    async def keys_of_ids(self, key_ids: Sequence[str]) -> list[Stored[Key] | None]:
        """Return the keys that counters and ledger know by those ids, in two round trips."""
        if not key_ids:
            return []
        kind = ENTITY_KINDS[Key].name
        with store_errors():
            present: Any = await self._client.mget([former_id_key(kind, each) for each in key_ids])
        return await self.get(
            Key,
            [
                key_id if key_hash is None else key_hash.decode()
                for key_id, key_hash in zip(key_ids, present, strict=True)
            ],
        )

    async def page(self, kind: type[E], owner: Owner | None, offset: int, count: int) -> Page[E]:
        """Return a part of a list, newest first."""
        name = ENTITY_KINDS[kind].name
        index = (
            entities_index(name)
            if owner is None
            else owned_index(ENTITY_KINDS[type(owner)].name, owner.id, name)
        )
        with store_errors():
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.zcard(index)
                pipeline.zrange(index, offset, offset + count - 1, desc=True)
                total, identities = await pipeline.execute()
        found = await self.get(kind, [identity.decode() for identity in identities])
        # Entities removed between the two reads are left out.
        return Page(tuple(stored.entity for stored in found if stored is not None), total)

    async def search(
        self, kind: type[E], part: str, offset: int, count: int, most: int | None = None
    ) -> Page[E]:
        """Return a part of the entities whose names or id hold a text, newest first."""
        enough = None if most is None else max(offset + count, most + 1)
        identities = await SearchIndex(self._client, kind).find(part, enough)
        found = await self.get(kind, identities[offset : offset + count])
        total = len(identities) if most is None else min(len(identities), most + 1)
        return Page(tuple(each.entity for each in found if each is not None), total)

    async def complete_search(self) -> None:
        """Make entities that an older version wrote be found by `search`."""

        async def read(identities: Sequence[str]) -> list[Key | None]:
            return [entity_of(each) for each in await self.get(Key, identities)]

        await SearchIndex(self._client, Key).complete(read)

    async def write(self, *writes: Write) -> None:
        """Apply all of these writes, or none."""
        instructions = [each for write in writes for each in _instructions(write)]
        pairs = [(entity_of(each.before), each.after) for each in writes]
        instructions += [self._note(change) for change in changes_of(pairs)]
        await self._run(instructions)

    async def note(self, change: Change) -> None:
        """Put a change into the audit log that is not one of an entity's document."""
        await self._run([self._note(change)])

    def _note(self, change: Change) -> _Instruction:
        entry = msgspec.json.encode(AuditEntry(change, self._by))
        return _Instruction(AUDIT, "note", KEPT_ENTRIES, entry)

    async def _run(self, instructions: Sequence[_Instruction]) -> None:
        keys = [ENTITIES_VERSION, *(each.key for each in instructions)]
        arguments: list[str | bytes | int] = [CHANGES_CHANNEL]
        for each in instructions:
            arguments += [each.what, each.a, each.b, each.c]
        with store_errors():
            misfit: int = await self._script(keys=keys, args=arguments)
        if misfit:
            raise Conflict(instructions[misfit - 1].misfit)


def _instructions(write: Write) -> Iterator[_Instruction]:
    """Yield a change line by line: the document, the unique name, the indexes."""
    before: Entity | None = None if write.before is None else write.before.entity
    entity: Any = write.after or before
    kind = ENTITY_KINDS[type(entity)]
    identity = kind.identity(entity)
    key, version = (
        entity_key(kind.name, identity),
        0 if write.before is None else write.before.version,
    )
    if write.after is None:
        yield _Instruction(
            key, "drop", version, c=reference(entity), misfit=f"{kind.name} {identity} has changed"
        )
    else:
        misfit = (
            kind.exists.format(identity)
            if before is None
            else f"{kind.name} {identity} has changed"
        )
        yield _Instruction(key, "put", version, encode(write.after), reference(entity), misfit)
    for key_of, name_of in (
        (name_key, kind.unique_name),
        (former_id_key, kind.former_identity),
    ):
        old_name = None if before is None else name_of(before)
        new_name = None if write.after is None else name_of(write.after)
        if old_name is not None and old_name != new_name:
            yield _Instruction(key_of(kind.name, old_name), "release", identity)
        if new_name is not None:
            misfit = kind.taken.format(new_name)
            yield _Instruction(key_of(kind.name, new_name), "claim", identity, misfit=misfit)
    old_lists = set() if before is None else set(listings(before))
    new_lists = set() if write.after is None else set(listings(write.after))
    yield from _budget_checks(write)
    for index in sorted(old_lists - new_lists):
        yield _Instruction(index, "unlist", identity)
    created_us = write.after.created_us if write.after else 0
    for index in sorted(new_lists - old_lists):
        yield _Instruction(index, "list", identity, created_us)
    old_text = None if before is None else searched_text(before)
    new_text = None if write.after is None else searched_text(write.after)
    if old_text != new_text:
        if old_text is not None:
            yield _Instruction(texts_index(kind.name), "unlist", old_text)
        if new_text is not None:
            yield _Instruction(texts_index(kind.name), "list", new_text, created_us)


def _budget_checks(write: Write) -> Iterator[_Instruction]:
    """Yield checks that a used budget stays, and that an assigned one exists.

    Without them somebody would silently lose their limits.
    """
    before: Entity | None = None if write.before is None else write.before.entity
    if isinstance(before, Budget) and write.after is None:
        for kind in BUDGETED:
            index = owned_index("budget", before.id, ENTITY_KINDS[kind].name)
            yield _Instruction(index, "unused", misfit=f"budget {before.id} is in use")
    after = write.after
    if (
        isinstance(after, BUDGETED)
        and after.budget_id is not None
        and after.budget_id != _budget_of(before)
    ):
        key = entity_key(ENTITY_KINDS[Budget].name, after.budget_id)
        yield _Instruction(
            key,
            "exists",
            misfit=f"budget_id={after.budget_id} does not exist; make it with /budget/new",
        )


def _budget_of(entity: Entity | None) -> str | None:
    if not isinstance(entity, BUDGETED):
        return None
    return entity.budget_id
