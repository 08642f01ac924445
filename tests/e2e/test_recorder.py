"""`tollgate recorder` as a process of its own, and refusals read from the history that it wrote."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.contract.history_databases import a_record, write
from tests.contract.test_refusals import now_us, refused
from tests.e2e.gateway import MASTER, bearer
from tests.e2e.own_envoy import serving
from tests.many_servers import free_ports
from tests.valkeys import valkey_server
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.keys import refusals_key
from tollgate.adapters.valkey.refusals.refusal_book import ValkeyRefusalBook
from tollgate.core.calls.refusal_records import RefusalRecord

CONFIG = """\
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_base: "http://127.0.0.1:9/v1", api_key: k}}
general_settings: {{master_key: sk-1234}}
tollgate:
  workers: 1
  redis_url: unix://{store}
  history_url: sqlite:///{folder}/own/history.db
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path


async def test_refusals_outlive_the_store_in_the_history_of_a_recorder_of_its_own(
    folder: Path,
) -> None:
    """It serves health and metrics, records all that the store has, and ends when it is told to;
    lists, explanations and the console then read from its database.
    """
    with valkey_server(folder / "store") as store:
        config = CONFIG.format(store=store, folder=folder)
        record = await fill(store)
        await record_all(folder, config)
        async with Valkey(unix_socket_path=str(store)) as client:
            await client.delete(refusals_key("default"))
        async with serving(folder / "served", config) as served:
            through = httpx.AsyncHTTPTransport(uds=str(served.folder / "http"))
            async with httpx.AsyncClient(
                transport=through, base_url="http://admin", headers=bearer(MASTER)
            ) as admin:
                listed = (await admin.get("/refusals", params={"since": "1h"})).json()
                assert [each["request_id"] for each in listed] == [record.id]
                logs = (await admin.get("/spend/logs", params={"status": "refused"})).json()
                assert [each["request_id"] for each in logs] == [record.id]
                told = (await admin.get("/spend/explain", params={"request_id": record.id})).json()
                assert told["reason"] == record.reason


async def fill(store: Path) -> RefusalRecord:
    """Two settled calls and a refused one in the store."""
    pipe = open_pipe(f"unix://{store}", 5)
    async with Valkey(unix_socket_path=str(store)) as client:
        at_us = await now_us(client)
        await write(client, [a_record(number, admitted_us=at_us) for number in range(2)])
        record = refused(at_us, 7, "key:k")
        await ValkeyRefusalBook(pipe, 86_400_000_000).add([record])
    await pipe.aclose()
    return record


async def record_all(folder: Path, config: str) -> None:
    """Run a recorder until its metrics and its database have everything."""
    (folder / "recorder.yaml").write_text(f"{config}  state_dir: {folder}/state\n")
    (port,) = free_ports(1)
    command = (sys.executable, "-m", "tollgate.commands.main", "recorder")
    options = ("--config", str(folder / "recorder.yaml"), "--health", f"127.0.0.1:{port}")
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/health")).json() == {"status": "healthy"}
            for _ in range(1_000):
                metrics = (await client.get("/metrics")).text
                if "tollgate_history_records_total 2.0" in metrics and refusals_in(folder):
                    break
                await asyncio.sleep(0.02)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 30) == 0
    assert refusals_in(folder) == 1


def refusals_in(folder: Path) -> int:
    with sqlite3.connect(folder / "own" / "history.db") as database:
        (count,) = database.execute("SELECT count(*) FROM refusals").fetchone()
    database.close()
    return int(count)
