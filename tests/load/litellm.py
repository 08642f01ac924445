"""`make bench-litellm`: LiteLLM on the same file, with the same provider, in an environment that is
thrown away afterwards.

It is measured before any limit: without a database it has no keys, so its master key calls.
Tollgate checks every scope meanwhile.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tests.load import systems
from tests.load.bench import MODES, RESULTS, ready_for_load, sides
from tests.load.callers import anybody
from tests.load.command import guarded
from tests.load.findings import gateway_us
from tests.load.machine import load_generators, load_note, machine
from tests.load.proc import GATEWAY, TOLLGATE, Group
from tests.load.programs import Tick, run_bounded
from tests.load.rounds import Bench, Series, Side
from tests.load.scenarios import JSON_1, JSON_32, UNLIMITED, Length
from tests.load.stats import Spread, spread
from tests.load.tables import Table, markdown, print_table, replace_section, shown, times
from tests.load.watch import Watch

_SCENARIOS = (JSON_1, JSON_32, UNLIMITED)
_INSTALL_S = 900
# How many times less CPU a request must take than LiteLLM's.
_ASKED = {"grpc": 10, "native": 60}


def main(
    rounds: Annotated[int, typer.Option(min=1, help="interleaved rounds of each scenario")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="of each run")] = 10,
    mode: Annotated[list[str] | None, typer.Option(help="modes to measure; default all")] = None,
    program: Annotated[
        Path | None, typer.Option(help="a litellm that is installed already")
    ] = None,
    out: Annotated[Path, typer.Option(help="the file of results")] = RESULTS,
) -> None:
    """Compare with LiteLLM."""
    length = Length(rounds, seconds)
    guarded("bench", lambda console: _compare(console, length, mode or list(MODES), program, out))


def _compare(
    console: Console, length: Length, modes: Sequence[str], program: Path | None, out: Path
) -> None:
    ready_for_load()
    notes = [note for note in (load_note(),) if note]
    about = [*machine(), load_generators()]
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        watch = stack.enter_context(
            Watch(console, len(_SCENARIOS) * (len(modes) + 1) * length.rounds)
        )
        if program is None:
            program = _installed(folder / "venv", watch)
        about.append(("LiteLLM", _version(program, watch.tick)))
        provider, gateways, _ = stack.enter_context(sides(folder, modes, notes))
        file = folder / "tollgate.yaml"
        watch.begin("starting LiteLLM")
        other = Side(
            stack.enter_context(systems.litellm(folder, file, program.absolute())),
            anybody(systems.MASTER),
        )
        for note in notes:
            watch.say(f"note: {note}")
        bench = Bench(folder, provider.system, length, watch)
        found = [
            bench.series([(scenario, side) for side in (*gateways, other)])
            for scenario in _SCENARIOS
        ]
    table = comparison(found)
    print_table(console, table)
    replace_section(out, "litellm", _document(about, length, notes, table))
    console.print(f"written to {out.name}")


def _installed(place: Path, watch: Watch) -> Path:
    """A fresh environment with LiteLLM's proxy. Raises BenchFailed when it cannot be had."""
    watch.begin("installing LiteLLM in an environment of its own, which takes minutes")
    run_bounded([sys.executable, "-m", "venv", str(place)], 60, watch.tick)
    pip = [
        str(place / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]
    run_bounded([*pip, "litellm[proxy]"], _INSTALL_S, watch.tick)
    return place / "bin" / "litellm"


def _version(program: Path, tick: Tick) -> str:
    ask = "from importlib.metadata import version; print(version('litellm'))"
    return run_bounded([str(program.absolute().parent / "python"), "-c", ask], 30, tick).strip()


def comparison(found: Sequence[Sequence[Series]]) -> Table:
    """Each scenario on Tollgate and LiteLLM, and how many times less CPU and how many times more
    requests that is.
    """
    rows = []
    for each in found:
        *gateways, other = each
        rows += [_row(series, other) for series in gateways]
        rows.append((*_measured(other), *[""] * 5))
    columns = (
        "load", "system", "a second", "p50 ms", "CPU us a request", "times less CPU",
        "Tollgate's own: us", "times less", "times the rate", "kept"
    )  # fmt: skip
    note = (
        "CPU: of the gateway as a whole, Tollgate's with Envoy and the store; then of Tollgate's"
        " own processes. LiteLLM: master key, no limits, no database."
    )
    return Table("Tollgate and LiteLLM", columns, tuple(rows), note)


def _row(series: Series, other: Series) -> tuple[str, ...]:
    less, own_less = _paired(other, series, GATEWAY), _paired(other, series, TOLLGATE)
    mode = series.system.rpartition(" ")[2]
    verdict = (
        f"{'yes' if less.median >= _ASKED[mode] else 'NO'} (>= {_ASKED[mode]})"
        if series.scenario is JSON_32
        else ""
    )
    own, faster = shown(series.cost_us(TOLLGATE)), times(_faster(series, other).median)
    return (*_measured(series), times(less.median), own, times(own_less.median), faster, verdict)


def _measured(series: Series) -> tuple[str, ...]:
    return (
        series.scenario.name,
        series.system,
        shown(series.of(lambda sample: sample.load.rps)),
        shown(series.of(lambda sample: sample.load.p50_us), 1000),
        shown(series.of(gateway_us)),
    )


def _paired(other: Series, series: Series, groups: Sequence[Group]) -> Spread:
    """How many times less CPU some groups of ours take than all of LiteLLM."""
    pairs = zip(other.samples, series.samples, strict=True)
    return spread(gateway_us(its) / mine.cost_us(groups) for its, mine in pairs)


def _faster(series: Series, other: Series) -> Spread:
    return spread(
        mine.load.rps / its.load.rps
        for mine, its in zip(series.samples, other.samples, strict=True)
    )


def _document(
    about: list[tuple[str, str]], length: Length, notes: Sequence[str], table: Table
) -> str:
    lines = ["## Tollgate against LiteLLM", "", "Written by `make bench-litellm`.", ""]
    lines += [f"- {name}: {value}" for name, value in about]
    lines.append(f"- Setting: {length.rounds} interleaved rounds of {length.seconds} s")
    lines += [f"- Note: {note}" for note in notes]
    return "\n".join([*lines, "", markdown(table)])


if __name__ == "__main__":
    typer.run(main)
