"""Two replicas of `tollgate serve` over one store, each with an Envoy that asks both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.e2e.gateway import Gateway
from tests.e2e.money_provider import Provider
from tests.e2e.own_envoy import Serving, own_envoy, serving
from tests.e2e.test_own_envoy import CONFIG, PLAIN
from tests.valkeys import valkey_server


@dataclass
class Replica:
    """One `tollgate serve`, which a test may restart."""

    folder: Path
    config: str
    stack: AsyncExitStack
    served: Serving | None = None

    async def start(self) -> Serving:
        self.served = await self.stack.enter_async_context(serving(self.folder, self.config))
        return self.served

    async def restart(self) -> None:
        """Stop it as a rollout does, and start it anew."""
        await self.stack.aclose()
        self.stack = AsyncExitStack()
        await self.start()


@dataclass
class Pair:
    """The replicas, and the Envoys before them."""

    replicas: list[Replica]
    gateways: list[Gateway]


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("p")
    async with AsyncExitStack() as outer:
        provider = await outer.enter_async_context(Provider(replies={"json": PLAIN}).serving())
        path = outer.enter_context(valkey_server(folder / "store", "--appendonly", "yes"))
        config = CONFIG.format(port=provider.port) + f"  redis_url: unix://{path}\n"
        replicas = []
        for name in "ab":
            (folder / name).mkdir()
            replicas.append(Replica(folder / name, config, AsyncExitStack()))
        first, second = [await each.start() for each in replicas]
        async with AsyncExitStack() as stack:
            pairs = ((first, second), (second, first))
            gateways = [
                await stack.enter_async_context(
                    own_envoy(one, lambda _: None, request.param, others=(other,))
                )
                for one, other in pairs
            ]
            yield Pair(replicas, gateways)
        for each in replicas:
            await each.stack.aclose()


async def chat(running: Gateway, key: str) -> httpx.Response:
    return await running.chat(key, model="local")


async def test_limits_are_exact_over_both(pair: Pair) -> None:
    """Of a flood on both Envoys, exactly the limit passes."""
    key = await pair.gateways[0].key(rpm_limit=20)
    replies = await asyncio.gather(*(chat(pair.gateways[n % 2], key) for n in range(80)))
    assert sorted({each.status_code for each in replies}) == [200, 429]
    assert sum(each.status_code == 200 for each in replies) == 20


async def test_a_change_of_a_key_is_seen_by_both_within_a_second(pair: Pair) -> None:
    """What one replica is told, the other obeys."""
    key = await pair.gateways[0].key()
    for each in pair.gateways:
        assert (await chat(each, key)).status_code == 200
    await pair.gateways[1].manage("/key/block", key=key)
    await asyncio.sleep(1)
    for each in pair.gateways:
        assert (await chat(each, key)).status_code == 401
    await pair.gateways[0].manage("/key/unblock", key=key)
    await asyncio.sleep(1)
    for each in pair.gateways:
        assert (await chat(each, key)).status_code == 200


async def test_a_rolling_restart_answers_every_request(pair: Pair) -> None:
    """One replica after the other, under load on both Envoys: nobody sees a 5xx."""
    key = await pair.gateways[0].key(max_budget=100)
    statuses: list[int] = []
    over, reached, enough = asyncio.Event(), asyncio.Event(), [10**9]

    async def load(running: Gateway) -> None:
        while not over.is_set():
            statuses.append((await chat(running, key)).status_code)
            if len(statuses) >= enough[0]:
                reached.set()

    loads = [asyncio.create_task(load(each)) for each in pair.gateways for _ in range(2)]
    for each in pair.replicas:
        await each.restart()
    enough[0] = len(statuses) + 50
    reached.clear()
    await asyncio.wait_for(reached.wait(), 60)
    over.set()
    await asyncio.gather(*loads)
    assert set(statuses) == {200}
