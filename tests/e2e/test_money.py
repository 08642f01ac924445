"""What each kind of reply is charged, through a whole gateway. tests/e2e/money/README.md says how
its rows read.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e import money_row
from tests.e2e.gateway import MASTER, Gateway, bearer, gateway
from tests.e2e.money_provider import Provider
from tests.e2e.money_row import Row
from tests.e2e.part_pids import part_pids

ROWS = money_row.read_rows()
_RUNS = [(row, mode) for row in ROWS for mode in row["modes"]]
# Rows of one gateway follow each other, so that few gateways run at a time.
_RUNS.sort(key=lambda run: (run[1], money_row.group_of(run[0])))


class Stage:
    """The provider, and a gateway for each mode and set of settings, started when the first row
    needs it.
    """

    def __init__(self, provider: Provider, folder: Path, stack: AsyncExitStack) -> None:
        self.provider = provider
        self._folder = folder
        self._stack = stack
        self._running: dict[tuple[str, str], Gateway] = {}

    async def gateway(self, row: Row, mode: str) -> Gateway:
        """The gateway of a row."""
        group = money_row.group_of(row)
        if (mode, group) not in self._running:
            await self._stack.aclose()
            self._running.clear()
            rows = [each for each in ROWS if money_row.group_of(each) == group]
            folder = self._folder / f"{mode}-{abs(hash(group))}"
            folder.mkdir(exist_ok=True)  # of a start that failed
            text = money_row.config(rows, self.provider.port)
            running = await self._stack.enter_async_context(gateway(folder, text, "--mode", mode))
            self._running[mode, group] = running
        return self._running[mode, group]


@pytest_asyncio.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack, Provider().serving() as provider:
        yield Stage(provider, tmp_path_factory.mktemp("money"), stack)


@pytest.mark.parametrize(("row", "mode"), _RUNS, ids=[f"{row['id']}-{mode}" for row, mode in _RUNS])
async def test_it_costs_what_it_should(stage: Stage, row: Row, mode: str) -> None:
    """The charge is right to the nano-dollar where it can be, and within bounds where it cannot."""
    running = await stage.gateway(row, mode)
    if "steps" in row:
        await _play_steps(running, stage.provider, row)
    else:
        await _play(running, stage.provider, row)


async def _play(running: Gateway, provider: Provider, row: Row) -> None:
    names = {"model": money_row.public_name(row)}
    for before in row.get("before", ()):
        earlier = await running.key()
        provider.replies[row["id"]] = before["reply"]
        for _ in range(before["times"]):
            assert (await _call(running, earlier, row, names)).status_code == 200
        await _records(running, earlier, before["times"])
    key = await running.key(**row.get("key", {}))
    provider.replies[row["id"]] = row["reply"]
    arrived = provider.arrived[row["id"]]
    freezing = asyncio.create_task(_freeze_workers(running, row.get("freeze_workers")))
    status = await _call_as_client(running, key, row, names)
    await freezing
    await asyncio.sleep(row.get("settle_s", 0))
    (record,) = await _records(running, key, 1)
    told = await _explain(running, record["request_id"])
    told |= {"reply_status": status, "arrived": provider.arrived[row["id"]] - arrived}
    found = money_row.faults(row["expect"], told)
    assert not found, "\n".join(found)
    spend = await running.client.get(
        running.url + "/key/info", params={"key": key}, headers=bearer(MASTER)
    )
    assert round(spend.json()["info"]["spend"] * 1e9) == told["cost_nanousd"]


async def _call(running: Gateway, key: str, row: Row, names: Mapping[str, str]) -> httpx.Response:
    """One whole call."""
    sent = money_row.content(row, names)
    headers = {**bearer(key), **sent.pop("headers", {})}
    url = running.url + money_row.filled(row["path"], names)
    return await running.client.post(url, headers=headers, timeout=60, **sent)


async def _call_as_client(running: Gateway, key: str, row: Row, names: Mapping[str, str]) -> int:
    """The call of a row's client, who may hang up; the status that it saw, 0 for none."""
    client = row.get("client", {})
    if "leave_after_ms" in client:
        calling = _call(running, key, row, names)
        try:
            return (await asyncio.wait_for(calling, client["leave_after_ms"] / 1000)).status_code
        except TimeoutError:
            return 0
    if "leave_after" not in client:
        try:
            return (await _call(running, key, row, names)).status_code
        except httpx.RemoteProtocolError:
            return 200  # the provider broke off, and so did Envoy
    sent = money_row.content(row, names)
    headers = {**bearer(key), **sent.pop("headers", {})}
    url, seen = running.url + money_row.filled(row["path"], names), ""
    async with running.client.stream("POST", url, headers=headers, **sent) as reply:
        async for text in reply.aiter_text():
            seen += text
            if client["leave_after"] in seen:
                break
    return reply.status_code


