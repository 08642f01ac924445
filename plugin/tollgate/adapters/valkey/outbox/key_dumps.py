"""All keys of Tollgate as the store serializes them, out and in again.

https://valkey.io/commands/dump/ and https://valkey.io/commands/restore/: a value goes into the same
or a later version of the store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from valkey.asyncio import Valkey
from valkey.exceptions import NoPermissionError, ResponseError

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import CHANGES_CHANNEL, LAYOUT_LOCK, PROBE, RECORDER
from tollgate.core.errors import SettingsError
from tollgate.reporting.backups import KeyDump

_EVERYTHING = "tollgate:*"
_AT_ONCE = 500
# They say who works at this moment.
_LEFT_OUT = frozenset({LAYOUT_LOCK.encode(), PROBE.encode(), RECORDER.encode()})


class ValkeyKeys:
    """The port `StoreKeys`. Errors are core.errors.StoreUnavailable."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def dumps(self) -> AsyncIterator[KeyDump]:
        """Return each key that exists for the whole time, and possibly others."""
        for name in [each async for each in self._names()]:
            with store_errors():
                left_ms: Any = await self._client.pttl(name)
                value: Any = await self._client.dump(name)
            if value is not None:
                yield KeyDump(name, max(0, left_ms), value)

    async def exist(self) -> bool:
        """Return whether there is any key of Tollgate."""
        async for _ in self._names():
            return True
        return False

    async def gateways(self) -> int:
        """Return how many processes subscribe to changes of entities, on any node."""
        with store_errors():
            # A cluster's client has no method for it; it asks all nodes and adds up.
            told: Any = await self._client.execute_command(  # type: ignore[no-untyped-call]
                "PUBSUB NUMSUB", CHANGES_CHANNEL
            )
        return sum(int(count) for _, count in told)

    async def remove_all(self) -> None:
        """Remove every key of Tollgate."""
        for name in [each async for each in self._names()]:
            with store_errors():
                await self._client.unlink(name)

    async def restore(self, dumps: Sequence[KeyDump]) -> None:
        """Write keys as they were dumped. Raises SettingsError when the store refuses one."""
        with store_errors():
            for each in dumps:
                try:
                    await self._client.restore(each.name, each.left_ms, each.value)
                except NoPermissionError as error:
                    raise SettingsError(
                        "the store's user may not restore: it needs +restore for that time"
                    ) from error
                except ResponseError as error:
                    raise SettingsError(
                        f"the store refuses {each.name.decode(errors='replace')}: {error};"
                        " a backup goes into the same or a later version of the store"
                    ) from error

    async def _names(self) -> AsyncIterator[bytes]:
        seen = set[bytes]()
        with store_errors():
            async for name in self._client.scan_iter(_EVERYTHING, count=_AT_ONCE):
                if name not in _LEFT_OUT and name not in seen:
                    seen.add(name)
                    yield name
