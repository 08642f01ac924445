"""Alerts of a gateway of two replicas, four workers in all, over one store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.gateway import CONFIG, gateway
from tests.e2e.part_pids import part_pids

FILE = """
  alerts:
    webhook: {{url: "http://127.0.0.1:{port}/alerts", secret: "a secret of the receiver"}}
    slack: {{url: "http://127.0.0.1:9/nobody-listens"}}
"""


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[int, list[dict[str, Any]]]]:
    """A server that takes alerts; its port, and what it was sent."""
    received: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        received.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], received


async def test_each_threshold_is_told_once_by_two_replicas(tmp_path: Path, valkey_url: str) -> None:
    """While another receiver is dead. Calls go to both replicas at once, one in each mode. Another
    key's are told of although all workers are killed once its calls are settled.
    """
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with receiver() as (port, received):
        file, store = CONFIG + FILE.format(port=port), ("--redis-url", valkey_url, "--mode")
        async with (
            gateway(tmp_path / "a", file, *store, "grpc") as first,
            gateway(tmp_path / "b", file, *store, "native") as second,
        ):
            key = await first.key(key_alias="watched", max_budget=0.2, soft_budget=0.05)
            calls = [
                each.chat(key, model="cent", max_tokens=1)
                for _ in range(10)
                for each in (first, second)
            ]
            replies = await asyncio.gather(*calls)
            assert sum(reply.status_code == 200 for reply in replies) == 20
            for _ in range(200):
                if len(received) >= 4:
                    break
                await asyncio.sleep(0.05)
            other = await first.key(key_alias="orphaned", max_budget=0.01)
            assert (await first.chat(other, model="cent", max_tokens=1)).status_code == 200
            for _ in range(500):
                if await first.records(api_key=other):
                    break
                await asyncio.sleep(0.02)
            for each in (first, second):
                for pid in part_pids(each.process.pid, "worker"):
                    os.kill(pid, signal.SIGKILL)
            for _ in range(400):
                if any(each["key_alias"] == "orphaned" for each in received):
                    break
                await asyncio.sleep(0.05)
            # Whoever else has seen it would have told it by now.
            await asyncio.sleep(2)
    orphaned = [each["threshold"] for each in received if each["key_alias"] == "orphaned"]
    assert sorted(orphaned) == [0.85, 0.95, 1.0]
    received = [each for each in received if each["key_alias"] != "orphaned"]
    told = sorted((each["event"], each["threshold"] or 0) for each in received)
    assert told == [
        ("budget_crossed", 1.0),
        ("soft_budget_crossed", 0),
        ("threshold_crossed", 0.85),
        ("threshold_crossed", 0.95),
    ]
    assert {each["key_alias"] for each in received} == {"watched"}
