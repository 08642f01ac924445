"""`make bench-models`: how long a change takes to be served in a gateway of many models.

Under `tollgate up`, and beside `tollgate serve` with each way in which an Envoy learns of changes.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from tests.load.changing_gateways import (
    MASTER,
    Gateway,
    Kind,
    changing_gateway,
    model,
    new_provider,
)
from tests.load.command import guarded
from tests.load.errors import BenchFailed
from tests.load.machine import load_note
from tests.load.proc import Group, pss_bytes
from tests.load.tables import Table, print_table

_LOOK_EVERY_S = 0.02
_PATIENCE_S = 60.0
# After a change Envoy forgets what was removed; the memory is that of a gateway at rest.
_AT_REST_S = 8.0
_TOLD = (Group.ENVOY, Group.WORKERS, Group.ADMIN, Group.SUPERVISOR)


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured of one kind of gateway.

    `watches`: Envoy's inotify instances; `memory_bytes`: of the largest process of each group.
    """

    kind: Kind
    all_s: float
    changes_s: tuple[float, ...]
    memory_bytes: dict[Group, int]
    open_files: int
    watches: int


def main(
    models: Annotated[int, typer.Option(help="how many there are")] = 500,
    keys: Annotated[int, typer.Option(help="how many different ones the models have")] = 50,
    changes: Annotated[int, typer.Option(help="how many are measured")] = 5,
    kind: Annotated[list[Kind] | None, typer.Option(help="which gateways; default all")] = None,
    mode: Annotated[str, typer.Option(help="grpc or native")] = "grpc",
) -> None:
    """Give a gateway many models at once, and then one after the other; print how long each takes
    from the file to a reply.
    """
    entries, kinds = _entries(models, keys), kind or list(Kind)
    guarded("bench", lambda console: _main(console, entries, changes, kinds, mode))


def _main(
    console: Console, entries: list[dict[str, Any]], changes: int, kinds: Iterable[Kind], mode: str
) -> None:
    if note := load_note():
        console.print(note)
    columns = ("gateway", f"{len(entries)} at once", "one more", "each")
    columns += (*(f"{each} MB" for each in _TOLD), "Envoy's files", "watches")
    rows = tuple(_row(asyncio.run(_measure(kind, mode, entries, changes))) for kind in kinds)
    print_table(console, Table("How long a change takes, from the file to a reply", columns, rows))


def _row(found: Found) -> tuple[str, ...]:
    return (
        found.kind,
        f"{found.all_s:.2f} s",
        f"{median(found.changes_s):.2f} s",
        ", ".join(f"{each:.2f}" for each in found.changes_s),
        *(f"{found.memory_bytes[group] / 1e6:.0f}" for group in _TOLD),
        str(found.open_files),
        str(found.watches),
    )


def _entries(models: int, keys: int) -> list[dict[str, Any]]:
    """Return models of which each has an address of its own, and some the same key."""
    found = [
        model(f"model-{n}", f"http://127.0.{n // 250}.{n % 250 + 1}:9/v1", f"key-{n % keys}")
        for n in range(models)
    ]
    for each in found[::3]:
        each["litellm_params"]["model"] = "anthropic/claude-sonnet-4-5"
    return found


async def _measure(kind: Kind, mode: str, entries: list[dict[str, Any]], changes: int) -> Found:
    with tempfile.TemporaryDirectory(prefix="tollgate-models-") as name:
        async with new_provider().serving() as port:
            address = f"http://127.0.0.1:{port}/v1"
            first = [model("first", address, "key")]
            async with changing_gateway(kind, mode, Path(name), first) as gateway:
                all_s, *changes_s = [
                    await _seconds(gateway, [*entries, model(f"new-{number}", address, "key")])
                    for number in range(changes + 1)
                ]
                await asyncio.sleep(_AT_REST_S)
                return _at_rest(kind, gateway, all_s, tuple(changes_s))


async def _seconds(gateway: Gateway, entries: list[dict[str, Any]]) -> float:
    """Change the file, and return how long it takes until the last model answers."""
    new = entries[-1]["model_name"]
    async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        gateway.write(entries)
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE_S:
            reply = await gateway.chat(client, new, MASTER)
            if reply.is_success:
                return time.monotonic() - began
            await asyncio.sleep(_LOOK_EVERY_S)
    raise BenchFailed(f"{new} is not served: {reply.status_code} {reply.text}")


def _at_rest(kind: Kind, gateway: Gateway, all_s: float, changes_s: tuple[float, ...]) -> Found:
    groups = gateway.processes
    links = [
        str(each.readlink())
        for pid in groups[Group.ENVOY]
        for each in Path(f"/proc/{pid}/fd").iterdir()
    ]
    memory = {group: max(pss_bytes(pids)) for group, pids in groups.items()}
    watches = sum("inotify" in each for each in links)
    return Found(kind, all_s, changes_s, memory, len(links), watches)


if __name__ == "__main__":
    typer.run(main)
