"""A gateway under load whose store loses a primary: what clients were told is in the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.chaos.books import Books, read_when_quiet
from tests.e2e.gateway import CONFIG, Gateway, gateway
from tests.many_servers import (
    WATCHER,
    Server,
    guarded_cluster,
    guarded_trio,
    with_login,
)

from tollgate.adapters.valkey.connection.cluster_pipe import slot_of_key
from tollgate.adapters.valkey.keys import organization_keys

# A lease of a call that was held in no other place, or whose end was lost, has run out by then.
PATIENCE_S = 40
LIMITED = CONFIG.replace(
    "workers: 2", "workers: 2\n  lease_seconds: 10\n  proxy_max_parallel_requests: 500"
)


@dataclass
class Store:
    """A store of several servers, and what names the primary of most calls."""

    url: str
    primary: Callable[[], Server]


@pytest.fixture(params=["sentinel", "cluster"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with ExitStack() as stack:
        if request.param == "sentinel":
            trio = stack.enter_context(guarded_trio(tmp_path))
            yield Store(with_login(trio.url) + WATCHER, lambda: trio.primary)
        else:
            servers = stack.enter_context(guarded_cluster(tmp_path, replicas=1))
            slot = slot_of_key(organization_keys("default")[0])
            yield Store(with_login(servers.url), lambda: servers.serving(slot))


@dataclass
class Seen:
    """What clients saw: when each request was answered with 200, by its id, and other answers."""

    answered_s: dict[str, float] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    recovered: asyncio.Event = field(default_factory=asyncio.Event)
    killed_s: float = 0.0


async def load(running: Gateway, key: str, seen: Seen, over: asyncio.Event) -> None:
    after = 0
    while not over.is_set():
        reply = await running.chat(key, model="cent", max_tokens=2)
        if reply.status_code != 200:
            seen.refused.append(reply.status_code)
            await asyncio.sleep(0.05)
            continue
        seen.answered_s[reply.headers["x-tollgate-request-id"]] = time.monotonic()
        after += bool(seen.killed_s and seen.refused)
        if after >= 20:
            seen.recovered.set()


async def test_what_clients_were_told_outlives_a_primary(store: Store, tmp_path: Path) -> None:
    """All but what was not replicated when it was killed, which is a second's calls at most; no
    call is written twice, and all scopes have spent what the ledger says.
    """
    seen, over = Seen(), asyncio.Event()
    folder = tmp_path / "gateway"
    folder.mkdir()
    async with gateway(folder, LIMITED, "--redis-url", store.url) as running:
        key = await running.key(max_budget=1000)
        loads = [asyncio.create_task(load(running, key, seen, over)) for _ in range(8)]
        await asyncio.sleep(3)
        seen.killed_s = time.monotonic()
        store.primary().kill()
        await asyncio.wait_for(seen.recovered.wait(), 60)
        over.set()
        await asyncio.gather(*loads)
        books = await asyncio.to_thread(
            read_when_quiet, store.url, patience_s=PATIENCE_S, tick=lambda: None
        )
    _judge(seen, books)


def _judge(seen: Seen, books: Books) -> None:
    written = [each.id for each in books.records]
    lost = [at for identity, at in seen.answered_s.items() if identity not in set(written)]
    print(
        f"{len(seen.answered_s)} answered, {len(lost)} of them lost,"
        f" {len(seen.refused)} refused while no primary was there"
    )
    assert len(written) == len(set(written))
    assert [at for at in lost if not seen.killed_s - 1 < at < seen.killed_s + 1] == []
    assert books.left == 0
    assert set(seen.refused) <= {503}
    if not lost:
        assert books.faults == ()
