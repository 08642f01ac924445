"""`make bench-cluster`: what a request costs on one server and on a cluster of three primaries, and
what a second node of a cluster takes from the first.

Both gateways of a mode run at the same time and are measured in turn, on servers with the same
settings, so what the cluster costs is a ratio of rounds that follow each other.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tests.load import generators
from tests.load.bench import RESULTS, ready_for_load
from tests.load.callers import Caller, Callers, make_callers, make_organization_callers
from tests.load.command import guarded
from tests.load.errors import BenchFailed
from tests.load.machine import load_generators, load_note, machine
from tests.load.proc import Group, cpu_us
from tests.load.rounds import SETTLE_S, Bench, Series, Side
from tests.load.scenarios import (
    IDLE,
    JSON_1,
    JSON_32,
    KEY_LIMITED,
    SHARED_1,
    SHARED_32,
    UNLIMITED,
    WITHIN_32,
    Length,
    Scenario,
)
from tests.load.stats import Spread, spread
from tests.load.systems import System, configuration, mock_provider, tollgate
from tests.load.tables import Table, figure, markdown, print_table, replace_section, shown, times
from tests.load.watch import Watch
from tests.many_servers import Server, cluster, data_server, free_ports

from tollgate.adapters.valkey.connection.cluster_pipe import SLOTS, slot_of_key
from tollgate.adapters.valkey.keys import organization_keys

MODES = ("grpc", "native")
ONE, CLUSTER = "one server", "cluster"
_AT_ONCE = (UNLIMITED, KEY_LIMITED, JSON_32, WITHIN_32, SHARED_32)
_ALONE = (JSON_1, SHARED_1)
MOST_TIMES, MOST_ADDED_MS = 1.3, 0.3
"""What a cluster may cost: so many times the store's CPU, and so much latency at one client."""
_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Measured:
    """One scenario on one store, which takes `idle_us` of CPU time a second when nobody calls."""

    series: Series
    idle_us: float

    @property
    def store_us(self) -> list[float]:
        """The CPU time of all nodes for a request, without what they take anyway, by round."""
        return [
            each.cost_us((Group.STORE,))
            - self.idle_us * (each.load.seconds + SETTLE_S) / each.load.requests
            for each in self.series.samples
        ]

    @property
    def p50_ms(self) -> list[float]:
        """The median latency, by round."""
        return [each.load.p50_us / 1000 for each in self.series.samples]


@dataclass(frozen=True, slots=True)
class Pair:
    """One scenario in one mode, on one server and on a cluster, in the same rounds."""

    mode: str
    one: Measured
    cluster: Measured

    @property
    def scenario(self) -> Scenario:
        """What was done."""
        return self.one.series.scenario

    @property
    def times(self) -> Spread:
        """How many times the CPU time of one server the cluster's nodes take."""
        both = zip(self.cluster.store_us, self.one.store_us, strict=True)
        return spread(many / single for many, single in both)

    @property
    def added_ms(self) -> Spread:
        """What the cluster adds to the median latency."""
        both = zip(self.cluster.p50_ms, self.one.p50_ms, strict=True)
        return spread(many - single for many, single in both)


@dataclass(frozen=True, slots=True)
class Share:
    """What one run of two organizations took: requests a second, and each node's CPU time (us) for
    a request of either.
    """

    rps: float
    node_us: tuple[float, ...]


def cpu_table(pairs: Sequence[Pair]) -> Table:
    """The store's CPU time for a request."""
    rows = [
        (
            each.scenario.name,
            each.mode,
            shown(spread(each.one.store_us)),
            shown(spread(each.cluster.store_us)),
            shown(each.times, form=times),
            _kept(each.times.median, MOST_TIMES),
        )
        for each in pairs
    ]
    columns = ("load", "mode", "one server, us", "cluster, us", "times", "kept")
    idle = {
        name: figure(spread(found).median / 1000)
        for name, found in (
            ("one server", [each.one.idle_us for each in pairs]),
            ("the cluster", [each.cluster.idle_us for each in pairs]),
        )
    }
    note = "What nodes take when nobody calls is not in it: " + ", ".join(
        f"{name} {ms} ms a second" for name, ms in idle.items()
    )
    title = "Store CPU for a request, all nodes together"
    return Table(title, columns, tuple(rows), f"{note}.")


