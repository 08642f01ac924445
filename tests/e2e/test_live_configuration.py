"""A changed configuration file takes effect while the gateway runs, and no call notices."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.e2e.gateway import Gateway, bearer, gateway

ENTRY = """
  - model_name: {name}
    litellm_params:
      model: {provider}/{model}
      api_base: http://mock-llm/{base}
      api_key: {key}
      input_cost_per_token: 0.000001
      output_cost_per_token: {price}
"""
SETTINGS = """
general_settings: {{master_key: {master}}}
litellm_settings: {{max_budget: {budget}}}
tollgate: {{workers: 2{ours}}}
"""


def entry(name: str, **told: object) -> str:
    """One model of the built-in provider."""
    usual = {"provider": "openai", "model": "gpt-4o", "base": "v1", "key": "k", "price": 0.000002}
    return ENTRY.format(name=name, **{**usual, **told})


def text(*entries: str, master: str = "sk-1234", budget: float = 1000, ours: str = "") -> str:
    """A whole file."""
    models = "model_list:" + "".join(entries)
    return models + SETTINGS.format(master=master, budget=budget, ours=ours)


@dataclass
class Live:
    """A gateway, and its file."""

    gateway: Gateway
    file: Path

    def write(self, content: str) -> None:
        """Change the file in one step, as editors and Kubernetes do."""
        new = self.file.with_suffix(".new")
        new.write_text(content, encoding="utf-8")
        new.replace(self.file)

    async def readiness(self) -> dict[str, object]:
        """What whoever watches the gateway is told."""
        reply = await self.gateway.client.get(f"{self.gateway.url}/health/readiness")
        told: dict[str, object] = reply.json()
        return told


@pytest_asyncio.fixture(params=["grpc", "native"])
async def live(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Live]:
    """A gateway with one model, whose file the test changes."""
    async with gateway(tmp_path, text(entry("kept")), "--mode", request.param) as running:
        yield Live(running, tmp_path / "tollgate.yaml")


async def becomes(wanted: int, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask until the answer has a status."""
    for _ in range(300):
        if (reply := await ask()).status_code == wanted:
            return reply
        await asyncio.sleep(0.1)
    raise AssertionError(f"the answer stayed {reply.status_code}: {reply.text}")


async def test_ten_changes_under_load_fail_no_call(live: Live) -> None:
    """A new model serves, a removed one is unknown, and calls of one that stays never fail: while
    it gets another key, another price, another address, and a second deployment.
    """
    running, statuses = live.gateway, []
    key = await running.key()
    stop = asyncio.Event()

    async def call_on() -> None:
        while not stop.is_set():
            reply = await running.chat(key, model="kept")
            statuses.append((reply.status_code, reply.text if reply.status_code != 200 else ""))
            await asyncio.sleep(0.02)

    calling = [asyncio.create_task(call_on()) for _ in range(3)]
    try:
        for number in range(10):
            name = f"new-{number}"
            kept = [
                entry("kept", key=f"key-{number}", price=0.000001 * number, base="v1"),
                entry("kept", key="second", price=0.000001 * number) if number % 2 else "",
            ]
            live.write(text(*kept, entry(name, key=f"another-{number}")))
            await becomes(200, lambda: running.chat(key, model=name))  # noqa: B023
            if number:
                gone = await running.chat(key, model=f"new-{number - 1}")
                assert gone.status_code in (400, 404), gone.text
    finally:
        stop.set()
        await asyncio.gather(*calling)
    assert {status for status, _ in statuses} == {200}, [each for each in statuses if each[1]][:3]
    assert len(statuses) > 20


async def test_a_call_of_a_model_that_is_removed_meanwhile_ends_and_is_charged(live: Live) -> None:
    """Envoy keeps its stream, and settlement knows its price."""
    running = live.gateway
    live.write(text(entry("kept"), entry("going", price=0.5)))
    key = await running.key()
    await becomes(200, lambda: running.chat(key, model="going"))
    before = await running.spend(key)
    body = {
        "model": "going",
        "stream": True,
        "max_tokens": 40,
        "messages": [{"role": "user", "content": "hi"}],
    }
    url = f"{running.url}/v1/chat/completions"
    slow = {"x-mock-chunk-ms": "400", "x-mock-latency-ms": "3000"}
    headers = bearer(key) | slow

    async def change() -> None:
        await asyncio.sleep(1)
        live.write(text(entry("kept")))

    changing = asyncio.create_task(change())
    reply = await running.client.post(url, json=body, headers=headers)
    await changing
    assert (reply.status_code, reply.text.rstrip().endswith("data: [DONE]")) == (200, True)
    assert (await running.chat(key, model="going")).status_code in (400, 404)
    assert await running.spend(key, at_least=before + 0.4) > before


