"""A restart of `tollgate serve` takes nothing from the Envoys beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.envoy_lab import Server, free_port, running_envoy
from tests.e2e.gateway import Gateway
from tests.e2e.own_envoy import Serving, serving
from tests.valkeys import valkey_server

from tollgate import settings
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.topology import Address, Discovery, Topology

ANSWER = {
    "id": "c1",
    "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
OURS = """
model_list: []
general_settings: {{master_key: sk-1234}}
tollgate:
  workers: 1
  history_url: none
  redis_url: unix://{store}
  xds: ads
"""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def added(name: str, port: int) -> dict[str, Any]:
    """A model that is added over the API."""
    params = {
        "model": "openai/gpt-4o",
        "api_base": f"http://127.0.0.1:{port}/v1",
        "api_key": "sk-of-a-provider",
    }
    return {"model_name": name, "litellm_params": params, "model_info": {"id": name}}


@asynccontextmanager
async def envoy_beside(served: Serving, *others: Path) -> AsyncIterator[tuple[Gateway, str]]:
    """An Envoy that finds `serve` in several folders, and the address of its admin interface."""
    port, admin = free_port(), free_port()
    folders = (served.folder, *others)
    topology = Topology(
        Address(host="127.0.0.1", port=port),
        tuple(Address(path=str(each / "grpc")) for each in folders),
        Address(path=str(served.folder / "http")),
        workers_http=tuple(Address(path=str(each / "native")) for each in folders),
        envoy_admin=Address(host="127.0.0.1", port=admin),
        discovery=Discovery("", {}, by_ads=True),
    )
    file = served.folder / "envoy.json"
    loaded = settings.load(served.folder / "file.yaml")
    file.write_text(json.dumps(bootstrap(loaded, topology)), encoding="utf-8")
    async with running_envoy(file, port, {}), httpx.AsyncClient(timeout=30) as client:
        yield (
            Gateway(f"http://127.0.0.1:{port}", served.process, client),
            f"http://127.0.0.1:{admin}",
        )


@dataclass
class Calls:
    """Calls of one model, one after the other; and the words of those that failed."""

    gateway: Gateway
    key: str
    count: int = 0
    failed: list[str] = field(default_factory=list)
    last: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self._run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def succeed_again(self) -> None:
        """Wait until some more calls are made, and the last has succeeded."""
        until = self.count + 5
        while self.count < until or self.last != 200:  # noqa: ASYNC110 - other processes' state
            await asyncio.sleep(0.02)

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            reply = await self.gateway.chat(self.key, model="added")
            self.count, self.last = self.count + 1, reply.status_code
            if reply.status_code != 200:
                self.failed.append(f"{reply.status_code} {reply.text}")
            await asyncio.sleep(0.01)


async def test_models_of_the_api_stay_with_envoy_while_serve_and_its_store_start_again(
    tmp_path: Path,
) -> None:
    """While nobody decides, calls are refused for that reason alone: none ever meets a gateway that
    does not know the model. Envoy removes nothing, also while `serve` waits for the store.
    """
    provider = Server(body=json.dumps(ANSWER).encode())
    store = tmp_path / "store"
    text = OURS.format(store=store / "v.sock")
    async with provider.serving() as port, AsyncExitStack() as stack:
        with valkey_server(store, *DURABLE):
            async with serving(tmp_path, text) as served:
                gateway, admin = await stack.enter_async_context(envoy_beside(served))
                await gateway.manage("/model/new", **added("added", port))
                calls = Calls(gateway, await gateway.key())
                assert (await gateway.chat(calls.key, model="added")).status_code == 200
                served.process.kill()
        async with serving(tmp_path, text, says="waiting for the store") as again, calls.running():
            with valkey_server(store, *DURABLE):
                assert await again.has_said("ready: grpc"), again.said
                await calls.succeed_again()
                again.process.kill()
        assert not [each for each in calls.failed if each.startswith("4")], calls.failed
        removed = await gateway.client.get(f"{admin}/stats?filter=cluster_manager.cluster_removed")
        assert removed.text.strip() == "cluster_manager.cluster_removed: 0"


async def test_one_of_two_servers_starts_again_and_no_call_fails(tmp_path: Path) -> None:
    """Envoy asks it as soon as it serves, and by then it knows the models of the API."""
    provider = Server(body=json.dumps(ANSWER).encode())
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with provider.serving() as port, AsyncExitStack() as stack:
        path = stack.enter_context(valkey_server(tmp_path / "store"))
        text = OURS.format(store=path)
        served = await stack.enter_async_context(serving(first, text))
        async with serving(second, text) as other:
            gateway, admin = await stack.enter_async_context(envoy_beside(served, second))
            await gateway.manage("/model/new", **added("added", port))
            assert await other.has_said("1 added")
            calls = Calls(gateway, await gateway.key())
            await stack.enter_async_context(calls.running())
            await calls.succeed_again()
        async with serving(second, text):
            healthy = f"{second}/grpc::health_flags::healthy"
            while healthy not in (await gateway.client.get(f"{admin}/clusters")).text:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.05)
            await calls.succeed_again()
            assert not calls.failed
