"""Gateways that change while they run: `tollgate up`, and `tollgate serve` beside an
Envoy that learns of changes from files or by gRPC.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.e2e.envoy_lab import Server, free_port, running_envoy
from tests.load.errors import BenchFailed
from tests.load.proc import Group, groups_of

MASTER = "sk-1234"
_COMMAND = (sys.executable, "-m", "tollgate.commands.main")
_KEPT_LINES = 40
_ANSWER = {
    "id": "c1",
    "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


class Kind(StrEnum):
    """A command, and how its Envoy learns of changes."""

    UP = "up"
    FILES = "serve, files"
    ADS = "serve, ads"


def new_provider() -> Server:
    """Return a provider that answers every call alike, and remembers the keys that it was shown."""
    return Server(body=json.dumps(_ANSWER).encode())


def model(name: str, address: str, key: str) -> dict[str, Any]:
    """Return an entry of `model_list` for OpenAI's API at an address."""
    return {
        "model_name": name,
        "litellm_params": {"model": "openai/gpt-4o", "api_base": address, "api_key": key},
    }


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway.

    `file`: its configuration; `ours`: its section `tollgate`. `said`: its last lines.
    """

    url: str
    file: Path
    supervisor: int
    ours: Mapping[str, Any]
    said: deque[str]

    def write(
        self, models: Iterable[Mapping[str, Any]], variables: Mapping[str, str] | None = None
    ) -> None:
        """Change the file in one step."""
        _write(self.file, models, self.ours, variables)

    @property
    def processes(self) -> dict[Group, tuple[int, ...]]:
        """Its processes. Beside `serve`, Envoy is a child of this program."""
        found = groups_of(self.supervisor, Group.SUPERVISOR)
        if Group.ENVOY not in found:
            found[Group.ENVOY] = groups_of(os.getpid(), Group.LOAD)[Group.ENVOY]
        return found

    async def chat(
        self, client: httpx.AsyncClient, model_name: str, key: str, content: str = "hi"
    ) -> httpx.Response:
        """Make one call of a model."""
        body = {"model": model_name, "messages": [{"role": "user", "content": content}]}
        headers = {"authorization": f"Bearer {key}"}
        return await client.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)


@asynccontextmanager
async def changing_gateway(
    kind: Kind, mode: str, folder: Path, models: Iterable[Mapping[str, Any]]
) -> AsyncIterator[Gateway]:
    """Run a gateway of some models, until it serves."""
    port = free_port()
    file, ours = folder / "tollgate.yaml", _settings(kind, mode, folder, port)
    _write(file, models, ours)
    url = f"http://127.0.0.1:{port}"
    if kind is Kind.UP:
        async with _command("up", file, "ready: http") as (supervisor, said):
            yield Gateway(url, file, supervisor, ours, said)
        return
    printed = folder / "envoy.yaml"
    async with _command("serve", file, "ready: grpc") as (supervisor, said):
        printing = await asyncio.create_subprocess_exec(
            *_COMMAND, "envoy-config", "--config", str(file), "--output", str(printed)
        )
        if await printing.wait() != 0:
            raise BenchFailed("envoy-config failed")
        async with running_envoy(printed, port, {}):
            yield Gateway(url, file, supervisor, ours, said)


def _settings(kind: Kind, mode: str, folder: Path, port: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "workers": 1,
        "mode": mode,
        "port": port,
        "history_url": "none",
        "state_dir": str(folder / "state"),
    }
    if kind is not Kind.UP:
        sockets = {f"serve_{name}": f"unix:{folder}/{name}" for name in ("grpc", "native", "http")}
        found |= {**sockets, "xds": "files" if kind is Kind.FILES else "ads"}
        found |= {"reach_envoy_admin": f"127.0.0.1:{free_port()}"}
    if kind is Kind.FILES:
        found["xds_folder"] = str(folder / "xds")
    return found


def _write(
    file: Path,
    models: Iterable[Mapping[str, Any]],
    ours: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
) -> None:
    document = {
        "model_list": list(models),
        "environment_variables": dict(variables or {}),
        "general_settings": {"master_key": MASTER},
        "tollgate": dict(ours),
    }
    new = file.with_suffix(".new")
    new.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper), encoding="utf-8")
    new.replace(file)


@asynccontextmanager
async def _command(name: str, file: Path, ready: str) -> AsyncIterator[tuple[int, deque[str]]]:
    """Run a command until it says that it is ready; gives its process id, and its last lines."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        name,
        "--config",
        str(file),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    reading = None
    try:
        while not (line := (await process.stdout.readline()).decode()).startswith(ready):
            if not line:
                raise BenchFailed("\n  ".join((f"tollgate {name} ended", *said)))
            said.append(line.rstrip())
        reading = asyncio.create_task(_keep_reading(process.stdout, said))
        yield process.pid, said
    finally:
        process.terminate()
        await process.wait()
        if reading is not None:
            await reading


async def _keep_reading(stream: asyncio.StreamReader, said: deque[str]) -> None:
    while line := await stream.readline():
        said.append(line.decode(errors="replace").rstrip())