async def test_limits_and_the_master_key_change(live: Live) -> None:
    """The proxy's budget refuses, and then does no more; the old master key is no key."""
    running = live.gateway
    key = await running.key()
    assert (await running.chat(key, model="kept")).status_code == 200
    live.write(text(entry("kept"), budget=0))
    await becomes(401, lambda: running.chat(key, model="kept"))
    live.write(text(entry("kept"), ours=", proxy_rpm_limit: 0"))
    await becomes(429, lambda: running.chat(key, model="kept"))
    for limits in (
        "limits: [{meter: tokens, amount: 0, per: 1m}]",
        "default_limits: {key: [{meter: requests, amount: 0, per: 1h}]}",
    ):
        live.write(text(entry("kept"), ours=f", {limits}"))
        await becomes(429, lambda: running.chat(key, model="kept"))
        live.write(text(entry("kept"), ours=f", {limits}, enforce: false"))
        await becomes(200, lambda: running.chat(key, model="kept"))
    live.write(text(entry("kept"), master="sk-other"))
    await becomes(200, lambda: running.chat(key, model="kept"))

    def listed(master: str) -> Awaitable[httpx.Response]:
        return running.client.get(f"{running.url}/key/list", headers=bearer(master))

    await becomes(401, lambda: listed("sk-1234"))
    assert (await listed("sk-other")).status_code == 200


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("model_list: [", "is not valid YAML"),
        (text(entry("kept"), entry("new", base="v1 /\\"), ours=", colour: red"), "tollgate.colour"),
        (text(entry("kept"), entry("new"), ours=", max_connections: 7"), "max_connections"),
        (text(entry("kept"), entry("new", key="os.environ/NOT_THERE")), "NOT_THERE"),
        (text(entry("kept"), entry("new"), ours=", price_file: /nowhere"), "price file"),
    ],
)
async def test_a_bad_change_is_refused_whole_and_told(
    tmp_path: Path, content: str, fault: str
) -> None:
    """What ran goes on; whoever watches is told what is wrong, until it is put right."""
    async with gateway(tmp_path, text(entry("kept"))) as running:
        live = Live(running, tmp_path / "tollgate.yaml")
        key = await running.key()
        live.write(content)
        for _ in range(200):
            told = await live.readiness()
            if "configuration" in told:
                break
            await asyncio.sleep(0.05)
        assert fault in str(told["configuration"])
        assert told["status"] == "healthy"
        assert (await running.chat(key, model="new")).status_code in (400, 404)
        assert (await running.chat(key, model="kept")).status_code == 200
        live.write(text(entry("kept"), entry("new")))
        await becomes(200, lambda: running.chat(key, model="new"))
        assert "configuration" not in await live.readiness()


async def test_a_signal_looks_at_the_file_and_a_worker_that_died_comes_back_with_it(
    live: Live,
) -> None:
    """SIGHUP ends nothing. What a worker starts with is what is in force, not a file
    that is wrong.
    """
    from tests.e2e.test_workers import worker_pids

    running = live.gateway
    key = await running.key()
    live.write(text(entry("kept"), entry("new", provider="anthropic", base="")))
    running.process.send_signal(signal.SIGHUP)
    message = {"model": "new", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}

    def ask() -> Awaitable[httpx.Response]:
        url = f"{running.url}/v1/messages"
        return running.client.post(url, json=message, headers=bearer(key))

    await becomes(200, ask)
    live.write("tollgate: {colour: red}")
    while "configuration" not in await live.readiness():  # noqa: ASYNC110 - another process's state
        await asyncio.sleep(0.05)
    old = set(worker_pids(running.process.pid))
    for each in old:
        os.kill(each, signal.SIGKILL)
    while len(set(worker_pids(running.process.pid)) - old) < len(old):  # noqa: ASYNC110 - likewise
        await asyncio.sleep(0.05)
    await becomes(200, ask)
    # One worker serves by now; the other may still be starting.
    await becomes(200, lambda: running.chat(key, model="kept"))


async def test_models_of_the_api_are_served_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """Every worker learns of them from the store, and no call of another model notices. Those of
    the file stay the file's.
    """
    params = {
        "model": "openai/gpt-4o",
        "api_base": "http://mock-llm/v1",
        "api_key": "sk-of-a-provider",
        "input_cost_per_token": 0.25,
    }
    new = {"model_name": "added", "litellm_params": params, "model_info": {"id": "one"}}
    async with gateway(tmp_path, text(entry("kept"))) as running:
        key, statuses, stop = await running.key(), [], asyncio.Event()

        async def call_on() -> None:
            while not stop.is_set():
                statuses.append((await running.chat(key, model="kept")).status_code)

        calling = asyncio.create_task(call_on())
        assert (await running.chat(key, model="added")).status_code in (400, 404)
        await running.manage("/model/new", **new)
        await becomes(200, lambda: running.chat(key, model="added"))
        assert await running.spend(key, at_least=0.25) >= 0.25
        update = {"litellm_params": {"model": "openai/gpt-4o-mini"}, "model_info": {"id": "one"}}
        await running.manage("/model/update", **update)
        stop.set()
        await calling
        assert set(statuses) == {200}
        reply = await running.client.post(
            f"{running.url}/model/delete", json={"id": "kept"}, headers=bearer("sk-1234")
        )
        assert (reply.status_code, "configuration file" in reply.text) == (400, True)
    async with gateway(tmp_path, text(entry("kept"))) as running:
        assert (await running.chat(key, model="added")).status_code == 200
        reply = await running.client.get(f"{running.url}/model/info", headers=bearer("sk-1234"))
        told = {each["model_info"]["id"]: each for each in reply.json()["data"]}
        assert [told[each]["model_info"]["db_model"] for each in ("kept", "one")] == [False, True]
        assert told["one"]["litellm_params"]["model"] == "openai/gpt-4o-mini"
        assert "sk-of-a-provider" not in reply.text
        await running.manage("/model/delete", id="one")
        for _ in range(300):
            reply = await running.chat(key, model="added")
            if reply.status_code != 200:
                break
            await asyncio.sleep(0.1)
        assert reply.status_code in (400, 404)
        assert (await running.chat(key, model="kept")).status_code == 200
