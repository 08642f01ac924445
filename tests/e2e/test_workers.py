"""Several workers beside one Envoy."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.e2e.gateway import CONFIG, gateway
from tests.e2e.part_pids import part_pids

# With a stand-in on up to three cores.
DEFAULT = CONFIG.replace("workers: 2", "workers: null")


def worker_pids(supervisor: int) -> list[int]:
    """The workers that a supervisor has started."""
    return part_pids(supervisor, "worker")


@pytest.mark.parametrize("config", [CONFIG, DEFAULT], ids=["of two", "with a stand-in"])
@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_worker_that_died_gets_nothing_and_the_other_answers_all(
    tmp_path: Path, mode: str, config: str
) -> None:
    """Envoy knows of it at once, not when it next asks."""
    async with gateway(tmp_path, config, "--mode", mode) as running:
        key = await running.key()
        assert {(await running.chat(key)).status_code for _ in range(8)} == {200}
        first, other = worker_pids(running.process.pid)
        os.kill(first, signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert [(await running.chat(key)).status_code for _ in range(20)] == [200] * 20
        assert other in worker_pids(running.process.pid)


async def test_a_worker_that_hangs_is_found_out_and_the_other_admits_and_settles(
    tmp_path: Path,
) -> None:
    """What it is asked and told until then is refused and lost."""
    async with gateway(tmp_path, DEFAULT, "--mode", "native") as running:
        key = await running.key()
        assert (await running.chat(key)).status_code == 200
        first, _ = worker_pids(running.process.pid)
        os.kill(first, signal.SIGSTOP)
        try:
            for _ in range(20):
                reply = await running.chat(key)
                identity = reply.headers.get("x-tollgate-request-id")
                if identity is not None and (records := await running.records(request_id=identity)):
                    break
            assert (reply.status_code, records[0]["status"]) == (200, 200)
        finally:
            with suppress(ProcessLookupError):  # by then it may have been killed for it
                os.kill(first, signal.SIGCONT)


async def until(status: int, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask again and again until the answer has a status."""
    for _ in range(300):
        if (reply := await ask()).status_code == status:
            return reply
        await asyncio.sleep(0.1)
    raise AssertionError(f"the answer stayed {reply.status_code}: {reply.text}")


async def test_when_all_workers_hang_nothing_is_ready_until_they_were_replaced(
    tmp_path: Path,
) -> None:
    """Whoever watches readiness is told, and nobody needs to act."""
    async with gateway(tmp_path, CONFIG) as running:

        def readiness() -> Awaitable[httpx.Response]:
            return running.client.get(f"{running.url}/health/readiness")

        assert (await readiness()).status_code == 200
        hanging = worker_pids(running.process.pid)
        for each in hanging:
            os.kill(each, signal.SIGSTOP)
        assert (await until(503, readiness)).json()["error"] == "no worker gives a sign of life"
        await until(200, readiness)
        # One new worker makes the gateway ready; the other's turn may come a moment later.
        for _ in range(300):
            if replaced := set(hanging).isdisjoint(worker_pids(running.process.pid)):
                break
            await asyncio.sleep(0.1)
        assert replaced
        key = await running.key()
        await until(200, lambda: running.chat(key))  # until Envoy has met one of them
