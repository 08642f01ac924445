"""`make bench`: what Tollgate costs, against Envoy alone, printed as tables and written to
RESULTS.md.

It installs nothing, listens on loopback only, and ends everything that it started, also on Ctrl-C.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tests.load import generators, report, streams
from tests.load.callers import anybody, make_callers
from tests.load.command import guarded
from tests.load.errors import BenchFailed
from tests.load.findings import Findings
from tests.load.machine import load_generators, load_note, machine
from tests.load.open_files import raise_file_limit
from tests.load.proc import Group
from tests.load.reader import reader_us_per_event
from tests.load.rounds import Bench, Run, Series, Side
from tests.load.scenarios import (
    ALL_LIMITS,
    EMBEDDINGS,
    IDLE,
    JSON_32,
    JSON_BY_CLIENTS,
    JSON_LONG,
    KEY_LIMITED,
    OPEN,
    REFUSED,
    STREAM_BODY,
    UNLIMITED,
    WRONG_KEY,
    WRONG_KEY_LONG,
    Length,
    Scenario,
    sse,
    streaming_headers,
)
from tests.load.systems import System, configuration, envoy_alone, mock_provider, tollgate
from tests.load.tables import Table, markdown, print_table, replace_section, shown
from tests.load.watch import Watch

RESULTS = Path(__file__).with_name("RESULTS.md")
# The third is grpc over the other transport, which a network address gets.
MODES = ("grpc", "native", "grpcio")


def families(length: Length) -> tuple[tuple[Scenario, ...], ...]:
    """What `make bench` does under load, in its order.

    Those of one family are compared with each other, so their rounds interleave.
    """
    small = tuple(each for each in JSON_BY_CLIENTS.values() if each is not JSON_32)
    return (
        small,
        (JSON_32, ALL_LIMITS, KEY_LIMITED, UNLIMITED, REFUSED),
        (JSON_LONG,),
        (WRONG_KEY, WRONG_KEY_LONG),
        (EMBEDDINGS,),
        (OPEN,),
        (sse(length),),
        (IDLE,),
    )


@contextmanager
def sides(
    folder: Path, modes: Sequence[str], notes: list[str]
) -> Iterator[tuple[Side, list[Side], Side]]:
    """The provider, the gateways that can be started, and Envoy alone.

    A mode that cannot is a note; without any, BenchFailed.
    """
    with ExitStack() as stack:
        provider = stack.enter_context(mock_provider(folder))
        alone = stack.enter_context(envoy_alone(folder, provider.url))
        gateways, faults = [], []
        for mode in modes:
            try:
                system = stack.enter_context(_gateway(folder, provider.url, mode))
            except BenchFailed as error:
                faults.append(f"mode {mode}: not measured, {error}")
                continue
            gateways.append(Side(system, make_callers(system.url)))
        if not gateways:
            raise BenchFailed("\n".join(faults))
        notes += [*faults, *dict.fromkeys(note for side in gateways for note in side.callers.notes)]
        yield Side(provider, anybody()), gateways, Side(alone, anybody())


@contextmanager
def _gateway(folder: Path, provider_url: str, mode: str) -> Iterator[System]:
    folder = folder / mode  # a state of its own
    folder.mkdir()
    file = folder / "tollgate.yaml"
    transport = "grpcio" if mode == "grpcio" else "auto"
    file.write_text(configuration(provider_url, grpc_server=transport), encoding="utf-8")
    with tollgate(folder, file, "grpc" if mode == "grpcio" else mode) as system:
        yield replace(system, name=f"Tollgate {mode}")


def plan(
    chosen: Sequence[Sequence[Scenario]], gateways: Sequence[Side], alone: Side
) -> list[list[Run]]:
    """Each family's scenarios on every gateway, and on Envoy alone where that means something."""
    return [
        [(each, side) for each in family for side in (*gateways, *([alone] if each.alone else []))]
        for family in chosen
    ]


