"""A primary that sentinels watch, all of which ask for a user and a password."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.test_survey import all_connections_serve, refused, silent
from tests.make import KEY, account_of, reservation, settlement
from tests.many_servers import WATCHER, Trio, guarded_trio, wait_until, with_login
from valkey.exceptions import ValkeyError

from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import ReplyError
from tollgate.adapters.valkey.connection.survey import survey
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.core.errors import StoreUnavailable


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    with guarded_trio(tmp_path) as found:
        yield found


def url_of(trio: Trio) -> str:
    return f"{with_login(trio.url)}{WATCHER}&socket_timeout=1"


class Hearing:
    """What a subscription reports."""

    def __init__(self) -> None:
        self.sessions = 0
        self.fresh, self.again = asyncio.Event(), asyncio.Event()

    def started(self) -> None:
        self.sessions += 1

    def changed(self, reference: str) -> None:
        pass

    def fresh_until(self, instant_s: float) -> None:
        self.fresh.set()
        if self.sessions == 2:
            self.again.set()


async def test_all_connections_find_the_primary_and_follow_it(trio: Trio) -> None:
    """Survey, pipe, client and subscription, before and after the primary is killed."""
    url, hearing = url_of(trio), Hearing()
    assert await survey(url, silent) == []
    await all_connections_serve(url)
    pipe, client = open_pipe(url, 1), connect(url, 1)
    counters = ValkeyCounters(client, pipe, 60_000_000, 60_000_000)
    following = asyncio.create_task(follow(url, hearing))
    try:
        limited = account_of(KEY, rpm=5, parallel=2, budget_nanousd=100)
        call = reservation("call", limited, cost=60)
        await counters.reserve(call)
        await asyncio.wait_for(hearing.fresh.wait(), 10)
        killed = trio.primary
        wait_until(lambda: _replica_has(trio, "tollgate:{default}:held"), "it is not replicated")
        killed.kill()
        with pytest.raises(StoreUnavailable):
            await pipe.call(b"PING")
        await _until_it_serves(counters, limited)
        assert trio.primary is not killed
        assert await counters.settle(call, settlement(3, 7)) is not None
        (spend,) = await counters.spend("default", (limited,))
        assert (spend.used_nanousd, spend.held_nanousd) == (7, 0)
        await asyncio.wait_for(hearing.again.wait(), 10)
    finally:
        following.cancel()
        await pipe.aclose()
        await client.aclose()


async def test_a_primary_that_is_demoted_is_left(trio: Trio) -> None:
    """It still answers, and what would be written there would be lost."""
    url = url_of(trio)
    pipe, client = open_pipe(url, 1), connect(url, 1)
    await pipe.call(b"SET", b"tollgate:a", b"1")
    await client.set("tollgate:b", "1")
    before = trio.primary
    trio.sentinels[0].ask("SENTINEL", "FAILOVER", "main")
    found: list[bytes | None] = []
    for number in range(200):
        await asyncio.sleep(0.05)
        try:
            await pipe.call(b"SET", b"tollgate:a", number)
            await client.set("tollgate:b", number)
        except (ReplyError, StoreUnavailable, ValkeyError):
            continue
        if trio.primary is not before:
            with trio.primary.client() as now:
                found = now.mget("tollgate:a", "tollgate:b")
            if found == [b"%d" % number] * 2:
                break
    assert found == [b"%d" % number] * 2
    await pipe.aclose()
    await client.aclose()


async def test_what_is_wrong_with_sentinels_is_said_in_one_sentence(trio: Trio) -> None:
    """A name that nobody watches, a password that is wrong, and servers that are none."""
    unknown = await refused(url_of(trio).replace("/main", "/mian"))
    assert "names a primary that nobody knows: the sentinel at 127.0.0.1:" in unknown
    assert "watches no primary 'mian'" in unknown
    assert "WRONGPASS" in await refused(url_of(trio).replace("=look", "=wrong"))
    wrong = await refused(url_of(trio).replace("p%40ss", "wrong"))
    assert "WRONGPASS" in wrong
    assert "bob:wrong" not in wrong
    plain = f"valkey+sentinel://:admin@127.0.0.1:{trio.primary.port}/main?sentinel_password=admin"
    assert "is no sentinel" in await refused(plain)


def _replica_has(trio: Trio, key: str) -> bool:
    (replica,) = [each for each in trio.servers if each is not trio.primary]
    return bool(replica.ask("EXISTS", key))


async def _until_it_serves(counters: ValkeyCounters, limited: object) -> None:
    for number in range(400):
        try:
            await counters.renew(reservation(f"never-{number}"))
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("no primary took over")
