"""Carry commands to a cluster: one connection to each primary, and the map of its slots.

The protocol is that of https://valkey.io/topics/cluster-spec/: a key's slot is a CRC of its hash
tag, a node that does not serve it answers MOVED or ASK, and a slot on its way between two nodes may
answer TRYAGAIN. None of these commands was executed, so all of them are sent again.
"""

from __future__ import annotations

import asyncio
from binascii import crc_hqx
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache, partial
from time import monotonic
from typing import Any, Final

from msgspec import Struct

from tollgate.adapters.valkey.connection.address import Command, StoreAddress
from tollgate.adapters.valkey.connection.pipe import Heard, ReplyError
from tollgate.adapters.valkey.connection.server_pipe import ServerPipe, tell
from tollgate.background import Background
from tollgate.core.errors import StoreSilent, StoreUnavailable

SLOTS: Final = 16384
# Where the first key of a command is, unless it is its first argument; 0 means that it has none.
_KEY_AT: Final[Mapping[str | bytes | int, int]] = {
    b"EVALSHA": 3,
    b"EVAL": 3,
    b"PING": 0,
    b"ECHO": 0,
    b"TIME": 0,
    b"INFO": 0,
    b"CONFIG": 0,
    b"CLUSTER": 0,
    b"SCRIPT": 0,
}
_ASKING: Final = (b"ASKING",)
# A failover and the end of a slot's migration are a matter of milliseconds to seconds.
_PAUSE_S: Final = 0.02
# The first redirections are followed at once. Two nodes that each name the other disagree for as
# long as their news takes.
_AT_ONCE: Final = 3
_MAP_EVERY_S: Final = 0.1


class SlotRange(Struct, frozen=True):
    """Slots from `first` to `last`, and the primary that serves them."""

    first: int
    last: int
    host: str
    port: int


class _Sent(Struct):
    """A command that has not been answered. `until_s`: how long it may be sent again."""

    command: Command
    heard: Heard
    until_s: float
    redirections: int = 0


