"""`make bench-quick`: in under a minute, the few ratios to Envoy alone that tell whether a change
made things worse than the run before it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tests.load.bench import measure, plan, ready_for_load, sides
from tests.load.command import guarded
from tests.load.findings import Findings, gateway_us
from tests.load.proc import TOLLGATE, Group
from tests.load.reader import reader_us_per_event
from tests.load.rounds import Bench, Sample, Series
from tests.load.scenarios import JSON_1, JSON_32, REFUSED, Length, sse
from tests.load.stats import Spread, spread
from tests.load.systems import ENVOY_ALONE
from tests.load.tables import Table, print_table, shown
from tests.load.watch import Watch

_LENGTH = Length(rounds=3, seconds=1, sse_chunks=100, sse_turns=1)
# In the folder that `make run` keeps its state in too: git does not see it.
_LAST_RUN = Path(__file__).parents[2] / ".tollgate" / "bench-quick.json"


def main(mode: Annotated[str, typer.Option(help="how Envoy talks to Tollgate")] = "grpc") -> None:
    """Compare with Envoy alone, and with the run before."""
    guarded("bench", lambda console: _quick(console, mode))


def _quick(console: Console, mode: str) -> None:
    ready_for_load()
    notes: list[str] = []
    chosen = ((JSON_1,), (JSON_32, REFUSED), (sse(_LENGTH),))
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        provider, gateways, alone = stack.enter_context(sides(folder, (mode,), notes))
        planned = plan(chosen, gateways, alone)
        watch = stack.enter_context(Watch(console, sum(map(len, planned)) * _LENGTH.rounds))
        series = measure(Bench(folder, provider.system, _LENGTH, watch), planned)
    limits = {
        side.system.name: {who: each.limits for who, each in side.callers.who.items()}
        for side in gateways
    }
    figures = dict(_figures(Findings(series, limits, sse(_LENGTH).name, {})))
    figures["usage reader, an SSE event (us)"] = reader_us_per_event()
    before = _before(mode)
    for note in notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    print_table(
        console, comparison(figures, before, f"Tollgate {mode}, as multiples of Envoy alone")
    )
    _keep(mode, figures)


def _figures(findings: Findings) -> Iterator[tuple[str, Spread]]:
    """All of them grow when things get worse."""
    system = findings.gateways[0]
    small, alone = (
        _series(findings, JSON_32.name, system),
        _series(findings, JSON_32.name, ENVOY_ALONE),
    )
    one, one_alone = (
        _series(findings, JSON_1.name, system),
        _series(findings, JSON_1.name, ENVOY_ALONE),
    )
    refused = _series(findings, REFUSED.name, system)
    stream, stream_alone = (
        _series(findings, findings.sse, system),
        _series(findings, findings.sse, ENVOY_ALONE),
    )
    yield "JSON, 32 clients: Tollgate's CPU", _ratio(small, alone, TOLLGATE)
    yield "JSON, 32 clients: Envoy's CPU", _ratio(small, alone, (Group.ENVOY,))
    yield "JSON, 32 clients: the store's CPU", _ratio(small, alone, (Group.STORE,))
    yield (
        "JSON, 32 clients: time for as many requests",
        _paired(alone, small, lambda sample: sample.load.rps),
    )
    yield (
        "JSON, 1 client: median latency",
        _paired(one, one_alone, lambda sample: sample.load.p50_us),
    )
    yield "refused, 32 clients: Tollgate's CPU", _ratio(refused, alone, TOLLGATE)
    yield "SSE: the gateway's CPU a reply", _paired(stream, stream_alone, gateway_us)


def _series(findings: Findings, scenario: str, system: str) -> Series:
    found = findings.find(scenario, system)
    assert found is not None, f"{scenario} was not measured on {system}"
    return found


def _ratio(mine: Series, alone: Series, groups: tuple[Group, ...]) -> Spread:
    """The CPU time of some groups by all that Envoy alone used."""
    return spread(
        its.cost_us(groups) / gateway_us(bare)
        for its, bare in zip(mine.samples, alone.samples, strict=True)
    )


def _paired(above: Series, below: Series, value: Callable[[Sample], float]) -> Spread:
    return spread(
        value(one) / value(other) for one, other in zip(above.samples, below.samples, strict=True)
    )


def comparison(figures: dict[str, Spread], before: dict[str, Spread], title: str) -> Table:
    """Each figure now and in the run before; a change is told only when the two runs' rounds do not
    overlap.
    """
    rows = []
    for name, now in figures.items():
        then = before.get(name)
        rows.append(
            (name, shown(now), shown(then) if then else "", _change(now, then) if then else "")
        )
    note = (
        "Less is better. Rounds that overlap with those before tell nothing: their change is in"
        " brackets."
    )
    return Table(title, ("figure", "now", "the run before", "change"), tuple(rows), note)


def _change(now: Spread, then: Spread) -> str:
    change = f"{now.median / then.median - 1:+.0%}"
    overlap = now.least <= then.most and then.least <= now.most
    return f"({change})" if overlap else change


def _before(mode: str) -> dict[str, Spread]:
    """The figures of the last run on this machine, if there was one."""
    if not _LAST_RUN.exists():
        return {}
    return {
        name: Spread(**each)
        for name, each in json.loads(_LAST_RUN.read_text()).get(mode, {}).items()
    }


def _keep(mode: str, figures: dict[str, Spread]) -> None:
    kept = json.loads(_LAST_RUN.read_text()) if _LAST_RUN.exists() else {}
    kept[mode] = {name: asdict(each) for name, each in figures.items()}
    _LAST_RUN.parent.mkdir(exist_ok=True)
    _LAST_RUN.write_text(json.dumps(kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
