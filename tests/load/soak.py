"""`make soak`: ten minutes of mixed traffic at half of what the gateway can do, for 100,000
customers; then nothing may have grown that would grow for ever.

Memory of each process, keys and memory of the store and latencies at the end are compared with
those after the first minute. Every customer has called before, so what the store and the caches
keep of them is there from the beginning.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from tests.load.bench import RESULTS
from tests.load.command import guarded
from tests.load.errors import BenchFailed
from tests.load.machine import load_note, machine
from tests.load.mixed import Kind
from tests.load.proc import Group, described, embedded_store_url, pss_bytes
from tests.load.programs import run_bounded
from tests.load.systems import MASTER, System, mock_provider, tollgate
from tests.load.tables import Table, figure, markdown, print_table, replace_section
from tests.load.watch import Watch
from valkey import Valkey

from tollgate.adapters.valkey.keys import organization_keys
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION

_HELD, _LEDGER = organization_keys(DEFAULT_ORGANIZATION)
_LOOK_EVERY_S = 1.0
_MARK_S = 60.0
_WINDOW = 10
"""Samples whose median is what a process had at a mark."""
_CAPACITY_S = 10.0
_SETTLED_S = 10.0
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure may have grown by: a part of what it was, and a bit more."""

    part: float
    more: float

    def of(self, first: float) -> float:
        """The most that it may be at the end."""
        return first * (1 + self.part) + self.more


MEMORY, STORE_MEMORY = Bound(0.10, 10 * _MB), Bound(0.05, 10 * _MB)
KEYS = Bound(0.01, 100)
P50, P99 = Bound(0.5, 2_000), Bound(1.0, 20_000)


@dataclass(frozen=True, slots=True)
class Grown:
    """A figure after the first minute and at the end, in units of `scale`."""

    name: str
    first: float
    last: float
    bound: Bound
    scale: float = 1.0

    @property
    def kept(self) -> bool:
        """Whether it is at the end what it was, but for what it may have grown."""
        return self.last <= self.bound.of(self.first)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a gateway: the memory of each process by its name, and what its store has."""

    pss_bytes: Mapping[str, int]
    keys: int
    store_bytes: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger in the store, which keeps an hour of records once a history has them."""

    records: int
    bytes: int


def soak_table(grown: Sequence[Grown]) -> Table:
    """All figures, with their bounds."""
    rows = tuple(
        (
            each.name,
            figure(each.first / each.scale),
            figure(each.last / each.scale),
            f"{'yes' if each.kept else 'NO'} (<= {figure(each.bound.of(each.first) / each.scale)})",
        )
        for each in grown
    )
    return Table(
        "After the first minute and at the end",
        ("figure", "after a minute", "at the end", "kept"),
        rows,
    )


def memory_at(looks: Sequence[Look]) -> dict[str, float]:
    """Return the memory (PSS) of each process in the last looks. One that came later is new."""
    names = looks[-1].pss_bytes
    return {
        name: median(each.pss_bytes[name] for each in looks[-_WINDOW:] if name in each.pss_bytes)
        for name in names
    }


def compared(
    first: Sequence[Look],
    last: Sequence[Look],
    ledgers: tuple[Ledger, Ledger],
    said: Mapping[str, Any],
) -> Iterator[Grown]:
    """Yield every figure of two marks. Each holds the looks up to it."""
    before, after = memory_at(first), memory_at(last)
    for name, had in before.items():
        # A process that ended is a fault of its own, and has no memory to compare.
        if name != Group.STORE:  # whose own memory is told apart from the ledger's
            now = after.get(name, float("inf"))
            yield Grown(f"memory of {name}, MB", had, now, MEMORY, _MB)
    yield Grown("store keys", first[-1].keys, last[-1].keys, KEYS)
    yield Grown(
        "store memory without the ledger, MB",
        first[-1].store_bytes - ledgers[0].bytes,
        last[-1].store_bytes - ledgers[1].bytes,
        STORE_MEMORY,
        _MB,
    )
    for percent, bound in (("p50", P50), ("p99", P99)):
        yield Grown(
            f"{percent} of JSON, ms",
            said["first"][f"{percent}_us"],
            said["last"][f"{percent}_us"],
            bound,
            1000,
        )