class ClusterPipe:
    """The port `Pipe` over the primaries of a cluster."""

    is_cluster: Final = True

    def __init__(self, address: StoreAddress, timeout_s: float) -> None:
        """Prepare a pipe that learns of the cluster from the nodes that an address names."""
        self._address = address
        self._timeout_s = address.timeout_s or timeout_s
        self._nodes: dict[tuple[str, int], ServerPipe] = {}
        self._owners: list[ServerPipe | None] = [None] * SLOTS
        self._mapping: asyncio.Task[list[SlotRange]] | None = None
        self._mapped_s = -_MAP_EVERY_S
        self._turn = 0
        self._again = Background()

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Run one command where its first key is."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.start(arguments, partial(tell, future))
        return await future

    def start(self, command: Command, heard: Heard) -> None:
        """Run a command and pass its reply to `heard`, without a future."""
        self._send(_Sent(command, heard, monotonic() + self._timeout_s))

    async def everywhere(self, *arguments: str | bytes | int) -> list[Any]:
        """Run a command on each primary, and return their replies."""
        return list(await asyncio.gather(*(each.call(*arguments) for each in await self._all())))

    async def keys(self, pattern: bytes) -> AsyncIterator[bytes]:
        """Yield every key that matches, each at least once."""
        for node in await self._all():
            async for key in node.keys(pattern):
                yield key

    async def map(self) -> list[SlotRange]:
        """Ask for the map of slots, take it, and return it. Raises StoreUnavailable."""
        ranges = await self._ask_for_map()
        owners: list[ServerPipe | None] = [None] * SLOTS
        for each in ranges:
            pipe = self._node(each.host, each.port)
            owners[each.first : each.last + 1] = [pipe] * (each.last + 1 - each.first)
        self._owners = owners
        self._leave_others(ranges)
        return ranges

    async def owner_of(self, key: str) -> StoreAddress:
        """Return the server of a key, by a map that is asked for now. Raises StoreUnavailable."""
        slot = slot_of_key(key)
        for each in await self.map():
            if each.first <= slot <= each.last:
                return self._address.at(each.host, each.port)
        raise StoreUnavailable(f"no node of the cluster serves the slot {slot}")

    async def aclose(self) -> None:
        """Close all connections; waiting calls fail."""
        tasks = self._again.running()
        if self._mapping is not None:
            tasks = (*tasks, self._mapping)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in self._nodes.values():
            await node.aclose()

    def _send(self, sent: _Sent) -> None:
        pipe = self._owners[slot_of(sent.command)]
        if pipe is None:
            self._again.start(self._send_later(sent, None))
        else:
            pipe.start(sent.command, partial(self._heard, sent))

    def _heard(self, sent: _Sent, reply: Any) -> None:
        if isinstance(reply, Exception) and (retry := self._retry(sent, reply)) is not None:
            retry()
        else:
            sent.heard(reply)

    def _retry(self, sent: _Sent, error: Exception) -> partial[Any] | None:
        """Return what sends a command again that was not executed; None if it has to fail."""
        if isinstance(error, StoreSilent) or monotonic() >= sent.until_s:
            self._map_soon()
            return None
        word = error.word if isinstance(error, ReplyError) else ""
        if word in ("MOVED", "ASK"):
            sent.redirections += 1
            if sent.redirections <= _AT_ONCE:
                return partial(self._redirect, sent, word, str(error))
        elif word not in ("", "TRYAGAIN", "CLUSTERDOWN"):
            return None
        return partial(self._again.start, self._send_later(sent, error))

    def _redirect(self, sent: _Sent, word: str, told: str) -> None:
        """Send a command to the node that an answer names."""
        _, slot, place = told.split(" ")[:3]
        host, _, port = place.rpartition(":")
        asked = self._owners[int(slot)]
        # Without a host it is the one that answered.
        host = host or next((at[0] for at, pipe in self._nodes.items() if pipe is asked), "")
        pipe = self._node(host, int(port))
        if word == "MOVED":
            self._owners[int(slot)] = pipe
            self._map_soon()
            pipe.start(sent.command, partial(self._heard, sent))
        else:
            pipe.start(sent.command, partial(self._heard, sent), _ASKING)

    async def _send_later(self, sent: _Sent, error: Exception | None) -> None:
        """Send a command again after a pause, by what the map says then."""
        if error is None:
            error = StoreUnavailable("no node of the cluster serves its slot")
        else:
            await asyncio.sleep(_PAUSE_S)
        if not isinstance(error, ReplyError) or error.word != "TRYAGAIN":
            try:
                await self._map_now()
            except StoreUnavailable as failed:
                error = failed
        if self._owners[slot_of(sent.command)] is not None:
            self._send(sent)
        elif monotonic() < sent.until_s:
            self._again.start(self._send_later(sent, error))
        else:
            sent.heard(error)

    async def _all(self) -> list[ServerPipe]:
        """Return the pipe to each primary that serves slots."""
        return [
            self._node(host, port)
            for host, port in dict.fromkeys((each.host, each.port) for each in await self.map())
        ]

    def _node(self, host: str, port: int) -> ServerPipe:
        place = host, port
        if (pipe := self._nodes.get(place)) is None:
            pipe = ServerPipe.to(self._address.at(host, port), self._timeout_s)
            self._nodes[place] = pipe
        return pipe

    def _map_soon(self) -> None:
        if monotonic() - self._mapped_s >= _MAP_EVERY_S:
            self._mapping_now()

    async def _map_now(self) -> None:
        """Wait for a map that is asked for now, or was a moment ago. Raises StoreUnavailable."""
        if self._mapping is not None or monotonic() - self._mapped_s >= _MAP_EVERY_S:
            await asyncio.shield(self._mapping_now())

    def _mapping_now(self) -> asyncio.Task[list[SlotRange]]:
        """Return the task that asks for the map, the same one for all who need it."""
        if self._mapping is None:
            self._mapping = asyncio.create_task(self.map())
            self._mapping.add_done_callback(self._mapped)
        return self._mapping

    def _mapped(self, task: asyncio.Task[list[SlotRange]]) -> None:
        self._mapped_s, self._mapping = monotonic(), None
        if not task.cancelled():
            # Whoever waits is told; whoever does not hears what becomes of the command.
            task.exception()

    async def _ask_for_map(self) -> list[SlotRange]:
        """Ask one node after the other, each time another one first: one may be cut off."""
        places = list(dict.fromkeys((*self._nodes, *self._address.seeds)))
        self._turn += 1
        begin, failed = self._turn % len(places), StoreUnavailable("no node answers")
        for host, port in places[begin:] + places[:begin]:
            try:
                found = await self._node(host, port).call(b"CLUSTER", b"SLOTS")
            except (StoreUnavailable, ReplyError) as error:
                failed = StoreUnavailable(f"the node at {host}:{port}: {error}")
                failed.__cause__ = error.__cause__ or error
                continue
            if ranges := _ranges(found, host):
                return ranges
            failed = StoreUnavailable(f"the node at {host}:{port} knows nobody who serves slots")
        raise failed

    def _leave_others(self, ranges: list[SlotRange]) -> None:
        """Close the connections to nodes that serve nothing now, once their answers are there."""
        serving = {(each.host, each.port) for each in ranges}
        for place in self._nodes.keys() - serving:
            self._again.start(self._leave(self._nodes.pop(place)))

    async def _leave(self, pipe: ServerPipe) -> None:
        try:
            await asyncio.sleep(2 * self._timeout_s)
        finally:
            await pipe.aclose()


def slot_of(command: Command) -> int:
    """Return the slot of a command's first key; of a command without one, any."""
    at = _KEY_AT.get(command[0], 1)
    key = command[at] if 0 < at < len(command) else 0
    return 0 if isinstance(key, int) else slot_of_key(key)


@lru_cache(maxsize=4096)
def slot_of_key(key: str | bytes) -> int:
    """Return the slot of a key: that of its hash tag, if it has one."""
    raw = key.encode() if isinstance(key, str) else key
    opened = raw.find(b"{")
    closed = raw.find(b"}", opened + 1) if opened >= 0 else -1
    if closed > opened + 1:
        raw = raw[opened + 1 : closed]
    return crc_hqx(raw, 0) % SLOTS


def _ranges(found: Any, asked_host: str) -> list[SlotRange]:
    """Return what CLUSTER SLOTS says of primaries. A node may not know its own name."""
    return [
        SlotRange(first, last, (primary[0] or b"").decode() or asked_host, primary[1])
        for first, last, primary, *_ in found
        if primary[0] != b"?"
    ]
