"""The tables of `make bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.load.findings import BYTES_A_MB, Findings, gateway_us
from tests.load.proc import Group
from tests.load.rounds import Series
from tests.load.scenarios import CLIENTS, IDLE, JSON_32, WRONG_KEY, WRONG_KEY_LONG
from tests.load.stats import Spread
from tests.load.tables import Table, figure, shown, times

_NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure with its bound: what may be at most (or must be at least) so much in each mode."""

    name: str
    grpc: float
    native: float
    measured: Callable[[Findings, str], Spread | None]
    at_least: bool = False

    def verdict(self, found: Spread, mode: str) -> str:
        """Whether the median keeps it; of grpcio nothing is asked, which serves networks at a price
        of its own.
        """
        if mode == "grpcio":
            return ""
        bound = self.native if mode == "native" else self.grpc
        kept = found.median >= bound if self.at_least else found.median <= bound
        return f"{'yes' if kept else 'NO'} ({'>=' if self.at_least else '<='} {bound:g})"


TARGETS = (
    Target("Tollgate CPU a JSON request, every scope limited (us)", 1200, 150, lambda f,
    s: f.tollgate_us(JSON_32.name, s)),
    Target("store CPU a request, 8 limits (us)", 60, 60, Findings.store_us),
    Target("added latency at 1 client, p50 (ms)", 2.5, 0.6, Findings.added_ms),
    Target("latency at 1 client, p99 (ms)", 3, 2, Findings.p99_ms),
    Target("throughput, 32 clients (requests a second)", 1000, 3000, Findings.rps, at_least=True),
    Target("Tollgate CPU an SSE reply (ms)", 90, 0.3, lambda f, s: _in_ms(f.tollgate_us(f.sse, s))),
    Target("Tollgate CPU a wrong key (us)", 100, 100, lambda f,
    s: f.tollgate_us(WRONG_KEY.name, s)),
    Target("Tollgate CPU a wrong key, body of 1 MB (us)", 100, 100, lambda f,
    s: f.tollgate_us(WRONG_KEY_LONG.name, s)),
    Target("memory of Tollgate's processes, idle (MB)", 260, 200, Findings.tollgate_mb),
    Target("memory of the largest worker, streams open (MB)", 250, 100, Findings.worker_mb),
)  # fmt: skip


def tables(findings: Findings) -> list[Table]:
    """All of them, the short one first."""
    return [
        targets(findings),
        clients(findings),
        speed(findings),
        cpu(findings),
        store(findings),
        memory(findings),
    ]


def targets(findings: Findings) -> Table:
    """The figures that have a bound."""
    rows = []
    for target in TARGETS:
        row = [target.name]
        for system in findings.gateways:
            found = target.measured(findings, system)
            mode = system.rpartition(" ")[2]
            row += (
                [_NOT_MEASURED, ""]
                if found is None
                else [shown(found), target.verdict(found, mode)]
            )
        rows.append(tuple(row))
    columns = [column for system in findings.gateways for column in (system, "kept")]
    note = (
        f"Medians of the rounds, and their least and most. SSE: {findings.sse}; what an idle"
        " gateway takes (below) is in it."
    )
    return Table("What it must cost", ("figure", *columns), tuple(rows), note)


_FALL = 0.9


def cliffs(findings: Findings) -> list[str]:
    """Name each step of clients at which throughput falls by more than a tenth.

    The best round after the step counts against the median before it, since what else the machine
    does makes single rounds slow.
    """
    found = []
    for system in findings.gateways:
        steps = findings.rps_by_clients(system)
        for (fewer, before), (more, after) in pairwise(steps):
            if after.most < _FALL * before.median:
                found.append(
                    f"{system}: {before.median:,.0f} a second with {fewer} clients, at most"
                    f" {after.most:,.0f} with {more}"
                )
    return found


def clients(findings: Findings) -> Table:
    """Throughput by the number of clients, a column a system."""
    by_system = {system: dict(findings.rps_by_clients(system)) for system in findings.gateways}
    rows = [
        (
            str(count),
            *(shown(found[count]) if count in found else "" for found in by_system.values()),
        )
        for count in CLIENTS
    ]
    note = "; ".join(cliffs(findings)) or "It falls nowhere by more than a tenth."
    return Table("Requests a second by clients", ("clients", *by_system), tuple(rows), note)


def speed(findings: Findings) -> Table:
    """Throughput and latency."""
    return Table(
        "Throughput and latency",
        ("load", "system", "a second", "p50 ms", "p90 ms", "p99 ms", "of Envoy alone"),
        tuple(
            _speed_row(findings, series)
            for series in findings.series
            if series.scenario is not IDLE
        ),
        "At a fixed rate latency counts from when a request was due.",
    )


def _speed_row(findings: Findings, series: Series) -> tuple[str, ...]:
    ratio = findings.over_alone(series, lambda sample: sample.load.rps)
    return (
        series.scenario.name,
        series.system,
        shown(series.of(lambda sample: sample.load.rps)),
        shown(series.of(lambda sample: sample.load.p50_us), 1000),
        shown(series.of(lambda sample: sample.load.p90_us), 1000),
        shown(series.of(lambda sample: sample.load.p99_us), 1000),
        times(ratio.median) if ratio is not None else "",
    )


def cpu(findings: Findings) -> Table:
    """CPU time by group."""
    used = [
        group for group in Group if any(group in each.samples[0].cpu_us for each in findings.series)
    ]
    return Table(
        "CPU time (us for one request; of streams for one reply; idle for a second)",
        ("load", "system", *used, "gateway", "of Envoy alone"),
        tuple((*_names(series), *_cpu_row(findings, series, used)) for series in findings.series),
        "Gateway: everything but the provider and the load generator. What a reply causes after it"
        " was sent, such as settlement, is in it.",
    )


def _names(series: Series) -> tuple[str, str]:
    return series.scenario.name, series.system


def _cpu_row(findings: Findings, series: Series, used: list[Group]) -> Iterator[str]:
    for group in used:
        yield figure(series.cost_us((group,)).median) if group in series.samples[0].cpu_us else ""
    yield shown(series.of(gateway_us))
    ratio = findings.over_alone(series, gateway_us)
    yield times(ratio.median) if ratio is not None else ""


def store(findings: Findings) -> Table:
    """What each limit costs the store."""
    rows = []
    for system in findings.gateways:
        rows += [
            (system, str(limits), shown(cost)) for limits, cost in findings.store_costs(system)
        ]
        if (line := findings.store_line(system)) is not None:
            rows.append((system, "each limit more", figure(line.slope)))
    return Table("Store CPU by limits", ("system", "limits", "us a request"), tuple(rows))


def memory(findings: Findings) -> Table:
    """Memory, as PSS: a page that processes share counts in parts."""
    rows = []
    for system, found in findings.memory.items():
        for group, sizes in found.open.items():
            idle = [figure(size / BYTES_A_MB) for size in found.idle[group]]
            rows.append(
                (
                    system,
                    group,
                    ", ".join(idle),
                    ", ".join(figure(size / BYTES_A_MB) for size in sizes),
                )
            )
    streams = next((f"{found.streams:,}" for found in findings.memory.values()), "no")
    return Table(
        f"Memory (PSS) with {streams} streams open",
        ("system", "group", "idle MB", "open MB"),
        tuple(rows),
    )


def _in_ms(found: Spread | None) -> Spread | None:
    return (
        None
        if found is None
        else Spread(found.median / 1000, found.least / 1000, found.most / 1000)
    )
