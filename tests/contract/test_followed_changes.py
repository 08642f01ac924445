"""How changes of entities reach a worker: over a subscription that proves itself alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import uvloop
from tests.contract.test_directory import change, without_suspending
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.adapters.valkey.entities.directory import CachedDirectory
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.core.entities import Key
from tollgate.ports import Write


class Heard:
    """Passes on what `follow` tells, and lets a test wait for it."""

    def __init__(self, directory: CachedDirectory) -> None:
        self._directory = directory
        self.starts: asyncio.Queue[None] = asyncio.Queue()
        self.changes: asyncio.Queue[str] = asyncio.Queue()
        self.proofs: asyncio.Queue[float] = asyncio.Queue()

    def started(self) -> None:
        """Passed on."""
        self._directory.started()
        self.starts.put_nowait(None)

    def changed(self, reference: str) -> None:
        """Passed on."""
        self._directory.changed(reference)
        self.changes.put_nowait(reference)

    def fresh_until(self, instant_s: float) -> None:
        """Passed on."""
        self._directory.fresh_until(instant_s)
        self.proofs.put_nowait(instant_s)


@asynccontextmanager
async def following(url: str, directory: CachedDirectory) -> AsyncIterator[Heard]:
    """Changes are heard meanwhile; nothing here may take longer than ten seconds."""
    heard = Heard(directory)
    task = asyncio.create_task(follow(url, heard))
    try:
        async with asyncio.timeout(10):
            await heard.proofs.get()
            yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_key_blocked_through_valkey_is_blocked_for_workers(
    store: Valkey, valkey_url: str
) -> None:
    """The announcement reaches a worker's memory: the key is kept, changed by another, and seen as
    changed.
    """
    registry = ValkeyRegistry(store)
    directory = CachedDirectory(registry)
    await registry.write(Write(None, Key("h", "")))
    async with following(valkey_url, directory) as heard:
        await directory.find_key("h")
        without_suspending(directory.find_key("h"))
        await change(registry, Key, "h", lambda key: replace(key, blocked=True))
        assert await heard.changes.get() == "key:h"
        found = await directory.find_key("h")
    assert found is not None
    assert found.blocked


async def test_who_is_not_let_in_hears_nothing_and_asks_again(
    store: Valkey, valkey_url: str
) -> None:
    """Until it is: a store that restarts may know its users a moment later."""
    directory = CachedDirectory(ValkeyRegistry(store))
    url = valkey_url.replace("unix://", "unix://carol:secret@")
    heard = Heard(directory)
    task = asyncio.create_task(follow(url, heard))
    try:
        await asyncio.sleep(0.3)
        assert heard.proofs.empty()
        await store.execute_command(
            "ACL", "SETUSER", "carol", "on", ">secret", "allchannels", "+@all"
        )
        async with asyncio.timeout(10):
            await heard.proofs.get()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.execute_command("ACL", "DELUSER", "carol")


async def test_a_lost_subscription_is_made_anew(store: Valkey, valkey_url: str) -> None:
    """When the connection is cut, the directory starts again with nothing, and proofs
    come again.
    """
    directory = CachedDirectory(ValkeyRegistry(store))
    async with following(valkey_url, directory) as heard:
        await heard.starts.get()
        await store.client_kill_filter(_type="pubsub")
        await heard.starts.get()
        await heard.proofs.get()


async def test_a_silent_connection_is_given_up(store: Valkey, valkey_url: str) -> None:
    """A connection that stays open but does not answer is not trusted: changes are heard over a new
    one.
    """
    directory = CachedDirectory(ValkeyRegistry(store))
    async with following(valkey_url, directory) as heard:
        await heard.starts.get()
        await store.execute_command("CLIENT", "PAUSE", "1300", "ALL")
        await heard.starts.get()


def test_a_process_that_was_busy_does_not_take_its_store_for_silent(valkey_url: str) -> None:
    """What came meanwhile is read before the connection is judged."""

    async def stay_away() -> None:
        store = connect(valkey_url, 5)
        async with following(valkey_url, CachedDirectory(ValkeyRegistry(store))) as heard:
            await heard.starts.get()
            time.sleep(1.3)  # noqa: ASYNC251 # the event loop stands still
            for _ in range(3):
                await heard.proofs.get()
            assert heard.starts.empty()
        await store.aclose()

    uvloop.run(stay_away())


async def test_proofs_count_from_the_question(store: Valkey, valkey_url: str) -> None:
    """What a proof allows ends a second after it was asked for, however late the answer came."""
    directory = CachedDirectory(ValkeyRegistry(store))
    async with following(valkey_url, directory) as heard:
        assert await heard.proofs.get() <= monotonic() + 1
