"""Find the primary that sentinels watch, and follow it when it moves.

The protocol is that of https://valkey.io/topics/sentinel-clients/: ask one sentinel after the
other, connect to what it names, and ask again after a lost connection or a refused write.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Final

from tollgate.adapters.valkey.connection.address import StoreAddress
from tollgate.adapters.valkey.connection.pipe import ReplyError
from tollgate.adapters.valkey.connection.server_pipe import ServerPipe
from tollgate.core.errors import StoreUnavailable

# Sentinels publish a new primary on `+switch-master`. Asking needs no connection that must prove
# itself alive, and is late by less than a failover takes.
_LOOK_EVERY_S: Final = 1.0
_ASK: Final = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME")


class UnknownPrimary(StoreUnavailable):
    """The sentinels answer, and know no primary of that name."""


class Sentinels:
    """The sentinels of a URL; the one that answered last is asked first."""

    def __init__(self, address: StoreAddress, timeout_s: float) -> None:
        """Prepare to ask the sentinels of an address, which share `timeout_s`."""
        self._address = address
        self._sentinels = list(address.sentinels)
        self._timeout_s = (address.connect_timeout_s or timeout_s) / len(self._sentinels)
        self._found: StoreAddress | None = None
        self._asked_s = -_LOOK_EVERY_S

    async def moved_from(self, host: str, port: int) -> bool:
        """Return whether the primary is elsewhere, as known within the last second.

        False while no sentinel answers.
        """
        if monotonic() - self._asked_s >= _LOOK_EVERY_S:
            self._asked_s = monotonic()
            with suppress(StoreUnavailable):
                await self.locate()
        return self._found is not None and self._found.seeds != ((host, port),)

    async def locate(self) -> StoreAddress:
        """Return the primary. Raises StoreUnavailable, or UnknownPrimary if none is known."""
        failures: list[StoreUnavailable] = []
        for sentinel in tuple(self._sentinels):
            try:
                found = await self._ask(sentinel)
            except StoreUnavailable as error:
                failures.append(error)
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)
            self._asked_s, self._found = monotonic(), found
            return found
        unknown = [each for each in failures if isinstance(each, UnknownPrimary)]
        raise unknown[0] if unknown else failures[-1]

    async def _ask(self, sentinel: StoreAddress) -> StoreAddress:
        pipe = ServerPipe.to(sentinel, self._timeout_s)
        name = self._address.primary
        try:
            found = await pipe.call(*_ASK, name)
        except (ReplyError, StoreUnavailable) as error:
            raise StoreUnavailable(f"the sentinel at {sentinel}: {error}") from error
        finally:
            await pipe.aclose()
        if found is None:
            raise UnknownPrimary(f"the sentinel at {sentinel} watches no primary {name!r}")
        host, port = found
        return self._address.at(host.decode(), int(port))


class PrimaryPipe(ServerPipe):
    """The port `Pipe` over one connection to the primary that sentinels name."""

    def __init__(self, address: StoreAddress, timeout_s: float) -> None:
        """Prepare a pipe that asks the sentinels of an address."""
        self._sentinels = Sentinels(address, timeout_s)
        self._at: StoreAddress | None = None
        self._looking: asyncio.Task[None] | None = None
        super().__init__(self._find, address.timeout_s or timeout_s, address.connect_timeout_s)

    async def aclose(self) -> None:
        """Close the connection and look for no other primary."""
        if self._looking is not None:
            self._looking.cancel()
        await super().aclose()

    async def _find(self) -> StoreAddress:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        self._at = await self._sentinels.locate()
        return self._at

    async def _look(self) -> None:
        """Give the connection up when the sentinels name another primary."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            at = self._at
            if at is not None and await self._sentinels.moved_from(at.host, at.port):
                self.drop("the sentinels name another primary")
