"""The history of a gateway: what its database sums up is what the ledger charged."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, MASTER, Gateway, bearer, gateway
from tests.e2e.part_pids import part_pids
from tests.e2e.test_spend import tollgate_command


@pytest_asyncio.fixture(params=["grpc", "native"])
async def tollgate(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the history that it has by default: in SQLite, in its state folder."""
    config = CONFIG.replace("  history_url: none\n", f"  events: [{{file: {tmp_path}/events}}]\n")
    async with gateway(tmp_path, config, "--mode", request.param) as running:
        yield running


async def sums(running: Gateway, by: str) -> list[dict[str, Any]]:
    """What the history tells, once it tells as many requests as the ledger does."""
    await running.settled()
    expected = len(await running.records())
    for _ in range(500):
        reply = await running.client.get(
            running.url + "/spend/sums",
            params={"group_by": by},
            headers=bearer(MASTER),
        )
        found: list[dict[str, Any]] = reply.json() if reply.is_success else []
        if sum(each["requests"] for each in found) == expected:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"the history tells {reply.text}, the ledger {expected} requests")


async def recorder_of(running: Gateway) -> int:
    """The process id of the recorder, once it runs."""
    for _ in range(500):
        if found := part_pids(running.process.pid, "recorder"):
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError("there is no recorder")


async def test_the_history_is_the_ledger(tollgate: Gateway) -> None:
    """To the nano-dollar; `tollgate spend by` prints it as a table, JSON and CSV."""
    keys = [await tollgate.key(), await tollgate.key()]
    for key in (*keys, keys[0]):
        await tollgate.chat(key, max_tokens=7)
    told = await sums(tollgate, "key")
    assert [each["requests"] for each in told] == [2, 1]
    charged = sum(round(each["spend"] * 10**9) for each in await tollgate.records())
    assert sum(each["nanousd"] for each in told) == charged > 0
    options = ("--url", tollgate.url, "--master-key", MASTER)
    assert json.loads(await tollgate_command("spend", "by", "key", "--json", *options)) == told
    printed = await tollgate_command("spend", "by", "key", "--csv", *options)
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [(row["group"], int(row["nanousd"])) for row in rows] == [
        (each["group"], each["nanousd"]) for each in told
    ]
    focus = await tollgate_command("spend", "export", "--format", "focus", *options)
    billed = [int(row["x_TollgateNanoUsd"]) for row in csv.DictReader(io.StringIO(focus))]
    assert sum(billed) == charged
    today = datetime.now(UTC).date().isoformat()
    assert today in await tollgate_command("spend", "by", "day", "--since", today, *options)
    later = await tollgate_command(
        "spend", "by", "model", "--since", "2999-01-01", "--json", *options
    )
    assert json.loads(later) == []


async def test_each_call_is_an_event(tollgate: Gateway, tmp_path: Path) -> None:
    """In the file that the configuration names, from the recorder."""
    key = await tollgate.key()
    for _ in range(3):
        await tollgate.chat(key, max_tokens=7)
    told: list[dict[str, Any]] = []
    for _ in range(500):
        file = tmp_path / "events"
        told = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        if len(told) == 3:
            break
        await asyncio.sleep(0.02)
    charged = sum(round(each["spend"] * 10**9) for each in await tollgate.records())
    assert (len(told), sum(each["cost_nanousd"] for each in told)) == (3, charged)


async def test_a_killed_recorder_misses_nothing(tollgate: Gateway) -> None:
    """Its successor goes on behind the last record that the database holds."""
    key = await tollgate.key()
    for number in range(30):
        if number % 10 == 5:
            os.kill(await recorder_of(tollgate), signal.SIGKILL)
        await tollgate.chat(key, max_tokens=7)
        await asyncio.sleep(0.05)
    (told,) = await sums(tollgate, "key")
    charged = sum(round(each["spend"] * 10**9) for each in await tollgate.records())
    assert (told["requests"], told["nanousd"]) == (30, charged)