def measure(bench: Bench, planned: Sequence[Sequence[Run]]) -> tuple[Series, ...]:
    """One family after another."""
    return tuple(series for family in planned for series in bench.series(family))


def ready_for_load() -> None:
    """Raise BenchFailed where the machine lacks a load generator."""
    if (missing := generators.missing_programs()) is not None:
        raise BenchFailed(missing)
    raise_file_limit()


def main(
    rounds: Annotated[int, typer.Option(min=1, help="interleaved rounds of each scenario")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="of each run")] = 5,
    rate: Annotated[int, typer.Option(min=1, help="requests a second of the open-loop run")] = 300,
    chunks: Annotated[int, typer.Option(min=1, help="of a stream")] = 500,
    clients: Annotated[int, typer.Option(min=1, help="streams at once")] = 100,
    open_streams: Annotated[
        int, typer.Option(min=1, help="streams that are open while memory is read")
    ] = 2000,
    mode: Annotated[list[str] | None, typer.Option(help="modes to measure; default all")] = None,
    out: Annotated[Path, typer.Option(help="the file of results")] = RESULTS,
) -> None:
    """Measure what Tollgate costs."""
    length = Length(rounds, seconds, chunks, clients, rate=rate, open_streams=open_streams)
    guarded("bench", lambda console: _bench(console, length, mode or list(MODES), out))


def _bench(console: Console, length: Length, modes: Sequence[str], out: Path) -> None:
    ready_for_load()
    notes = [note for note in (load_note(),) if note]
    about = [*machine(), load_generators()]
    reader = reader_us_per_event()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name:
        folder = Path(name)
        with sides(folder, modes, notes) as (provider, gateways, alone):
            planned = plan(families(length), gateways, alone)
            with Watch(console, sum(map(len, planned)) * length.rounds + len(gateways)) as watch:
                for note in notes:
                    watch.say(f"note: {note}")
                bench = Bench(folder, provider.system, length, watch)
                series = measure(bench, planned)
                memory = {side.system.name: _memory(bench, side) for side in gateways}
    limits = {
        side.system.name: {who: each.limits for who, each in side.callers.who.items()}
        for side in gateways
    }
    findings = Findings(series, limits, sse(length).name, memory, tuple(notes))
    found = [
        *report.tables(findings),
        Table("Parts alone", ("part", "us"), (("usage reader, an SSE event", shown(reader)),)),
    ]
    for table in found:
        print_table(console, table)
    replace_section(out, "bench", _document(about, length, findings.notes, found))
    console.print(f"written to {out.name}")
    if cliffs := report.cliffs(findings):
        raise BenchFailed("throughput falls when clients are added:\n" + "\n".join(cliffs))


def _memory(bench: Bench, side: Side) -> streams.Memory:
    scenario = Scenario(
        f"{bench.length.open_streams:,} open streams",
        sse(bench.length).run,
        STREAM_BODY,
        headers=streaming_headers(streams.CHUNKS, streams.PACE_MS),
    )
    bench.watch.begin(f"{scenario.name} · {side.system.name}")
    target = scenario.target(side.system.url, side.callers.who[scenario.who], bench.folder)
    found = streams.measure_memory(
        side.system.groups(), target, bench.length.open_streams, bench.watch.tick
    )
    bench.watch.end(f"largest worker {max(found.open[Group.WORKERS]) / 1e6:.0f} MB")
    return found


def _document(
    about: list[tuple[str, str]], length: Length, notes: Sequence[str], found: Sequence[Table]
) -> str:
    setting = (
        f"{length.rounds} interleaved rounds of {length.seconds} s; open loop at {length.rate}"
        " requests a second"
    )
    lines = ["## Tollgate against Envoy alone", "", "Written by `make bench`.", ""]
    lines += [f"- {name}: {value}" for name, value in (*about, ("Setting", setting))]
    lines += [f"- Note: {note}" for note in notes]
    return "\n".join([*lines, "", *map(markdown, found)])


if __name__ == "__main__":
    typer.run(main)