class Soak:
    """A gateway under mixed traffic."""

    def __init__(self, system: System, store: Valkey, folder: Path, watch: Watch) -> None:
        self._system, self._store = system, store
        self._folder, self._watch = folder, watch
        self._names: dict[int, str] = {}
        self._looked_s = 0.0
        self.looks: list[Look] = []

    def call(self, customers: int, *options: str, seconds: float) -> dict[str, Any]:
        """Let clients call, and return what became of it."""
        argv = [sys.executable, "-m", "tests.load.mixed", self._system.url]
        argv += [str(self._folder / "keys.json"), str(customers), *options]
        said = run_bounded(argv, seconds, self._tick)
        found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
        if found["unexpected"]:
            raise BenchFailed(f"calls did not end as they should: {found['unexpected']}")
        return found

    def ledger(self) -> Ledger:
        """Return what the ledger takes in the store."""
        # Every element, because a sample of a stream misses how full its nodes are.
        taken: Any = self._store.memory_usage(_LEDGER, samples=0)
        return Ledger(int(self._store.xlen(_LEDGER)), int(taken or 0))

    def wait_until_free(self) -> None:
        """Wait until nothing is held any more. Raises BenchFailed when something stays."""
        until_s = time.monotonic() + _SETTLED_S
        while (held := self._store.hlen(_HELD)) and time.monotonic() < until_s:
            time.sleep(0.2)
        if held:
            raise BenchFailed(f"{held} fields of {_HELD} are left after all calls have ended")

    def _tick(self) -> None:
        self._watch.tick()
        if time.monotonic() - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            self.looks.append(self._look())

    def _look(self) -> Look:
        sizes: dict[int, int] = {}
        for pid in (pid for group in self._system.groups().values() for pid in group):
            # The store forks to rewrite its file; such a fork ends by itself.
            with suppress(BenchFailed):
                (sizes[pid],) = pss_bytes([pid])
        info: Any = self._store.info("memory")
        names = {pid: self._name(pid) for pid in sizes}
        return Look(
            {names[pid]: size for pid, size in sizes.items()},
            int(self._store.dbsize()),
            int(info["used_memory"]),
        )

    def _name(self, pid: int) -> str:
        """Return a process's part, with a number where a part has several."""
        if (name := self._names.get(pid)) is None:
            part = _part(described(pid))
            others = sum(each.partition(" ")[0] == part for each in self._names.values())
            name = self._names[pid] = f"{part} {others + 1}" if others else part
        return name


def _part(description: str) -> str:
    words = description.split()
    if words[0].startswith("valkey"):
        return Group.STORE
    if words[0].startswith("envoy"):
        return Group.ENVOY
    if "tollgate.app" in words:
        # The kernel's name comes first, and is cut after 15 bytes.
        return description.rpartition("tollgate.app ")[2].split()[0]
    return Group.SUPERVISOR


def _keys(url: str) -> dict[Kind, str]:
    """Make the keys of the calls: one whose limit refuses, one that everything else has."""
    head = {"authorization": f"Bearer {MASTER}"}
    made = {}
    with httpx.Client(base_url=url, headers=head, timeout=30) as client:
        for name, limits in (
            ("all", {"rpm_limit": 10**8, "tpm_limit": 10**10, "max_budget": 10**6}),
            ("few", {"rpm_limit": 60}),
        ):
            reply = client.post("/key/generate", json={"key_alias": name, **limits})
            if not reply.is_success:
                raise BenchFailed(f"/key/generate answered {reply.status_code}: {reply.text}")
            made[name] = str(reply.json()["key"])
    return {kind: made["few" if kind is Kind.REFUSED else "all"] for kind in Kind}


def _configuration(provider_url: str) -> str:
    """Three models, and a budget for each customer, who are not registered."""
    models = {
        "gpt-4o": "openai/gpt-4o",
        "gpt-4o-mini": "openai/gpt-4o-mini",
        "embed": "openai/text-embedding-3-small",
    }
    parameters = {"api_base": f"{provider_url}/v1", "api_key": "provider-key"}
    return json.dumps(
        {
            "model_list": [
                {"model_name": name, "litellm_params": {"model": model, **parameters}}
                for name, model in models.items()
            ],
            "general_settings": {"master_key": MASTER},
            "litellm_settings": {"max_end_user_budget": 1000},
        }
    )


