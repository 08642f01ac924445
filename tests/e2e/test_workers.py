"""Several workers beside one Envoy."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from tests.e2e.gateway import CONFIG, gateway


def worker_pids(supervisor: int) -> list[int]:
    """The workers that a supervisor has started."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
    return [int(pid) for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_worker_that_died_gets_nothing_and_the_other_answers_all(tmp_path: Path, mode: str) -> None:
    """Envoy knows of it at once, not when it next asks."""
    async with gateway(tmp_path, CONFIG, "--mode", mode) as running:
        key = await running.key()
        assert {(await running.chat(key)).status_code for _ in range(8)} == {200}
        first, other = worker_pids(running.process.pid)
        os.kill(first, signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert [(await running.chat(key)).status_code for _ in range(20)] == [200] * 20
        assert other in worker_pids(running.process.pid)
