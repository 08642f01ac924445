"""A store of the user's own that cannot be used is named at start, and one that fails later when it
does.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.gateway import CONFIG, gateway
from tests.valkeys import valkey_server
from valkey.asyncio import Valkey


def start(folder: Path, command: str, url: str) -> tuple[int, list[str]]:
    """Exit code and lines of a gateway that does not start."""
    file = folder / "file.yaml"
    file.write_text(
        CONFIG + "  serve_grpc: '127.0.0.1:0'\n  serve_native: '127.0.0.1:0'\n  serve_http:"
        " '127.0.0.1:0'\n"
    )
    port = ("--port", "0") if command == "up" else ()
    arguments = [
        sys.executable,
        "-m",
        "tollgate.commands.main",
        command,
        "--config",
        str(file),
        "--redis-url",
        url,
        *port,
    ]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, (ended.stdout + ended.stderr).splitlines()


@pytest.mark.parametrize("command", ["up", "serve"])
@pytest.mark.parametrize("url", ["foo", "http://h:1", "redis://h:port"])
def test_what_is_no_url_is_one_sentence(tmp_path: Path, command: str, url: str) -> None:
    """And exit code 1."""
    code, (*_, line) = start(tmp_path, command, url)
    assert code == 1
    assert line.startswith("tollgate: the store's URL ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--requirepass", "right"), "does not let us in with the user and password of its URL"),
        (("--replicaof", "127.0.0.1", "1"), "is a replica"),
        (("--cluster-enabled", "yes"), "is part of a cluster"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    """No part is started on it."""
    login = ":wrong@" if "--requirepass" in options else ""
    with valkey_server(tmp_path, *options) as path:
        code, (line,) = start(tmp_path, "serve", f"unix://{login}{path}")
    assert code == 1
    assert line.startswith(f"tollgate: the store at {path} {told}")


@pytest.mark.parametrize(
    ("fault", "mended", "word"),
    [
        ({"maxmemory": 1}, {"maxmemory": 0}, "OOM command not allowed"),
        (
            {"min-replicas-to-write": 3},
            {"min-replicas-to-write": 0},
            "NOREPLICAS Not enough good replicas",
        ),
    ],
)
async def test_a_store_that_stops_taking_writes_is_told_until_it_takes_them_again(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    fault: dict[str, int],
    mended: dict[str, int],
    word: str,
) -> None:
    """Readiness has the store's word; the log has it once, however many calls fail."""
    with valkey_server(tmp_path) as path:
        async with (
            gateway(tmp_path, CONFIG, "--redis-url", f"unix://{path}") as running,
            Valkey(unix_socket_path=str(path)) as store,
        ):
            readiness = f"{running.url}/health/readiness"
            key = await running.key()
            assert (await running.client.get(readiness)).status_code == 200
            for name, value in fault.items():
                await store.config_set(name, value)
            assert {(await running.chat(key)).status_code for _ in range(6)} == {503}
            unready = await running.client.get(readiness)
            assert (unready.status_code, word in unready.json()["error"]) == (503, True)
            for name, value in mended.items():
                await store.config_set(name, value)
            said = capfd.readouterr().out
            for _ in range(100):
                if said.count("the store serves again") == said.count("the store fails") > 0:
                    break
                await asyncio.sleep(0.1)
                said += capfd.readouterr().out
            await asyncio.sleep(1)  # the workers' next signs of life
            assert (await running.client.get(readiness)).status_code == 200
            assert (await running.chat(key)).status_code == 200
    began = re.findall(r"(worker-\d|admin) +\| .* ERROR the store fails: (\w+)", said)
    ended = re.findall(
        r"(worker-\d|admin) +\| .* the store serves again after \d+ s, (\d+) operations failed",
        said,
    )
    assert {each for _, each in began} == {word.split()[0]}
    assert sorted(name for name, _ in began) == sorted(name for name, _ in ended)
    assert len({name for name, _ in began}) == len(began)
    assert sum(int(count) for _, count in ended) >= 6