async def _freeze_workers(running: Gateway, when: Mapping[str, int] | None) -> None:
    """Let all workers stand still for a while."""
    if when is None:
        return
    await asyncio.sleep(when["after_ms"] / 1000)
    workers = part_pids(running.process.pid, "worker")
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(when["for_ms"] / 1000)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)


async def _records(running: Gateway, key: str, count: int) -> list[dict[str, Any]]:
    """A key's records in the ledger, once there are so many."""
    found: list[dict[str, Any]] = []
    for _ in range(300):
        found = await running.records(api_key=key)
        if len(found) >= count:
            break
        await asyncio.sleep(0.05)
    assert len(found) == count
    return found


async def _explain(running: Gateway, request_id: str) -> dict[str, Any]:
    reply = await running.client.get(
        running.url + "/spend/explain",
        params={"request_id": request_id},
        headers=bearer(MASTER),
    )
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def _play_steps(running: Gateway, provider: Provider, row: Row) -> None:
    """Calls in turn, or beside each other where one is not waited for."""
    keys = {name: await running.key(**members) for name, members in row["keys"].items()}
    names = {"model": money_row.public_name(row)}
    names |= {f"key:{name}": key for name, key in keys.items()}
    waiting: list[asyncio.Task[bool]] = []
    for step in row["steps"]:
        await asyncio.sleep(step.get("wait_s", 0))
        playing = _step(running, provider, row["id"], step, keys | {"admin": MASTER}, names)
        if step.get("meanwhile"):
            waiting.append(asyncio.create_task(playing))
        elif not await playing:
            break
    for each in waiting:
        await each
    for name, usd in row.get("expect", {}).get("spend_usd", {}).items():
        stopped = any("stop_if" in step for step in row["steps"])
        spend = (await running.info(keys[name]))["spend"]
        assert spend == usd or (stopped and spend == 0)


async def _step(
    running: Gateway,
    provider: Provider,
    row_id: str,
    step: Mapping[str, Any],
    keys: Mapping[str, str],
    names: Mapping[str, str],
) -> bool:
    """One call of several; False where the rest falls away."""
    arrived = provider.arrived[row_id]
    if "reply" in step:
        provider.next[row_id] = deque([step["reply"]])
    request: dict[str, Any] = {"headers": bearer(keys[step["as"]])}
    if "json" in step:
        request["json"] = money_row.filled(step["json"], names)
    method = step.get("method", "POST")
    url = running.url + money_row.filled(step["path"], names)
    reply = await running.client.request(method, url, **request)
    expect = step.get("expect", {})
    if "status" in expect:
        allowed = expect["status"] if isinstance(expect["status"], list) else [expect["status"]]
        assert reply.status_code in allowed, reply.text
    if "reaches_provider" in expect:
        assert (provider.arrived[row_id] > arrived) == expect["reaches_provider"]
    for place, value in expect.get("body", {}).items():
        assert money_row.dotted(reply.json(), place) == value, reply.text
    if step["as"] != "admin" and reply.status_code == 200 and step.get("settle", True):
        await running.settled()
    return reply.status_code not in step.get("stop_if", ())
