"""Find entities by a part of what they are called, without reading their documents.

A sorted set holds one text for each entity that can be searched: its names in lower case, then its
id. The registry keeps it with each write. The store itself looks for the part in all texts, some
thousands at a time, so nobody else waits for long.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.entities.documents import ENTITY_KINDS, searched_text
from tollgate.adapters.valkey.keys import entities_index, texts_index
from tollgate.core.entities import Entity

# So many texts take the store about a millisecond.
_TEXTS_AT_ONCE = 5_000
_ENTITIES_AT_ONCE = 500
# What patterns give a meaning to (https://valkey.io/commands/keys/).
_MEANT = re.compile(r"[\\*?\[]")
# Of no entity: its presence says that no older version left entities without a text.
_COMPLETE = ""

Read = Callable[[Sequence[str]], Awaitable[Sequence[Entity | None]]]


class SearchIndex:
    """The texts of one kind of entity."""

    def __init__(self, client: Valkey, kind: type[Entity]) -> None:
        self._client = client
        self._texts = texts_index(ENTITY_KINDS[kind].name)
        self._entities = entities_index(ENTITY_KINDS[kind].name)

    async def find(self, part: str) -> list[str]:
        """Return the ids of the entities whose text holds a part, the newest first."""
        literal = _MEANT.sub(r"\\\g<0>", part.lower())
        found: dict[bytes, float] = {}
        async for members in self._scan(self._texts, f"*{literal}*", _TEXTS_AT_ONCE):
            found.update(members)
        found.pop(_COMPLETE.encode(), None)
        newest = sorted(found, key=lambda text: (found[text], text), reverse=True)
        return [text.rpartition(b" ")[2].decode() for text in newest]

    async def complete(self, read: Read) -> None:
        """Add the entities that an older version wrote, unless that is done. `read` reads some."""
        with store_errors():
            if await self._client.zscore(self._texts, _COMPLETE) is not None:
                return
        async for members in self._scan(self._entities, "*", _ENTITIES_AT_ONCE):
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

    async def _scan(self, key: str, pattern: str, count: int) -> AsyncIterator[dict[bytes, float]]:
        cursor = 0
        while True:
            with store_errors():
                reply: Any = await self._client.zscan(key, cursor, match=pattern, count=count)
            cursor, members = reply
            yield dict(members)
            if cursor == 0:
                return