def latency_table(pairs: Sequence[Pair]) -> Table:
    """The median latency of one client."""
    rows = [
        (
            each.scenario.name,
            each.mode,
            shown(spread(each.one.p50_ms)),
            shown(spread(each.cluster.p50_ms)),
            shown(each.added_ms),
            _kept(each.added_ms.median, MOST_ADDED_MS),
        )
        for each in pairs
    ]
    columns = ("load", "mode", "one server, p50 ms", "cluster, p50 ms", "added ms", "kept")
    return Table("Latency at one client", columns, tuple(rows))


def nodes_table(shares: Mapping[int, Sequence[Share]]) -> Table:
    """What each node does of the calls of two organizations, by how many nodes there are."""
    busiest = {
        nodes: spread(max(each.node_us) for each in found) for nodes, found in shares.items()
    }
    rows = [
        (
            str(nodes),
            shown(spread(each.rps for each in found)),
            *(
                shown(spread(sorted(each.node_us, reverse=True)[place] for each in found))
                if place < nodes
                else ""
                for place in range(max(shares))
            ),
            times(busiest[min(shares)].median / busiest[nodes].median),
        )
        for nodes, found in shares.items()
    ]
    names = [f"node {number + 1}, us" for number in range(max(shares))]
    columns = ("nodes", "requests a second", *names, "requests a busy node carries")
    note = (
        "Requests a second are bound by the machine, which the gateway and the clients share with"
        " all nodes. What a second node buys is what it takes from the first."
    )
    return Table("Two organizations on one node and on two", columns, tuple(rows), note)


def _kept(found: float, most: float) -> str:
    return f"{'yes' if found <= most else 'NO'} (<= {most:g})"


@contextmanager
def _one_server(folder: Path) -> Iterator[tuple[str, list[Server]]]:
    server = data_server(folder, free_ports(1)[0])
    try:
        server.start()
        yield f"valkey://127.0.0.1:{server.port}", [server]
    finally:
        server.kill()


@contextmanager
def _cluster(folder: Path, primaries: int) -> Iterator[tuple[str, list[Server]]]:
    with cluster(folder, primaries=primaries) as found:
        yield found.url, found.servers


def _gateway(stack: ExitStack, folder: Path, provider: str, mode: str, primaries: int) -> Side:
    """Start a gateway on a cluster of so many primaries; 0: on one server, which is no cluster."""
    folder = folder / f"{mode}-{primaries}"
    folder.mkdir(parents=True)
    made = _cluster(folder / "store", primaries) if primaries else _one_server(folder / "store")
    url, servers = stack.enter_context(made)
    file = folder / "tollgate.yaml"
    file.write_text(configuration(provider), encoding="utf-8")
    system = stack.enter_context(tollgate(folder, file, mode, "--redis-url", url))
    beside = tuple(_node(each) for each in servers)
    named = replace(system, name=f"{mode}, {CLUSTER if primaries else ONE}", beside=beside)
    callers = make_callers(system.url)
    callers = Callers(callers.who | make_organization_callers(system.url), callers.notes)
    return Side(named, callers)


def _node(server: Server) -> System:
    assert server.process is not None
    return System(f"node {server.port}", "", server.process.pid, Group.STORE)


def measure_pairs(bench: Bench, sides: Mapping[str, tuple[Side, Side]]) -> list[Pair]:
    """Measure each scenario in each mode; rounds of all that is compared follow each other."""
    every = [side for both in sides.values() for side in both]
    idle = [
        each.cost_us((Group.STORE,)).median
        for each in bench.series([(IDLE, side) for side in every])
    ]
    pairs = []
    for scenario in (*_AT_ONCE, *_ALONE):
        found = list(map(Measured, bench.series([(scenario, side) for side in every]), idle))
        pairs += [
            Pair(mode, found[2 * number], found[2 * number + 1])
            for number, mode in enumerate(sides)
        ]
    return pairs


def measure_nodes(bench: Bench, sides: Mapping[int, Side]) -> dict[int, list[Share]]:
    """Measure two organizations, whose slots two nodes share, by how many nodes there are."""
    callers = {nodes: _two_organizations(side.system.url) for nodes, side in sides.items()}
    shares: dict[int, list[Share]] = {nodes: [] for nodes in sides}
    for number in range(bench.length.rounds):
        for nodes, side in sides.items():
            bench.watch.begin(f"two organizations · nodes: {nodes} · round {number + 1}")
            share = _share(bench, side, callers[nodes])
            shares[nodes].append(share)
            bench.watch.end(f"{share.rps:,.0f}/s")
    return shares


