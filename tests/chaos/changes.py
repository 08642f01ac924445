"""`make chaos-changes`: changes a gateway's models and rotates its providers' keys under load, and
tells how many calls failed.

In both modes, under `tollgate up` and beside `tollgate serve` with each way in which an Envoy
learns of changes. Exit code 1: a call failed, or met a key that was replaced before it began.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from tests.e2e.envoy_lab import Server
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
from tests.load.tables import Table, print_table
from tests.load.watch import Watch

_CLIENTS = 4
_LOOK_EVERY_S = 0.02
_PATIENCE_S = 60.0
_OK = 200
_NUMBERS = count()


@dataclass(slots=True)
class Outcome:
    """What became of the calls of one gateway.

    `stale`: calls that met an older key than the one that was in force when they began.
    """

    kind: Kind
    mode: str
    calls: int = 0
    stale: int = 0
    failures: list[str] = field(default_factory=list)
    changes_s: list[float] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """What it says in the table."""
        figures = (self.calls, len(self.failures), self.stale)
        return (
            f"{self.kind} · {self.mode}",
            str(len(self.changes_s)),
            *(f"{each:,}" for each in figures),
            f"{median(self.changes_s):.2f} s",
            f"{max(self.changes_s):.2f} s",
        )


def main(
    changes: Annotated[int, typer.Option(min=1, help="how many each gateway gets")] = 20,
    kind: Annotated[list[Kind] | None, typer.Option(help="which gateways; default all")] = None,
    mode: Annotated[list[str] | None, typer.Option(help="modes to run; default both")] = None,
) -> None:
    """Change models and keys under load."""
    chosen = [(one, each) for one in kind or list(Kind) for each in mode or ["grpc", "native"]]
    guarded("chaos", lambda console: _main(console, chosen, changes))


def _main(console: Console, chosen: Sequence[tuple[Kind, str]], changes: int) -> None:
    if note := load_note():
        console.print(note)
    found = []
    with Watch(console, len(chosen) * changes) as watch:
        for kind, mode in chosen:
            found.append(asyncio.run(_outcome(kind, mode, changes, watch)))
    columns = ("gateway", "changes", "calls", "failed", "old key", "in force after", "at most")
    print_table(console, Table("Changes under load", columns, tuple(each.row() for each in found)))
    for each in found:
        for failure in each.failures[:3]:
            console.print(f"{each.kind} · {each.mode}: {failure}", markup=False)
    if any(each.failures or each.stale for each in found):
        raise BenchFailed("a change was noticed")


async def _outcome(kind: Kind, mode: str, changes: int, watch: Watch) -> Outcome:
    provider, found = new_provider(), Outcome(kind, mode)
    with tempfile.TemporaryDirectory(prefix="tollgate-changes-") as name:
        async with provider.serving() as port:
            address = f"http://127.0.0.1:{port}/v1"
            first = [model("kept", address, _key(0))]
            async with (
                changing_gateway(kind, mode, Path(name), first) as gateway,
                httpx.AsyncClient(timeout=_PATIENCE_S) as client,
            ):
                loaded = _Loaded(gateway, client, provider, address, found)
                await loaded.until_served("kept")
                await loaded.change(changes, watch)
    return found


@dataclass(slots=True)
class _Loaded:
    """A gateway whose models change while clients call the one that stays.

    `in_force`: the number of the last change that was served.
    """

    gateway: Gateway
    client: httpx.AsyncClient
    provider: Server
    address: str
    found: Outcome
    in_force: int = 0
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def change(self, changes: int, watch: Watch) -> None:
        """Change as often as told under load. Raises BenchFailed when one is not served."""
        calling = [asyncio.create_task(self._call_on()) for _ in range(_CLIENTS)]
        found = self.found
        try:
            for number in range(1, changes + 1):
                watch.begin(f"{found.kind} · {found.mode} · change {number} of {changes}")
                began = time.monotonic()
                self._change(number)
                await self.until_served(f"new-{number}")
                found.changes_s.append(time.monotonic() - began)
                self.in_force = number
                failed = f"{len(found.failures)} of {found.calls:,} calls failed so far"
                watch.end(f"in force after {found.changes_s[-1]:.2f} s · {failed}")
        finally:
            self._stop.set()
            await asyncio.gather(*calling)

    async def until_served(self, name: str) -> None:
        """Call a model until a call succeeds. Raises BenchFailed with what the gateway has said."""
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE_S:
            reply = await self.gateway.chat(self.client, name, MASTER)
            if reply.is_success:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        said = "".join(f"\n  {line}" for line in self.gateway.said)
        raise BenchFailed(
            f"{self.found.kind} · {self.found.mode}: {name} is not served within {_PATIENCE_S:g} s:"
            f" {reply.status_code} {reply.text}\nthe gateway's last lines:{said}"
        )

    def _change(self, number: int) -> None:
        """Rotate the key of the model that stays, by turns in the file and in its variable; replace
        the other model, and give the first a second deployment now and then.
        """
        key = "os.environ/ROTATED" if number % 2 else _key(number)
        entries: list[dict[str, Any]] = [model("kept", self.address, key)]
        if number % 3 == 0:
            entries.append(model("kept", self.address, _key(number)))
        entries.append(model(f"new-{number}", self.address, _key(number)))
        self.gateway.write(entries, {"ROTATED": _key(number)})

    async def _call_on(self) -> None:
        """Call the model that stays until told to stop; look at the key that the provider got."""
        while not self._stop.is_set():
            oldest, before = self.in_force, len(self.provider.seen)
            words = f"call {next(_NUMBERS)} of many"
            try:
                reply = await self.gateway.chat(self.client, "kept", MASTER, words)
            except httpx.HTTPError as error:
                self.found.failures.append(repr(error))
                continue
            self.found.calls += 1
            if reply.status_code != _OK:
                self.found.failures.append(f"{reply.status_code} {reply.text}")
            for each in self.provider.seen[before:]:
                if words.encode() in each.body:
                    shown = int(each.headers["authorization"].rpartition("-")[2])
                    self.found.stale += shown < oldest


def _key(number: int) -> str:
    return f"key-{number}"


if __name__ == "__main__":
    typer.run(main)
