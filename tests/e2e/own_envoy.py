"""`tollgate serve` beside an Envoy of somebody's own: the printed configuration, changed here and
there.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.envoy_lab import free_port, running_envoy
from tests.e2e.gateway import Gateway

from tollgate import settings
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.topology import Address, Topology

Change = Callable[[dict[str, Any]], None]
"""Changes filters or clusters of the printed configuration, which it is given by their names."""


@dataclass
class Serving:
    """`tollgate serve`, and what it has said so far."""

    folder: Path
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    async def has_said(self, part: str) -> bool:
        """Whether a line with this in it is said within a minute."""
        for _ in range(1200):
            if any(part in line for line in self.said):
                return True
            await asyncio.sleep(0.05)
        return False


@asynccontextmanager
async def serving(folder: Path, text: str, says: str = "ready: grpc") -> AsyncIterator[Serving]:
    """Run `tollgate serve` on sockets in a folder, until it says something. `tollgate:` is the last
    section of its file.
    """
    sockets = "".join(
        f"  serve_{name}: 'unix:{folder}/{name}'\n" for name in ("grpc", "native", "http")
    )
    (folder / "file.yaml").write_text(
        f"{text}{sockets}  state_dir: {folder}/state\n", encoding="utf-8"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tollgate.commands.main",
            "serve",
            "--config",
            str(folder / "file.yaml"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    found = Serving(folder, process)
    reading = asyncio.create_task(asyncio.to_thread(_read, found))
    try:
        assert await found.has_said(says), found.said
        yield found
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
        await reading
        assert process.stdout is not None
        process.stdout.close()


def _read(found: Serving) -> None:
    assert found.process.stdout is not None
    for line in found.process.stdout:
        found.said.append(line)
        print(line, end="")


@asynccontextmanager
async def own_envoy(
    served: Serving,
    change: Change,
    mode: str = "grpc",
    change_clusters: Change = lambda _: None,
    others: Sequence[Serving] = (),
    access_logs: Sequence[dict[str, Any]] = (),
) -> AsyncIterator[Gateway]:
    """Run an Envoy of one's own before it.

    `others`: whose workers it asks as well. `access_logs`: those that its owner has.
    """
    loaded = settings.load(served.folder / "file.yaml")
    loaded = replace(loaded, tollgate=loaded.tollgate.model_copy(update={"mode": mode}))
    port = free_port()
    folders = [each.folder for each in (served, *others)]
    topology = Topology(
        Address(host="127.0.0.1", port=port),
        tuple(Address(path=str(each / "grpc")) for each in folders),
        Address(path=str(served.folder / "http")),
        workers_http=tuple(Address(path=str(each / "native")) for each in folders),
    )
    document = bootstrap(loaded, topology)
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0][
        "typed_config"
    ]
    manager["access_log"] += access_logs
    change(
        {each["name"].rpartition(".")[2]: each["typed_config"] for each in manager["http_filters"]}
    )
    change_clusters({each["name"]: each for each in document["static_resources"]["clusters"]})
    file = served.folder / f"envoy-{port}.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    keys = {
        f"TOLLGATE_PROVIDER_KEY_{number}": "provider-key"
        for number in range(len(loaded.deployments))
    }
    async with running_envoy(file, port, keys), httpx.AsyncClient(timeout=30) as client:
        yield Gateway(f"http://127.0.0.1:{port}", served.process, client, native=mode == "native")