def _two_organizations(url: str) -> list[Caller]:
    """Return callers of two organizations whose slots are in different halves of all."""
    names: dict[bool, str] = {}
    for number in range(SLOTS):
        name = f"half-{number}"
        names.setdefault(slot_of_key(organization_keys(name)[0]) < SLOTS // 2, name)
        if len(names) == 2:
            break
    return [make_organization_callers(url, name)[WITHIN_32.who] for name in names.values()]


def _share(bench: Bench, side: Side, callers: Sequence[Caller]) -> Share:
    nodes = [each.pid for each in side.system.beside]
    targets = []
    for number, caller in enumerate(callers):
        folder = bench.folder / f"organization-{number}"
        folder.mkdir(exist_ok=True)
        targets.append(WITHIN_32.target(side.system.url, caller, folder))
    seconds = bench.length.seconds
    before = _cpu_us(nodes)
    with ThreadPoolExecutor(len(targets)) as pool:
        loads = list(
            pool.map(
                lambda target: generators.wrk(target, _CLIENTS, seconds, bench.watch.tick), targets
            )
        )
    time.sleep(SETTLE_S)
    after = _cpu_us(nodes)
    if any(each.failed or each.refused for each in loads):
        raise BenchFailed("calls of two organizations were refused or failed")
    requests = sum(each.requests for each in loads)
    used = tuple((end - begin) / requests for begin, end in zip(before, after, strict=True))
    return Share(sum(each.rps for each in loads), used)


def _cpu_us(pids: Sequence[int]) -> list[int]:
    return [cpu_us({Group.STORE: (pid,)})[Group.STORE] for pid in pids]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="interleaved rounds of each scenario")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="of each run")] = 4,
    mode: Annotated[list[str] | None, typer.Option(help="modes to measure; default all")] = None,
    out: Annotated[Path, typer.Option(help="the file of results")] = RESULTS,
) -> None:
    """Measure what a cluster costs, and what its second node buys."""
    length = Length(rounds, seconds)
    guarded("bench", lambda console: _bench(console, length, mode or list(MODES), out))


def _bench(console: Console, length: Length, modes: Sequence[str], out: Path) -> None:
    ready_for_load()
    notes = [note for note in (load_note(),) if note]
    about = [*machine(), load_generators()]
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        provider = stack.enter_context(mock_provider(folder))
        runs = len((IDLE, *_AT_ONCE, *_ALONE)) * 2 * len(modes) + 2
        watch = stack.enter_context(Watch(console, runs * length.rounds))
        for note in notes:
            watch.say(f"note: {note}")
        bench = Bench(folder, provider, length, watch)
        with ExitStack() as gateways:
            sides = {
                mode: (
                    _gateway(gateways, folder, provider.url, mode, 0),
                    _gateway(gateways, folder, provider.url, mode, 3),
                )
                for mode in modes
            }
            pairs = measure_pairs(bench, sides)
        with ExitStack() as gateways:
            shares = measure_nodes(
                bench,
                {
                    nodes: _gateway(gateways, folder / "nodes", provider.url, modes[-1], nodes)
                    for nodes in (1, 2)
                },
            )
    at_once = [each for each in pairs if each.scenario in _AT_ONCE]
    alone = [each for each in pairs if each.scenario in _ALONE]
    found = [cpu_table(at_once), latency_table(alone), nodes_table(shares)]
    for table in found:
        print_table(console, table)
    replace_section(out, "cluster", _document(about, length, notes, found))
    console.print(f"written to {out.name}")


def _document(
    about: Sequence[tuple[str, str]], length: Length, notes: Sequence[str], found: Sequence[Table]
) -> str:
    lines = ["## One server and a cluster", "", "Written by `make bench-cluster`.", ""]
    setting = f"{length.rounds} interleaved rounds of {length.seconds} s; three primaries"
    lines += [f"- {name}: {value}" for name, value in (*about, ("Setting", setting))]
    lines += [f"- Note: {note}" for note in notes]
    return "\n".join([*lines, "", *map(markdown, found)])


if __name__ == "__main__":
    typer.run(main)
