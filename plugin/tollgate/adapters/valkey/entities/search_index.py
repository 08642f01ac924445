"""Find entities by a part of what they are called, without reading their documents.

A sorted set holds one text for each entity that can be searched: its names in lower case, then its
id, by when it was made. The registry keeps it with each write. The store itself looks for the part
in the texts, some thousands at a time, so nobody else waits for long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.entities.documents import ENTITY_KINDS, searched_text
from tollgate.adapters.valkey.keys import entities_index, texts_index
from tollgate.core.entities import Entity

# So many texts take the store about two milliseconds.
_TEXTS_AT_ONCE = 5_000
# Texts that are looked at twice, since others may go between two looks and move them up.
_OVERLAP = 100
_ENTITIES_AT_ONCE = 500
# Of no entity: its presence says that no older version left entities without a text.
_COMPLETE = ""
# KEYS: the texts; ARGV: the first and last place from the newest on, and the part. Returns how many
# texts there were, then those that hold the part.
_FIND = """
local texts = redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[2])
local found = {#texts}
for _, text in ipairs(texts) do
  if string.find(text, ARGV[3], 1, true) then
    found[#found + 1] = text
  end
end
return found
"""

Read = Callable[[Sequence[str]], Awaitable[Sequence[Entity | None]]]


class SearchIndex:
    """The texts of one kind of entity."""

    def __init__(self, client: Valkey, kind: type[Entity]) -> None:
        self._client = client
        self._texts = texts_index(ENTITY_KINDS[kind].name)
        self._entities = entities_index(ENTITY_KINDS[kind].name)

    async def find(self, part: str, enough: int | None = None) -> list[str]:
        """Return the ids of the entities whose text holds a part, the newest first.

        `enough`: having found so many, look no further.
        """
        found: dict[bytes, None] = {}
        first = 0
        while enough is None or len(found) < enough:
            last = first + _TEXTS_AT_ONCE - 1
            with store_errors():
                reply: Any = await self._client.eval(  # type: ignore[misc]
                    _FIND, 1, self._texts, str(first), str(last), part.lower()
                )
            looked_at, *matching = reply
            found.update(dict.fromkeys(matching))
            if looked_at < _TEXTS_AT_ONCE:
                break
            first += _TEXTS_AT_ONCE - _OVERLAP
        found.pop(_COMPLETE.encode(), None)
        return [text.rpartition(b" ")[2].decode() for text in found]

    async def complete(self, read: Read) -> None:
        """Add the entities that an older version wrote, unless that is done. `read` reads some."""
        with store_errors():
            if await self._client.zscore(self._texts, _COMPLETE) is not None:
                return
        async for members in self._scan():
            entities = await read([name.decode() for name in members])
            texts = {
                text: each.created_us
                for each in entities
                if each is not None and (text := searched_text(each)) is not None
            }
            if texts:
                with store_errors():
                    await self._client.zadd(self._texts, texts)
        with store_errors():
            await self._client.zadd(self._texts, {_COMPLETE: 0})

    async def _scan(self) -> AsyncIterator[dict[bytes, float]]:
        cursor = 0
        while True:
            with store_errors():
                reply: Any = await self._client.zscan(
                    self._entities, cursor, count=_ENTITIES_AT_ONCE
                )
            cursor, members = reply
            yield dict(members)
            if cursor == 0:
                return
