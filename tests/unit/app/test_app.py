"""The processes as they are put together, in this one: what they serve, and how they end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tollgate import heartbeat, settings, telemetry
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.app import __main__ as command_line
from tollgate.app import admin, base, worker
from tollgate.app.watching import evictions
from tollgate.background import beside
from tollgate.core.errors import StoreUnavailable
from tollgate.outage import Outage
from tollgate.settings import EXAMPLE_FILE, Settings

CHECK = "/grpc.health.v1.Health/Check"


@pytest.fixture
def loaded() -> Settings:
    return settings.load(EXAMPLE_FILE)


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process changes of itself is set back."""
    threshold = gc.get_threshold()
    monkeypatch.setattr(telemetry, "outage", Outage())
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@asynccontextmanager
async def running(
    serving: Coroutine[Any, Any, None], file: Path
) -> AsyncIterator[asyncio.Task[None]]:
    """A process's whole life, from its first sign of life on."""
    task = asyncio.create_task(serving)
    while heartbeat.last_beat(file) is None:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    yield task
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 20)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def health(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await channel.unary_unary(CHECK)(HealthCheckRequest().SerializeToString())
        return HealthCheckResponse.FromString(answer).status


@pytest.mark.parametrize(
    ("native", "transport"), [(False, "own"), (True, "own"), (False, "grpcio")]
)
async def test_a_worker_serves_both_doors_until_it_is_told_to_stop(
    tmp_path: Path,
    loaded: Settings,
    valkey_url: str,
    native: bool,
    transport: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says that it is ready, gives signs of life, and leaves by itself."""
    ours = loaded.tollgate.model_copy(update={"grpc_server": transport})
    loaded = Settings(
        **{name: getattr(loaded, name) for name in loaded.__slots__} | {"tollgate": ours}
    )
    address, http, beat = f"unix:{tmp_path}/g.sock", f"unix:{tmp_path}/h.sock", tmp_path / "beat"
    serving = worker.serve_worker(loaded, valkey_url, beat, address, http, native=native)
    async with running(serving, beat):
        assert "ready" in capsys.readouterr().out
        assert await health(address) == HealthCheckResponse.SERVING
        transport_to = httpx.AsyncHTTPTransport(uds=f"{tmp_path}/h.sock")
        async with httpx.AsyncClient(transport=transport_to) as client:
            asked = await client.post("http://t/v1/chat/completions", json={"model": "gpt-4o"})
        assert asked.status_code == 401
        beaten = heartbeat.last_beat(beat)
        assert beaten is not None
        assert (beaten.fresh, beaten.trouble) == (True, "")


async def test_a_worker_without_its_store_says_so_from_the_start(
    tmp_path: Path, loaded: Settings
) -> None:
    """It serves all the same: whoever asks is told."""
    beat = tmp_path / "beat"
    serving = worker.serve_worker(
        loaded,
        f"unix://{tmp_path}/none",
        beat,
        f"unix:{tmp_path}/g.sock",
        f"unix:{tmp_path}/h.sock",
        native=False,
    )
    async with running(serving, beat):
        assert await health(f"unix:{tmp_path}/g.sock") == HealthCheckResponse.NOT_SERVING
        beaten = heartbeat.last_beat(beat)
        assert beaten is not None
        assert beaten.trouble == "cannot connect: No such file or directory"


async def test_the_admin_server_is_ready_when_store_and_workers_are(
    tmp_path: Path, loaded: Settings, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which it reads from the workers' signs of life."""
    made: list[admin._Server] = []

    class Server(admin._Server):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(admin, "_Server", Server)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    beats, socket = tmp_path / "beats", tmp_path / "a.sock"
    beats.mkdir()
    serving = admin.serve_admin(loaded, valkey_url, tmp_path / "beat", beats, f"unix:{socket}")
    task = asyncio.create_task(serving)
    while not socket.exists():
        if task.done():
            await task
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://t"
    ) as client:
        assert (await client.get("/health/readiness")).json()[
            "error"
        ] == "no worker gives a sign of life"
        async with beside(heartbeat.keep_beating(beats / "worker-0", str)):
            assert (await client.get("/health/readiness")).status_code == 200
        assert (await client.get("/metrics")).status_code in (200, 401)
    made[0].should_exit = True
    made[0]._told_to_stop.set()
    await asyncio.wait_for(task, 20)


@pytest.mark.parametrize(
    ("address", "bound"),
    [
        ("unix:/a/b", {"uds": "/a/b"}),
        ("127.0.0.1:7", {"host": "127.0.0.1", "port": 7}),
        ("[::1]:7", {"host": "::1", "port": 7}),
    ],
)
def test_an_address_as_uvicorn_takes_it(address: str, bound: dict[str, Any]) -> None:
    assert admin._bind(address) == bound


async def test_the_reaper_goes_on_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it could not charge it charges later."""
    monkeypatch.setattr(admin, "_REAP_EVERY_S", 0)
    rounds = asyncio.Semaphore(0)

    class Meter:
        async def settle_expired(self) -> None:
            rounds.release()
            raise StoreUnavailable("away")

    async with beside(admin.reap(Meter())):  # type: ignore[arg-type]
        for _ in range(3):
            await asyncio.wait_for(rounds.acquire(), 5)
    assert telemetry.outage.word == "away"


async def test_keys_that_the_store_drops_are_told_once(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time that more are gone, and while it is away nothing."""
    answers = iter([7, 7, StoreUnavailable("away"), 9])
    done = asyncio.Event()

    async def evicted(_: Pipe) -> int:
        if (answer := next(answers, None)) is None:
            done.set()
            return 9
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(evictions, "_LOOK_EVERY_S", 0)
    monkeypatch.setattr(evictions, "evicted", evicted)
    async with beside(evictions.watch_evictions(pipe)):
        await asyncio.wait_for(done.wait(), 5)
    assert [line for line in caplog.messages if "dropped" in line] == [
        "the store's memory is full, and it has dropped 2 keys: set maxmemory-policy noeviction"
    ]


@pytest.mark.parametrize("command", ["worker", "admin"])
def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Of each process."""
    places = {
        "worker": ["--grpc", "unix:/g", "--authz-http", "unix:/h"],
        "admin": ["--beats", "/b", "--http", "unix:/h"],
    }
    common = ["--config", str(tmp_path / "none.yaml"), "--beat", str(tmp_path / "beat")]
    monkeypatch.setenv("TOLLGATE_STORE_URL", "unix:///s")
    with pytest.raises(SystemExit) as ended:
        command_line.main([command, *common, *places[command]])
    assert ended.value.code == f"cannot read {tmp_path}/none.yaml: No such file or directory"


def test_ids_differ_and_grow() -> None:
    """Later ones sort after earlier ones by their time."""
    ids = [base.new_id() for _ in range(100)]
    assert len(set(ids)) == 100