def main(
    seconds: Annotated[float, typer.Option(min=20, help="of mixed traffic")] = 600,
    customers: Annotated[int, typer.Option(min=1, help="how many there are")] = 100_000,
    part: Annotated[float, typer.Option(help="of the capacity")] = 0.5,
    mode: Annotated[str, typer.Option(help="how Envoy talks to Tollgate")] = "grpc",
    out: Annotated[Path, typer.Option(help="the file of results")] = RESULTS,
) -> None:
    """Call for a long time, and fail when something grows without bound."""
    guarded("soak", lambda console: _soak(console, seconds, customers, part, mode, out))


def _soak(
    console: Console, seconds: float, customers: int, part: float, mode: str, out: Path
) -> None:
    notes = [note for note in (load_note(),) if note]
    about = machine()
    with tempfile.TemporaryDirectory(prefix="tollgate-soak-") as name, ExitStack() as stack:
        folder = Path(name)
        provider = stack.enter_context(mock_provider(folder))
        file = folder / "tollgate.yaml"
        file.write_text(_configuration(provider.url), encoding="utf-8")
        system = stack.enter_context(tollgate(folder, file, mode))
        (folder / "keys.json").write_text(json.dumps(_keys(system.url)), encoding="utf-8")
        store = stack.enter_context(Valkey.from_url(embedded_store_url(system.groups())))
        watch = stack.enter_context(Watch(console, 3))
        soak = Soak(system, store, folder, watch)
        watch.begin(f"every one of {customers:,} customers calls")
        told = soak.call(customers, "--json-only", f"--count={customers}", "--seconds=600",
                         seconds=600)  # fmt: skip
        watch.end(f"{customers / told['seconds']:,.0f}/s")
        watch.begin("mixed traffic, as much as there can be")
        told = soak.call(customers, f"--seconds={_CAPACITY_S}", seconds=_CAPACITY_S)
        capacity = sum(told["ended"].values()) / told["seconds"]
        watch.end(f"{capacity:,.0f}/s")
        rate = capacity * part
        mark_s = min(_MARK_S, seconds / 4)
        watch.begin(f"mixed traffic, {rate:,.0f}/s for {seconds:,.0f} s")
        soak.looks.clear()
        said, first, ledgers = _mixed(soak, customers, rate, seconds, mark_s)
        watch.end(f"{sum(said['ended'].values()):,} calls")
        soak.wait_until_free()
        grown = list(compared(first, soak.looks, ledgers, said))
    table = soak_table(grown)
    print_table(console, table)
    setting = (
        f"mode {mode}, {rate:,.0f} calls a second ({part:.0%} of the capacity) for"
        f" {seconds:,.0f} s after {mark_s:,.0f} s; {customers:,} customers"
    )
    ledger = (
        f"{ledgers[1].records:,} records at the end, {ledgers[1].bytes / ledgers[1].records:.0f}"
        " bytes each; the store keeps an hour of them"
    )
    about += [("Setting", setting), ("Calls", _counts(said["ended"])), ("Ledger", ledger)]
    replace_section(out, "soak", _document(about, notes, table))
    console.print(f"written to {out.name}")
    if broken := [each.name for each in grown if not each.kept]:
        raise BenchFailed(f"grew beyond its bound: {', '.join(broken)}")


def _mixed(
    soak: Soak, customers: int, rate: float, seconds: float, mark_s: float
) -> tuple[dict[str, Any], list[Look], tuple[Ledger, Ledger]]:
    """Call at a rate up to the first mark, and then until the end."""
    options = (f"--rate={rate}", f"--part={mark_s}")
    begin = soak.call(customers, *options, f"--seconds={mark_s}", seconds=mark_s)
    first, before = list(soak.looks), soak.ledger()
    rest = soak.call(customers, *options, f"--seconds={seconds}", seconds=seconds)
    after = soak.ledger()
    said = {**rest, "first": begin["first"], "last": rest["last"]}
    return said, first, (before, after)


def _counts(ended: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(ended.items()))


def _document(about: Sequence[tuple[str, str]], notes: Sequence[str], table: Table) -> str:
    lines = ["## Ten minutes at half of capacity", "", "Written by `make soak`.", ""]
    lines += [f"- {name}: {value}" for name, value in about]
    lines += [f"- Note: {note}" for note in notes]
    return "\n".join([*lines, "", markdown(table)])


if __name__ == "__main__":
    typer.run(main)
