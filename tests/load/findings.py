"""What a benchmark found, and the figures of which a bound is asked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.load.callers import Who
from tests.load.proc import GATEWAY, TOLLGATE, Group
from tests.load.rounds import Sample, Series
from tests.load.scenarios import (
    ALL_LIMITS,
    JSON_1,
    JSON_32,
    JSON_BY_CLIENTS,
    KEY_LIMITED,
    UNLIMITED,
)
from tests.load.stats import Line, Spread, fitted, spread
from tests.load.streams import Memory
from tests.load.systems import ENVOY_ALONE

BYTES_A_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that was measured.

    `limits`: how many limits each caller of a system meets. `sse`: the name of the streams'
    scenario.
    """

    series: tuple[Series, ...]
    limits: Mapping[str, Mapping[Who, int]]
    sse: str
    memory: Mapping[str, Memory]
    notes: tuple[str, ...] = ()

    @property
    def gateways(self) -> tuple[str, ...]:
        """The systems that are Tollgate, in their order."""
        return tuple(self.limits)

    def find(self, scenario: str, system: str) -> Series | None:
        """The series of one scenario on one system."""
        return next(
            (
                each
                for each in self.series
                if (each.scenario.name, each.system) == (scenario, system)
            ),
            None,
        )

    def over_alone(self, series: Series, value: Callable[[Sample], float]) -> Spread | None:
        """A figure as a multiple of Envoy alone's, round by round; None: Envoy alone
        was not asked.
        """
        alone = self.find(series.scenario.name, ENVOY_ALONE)
        if alone is None or series.system == ENVOY_ALONE:
            return None
        return spread(
            value(mine) / value(its)
            for mine, its in zip(series.samples, alone.samples, strict=True)
        )

    def tollgate_us(self, scenario: str, system: str) -> Spread | None:
        """Tollgate's own CPU time for one request or reply."""
        series = self.find(scenario, system)
        return None if series is None else series.cost_us(TOLLGATE)

    def rps(self, system: str) -> Spread | None:
        """Throughput at 32 clients."""
        series = self.find(JSON_32.name, system)
        return None if series is None else series.of(lambda sample: sample.load.rps)

    def rps_by_clients(self, system: str) -> list[tuple[int, Spread]]:
        """Throughput of the small JSON call by the number of clients, in their order."""
        found = (
            (clients, self.find(each.name, system)) for clients, each in JSON_BY_CLIENTS.items()
        )
        return [
            (clients, series.of(lambda sample: sample.load.rps))
            for clients, series in found
            if series is not None
        ]

    def p99_ms(self, system: str) -> Spread | None:
        """The 99th percentile of latency at one client."""
        series = self.find(JSON_1.name, system)
        return None if series is None else series.of(lambda sample: sample.load.p99_us / 1000)

    def added_ms(self, system: str) -> Spread | None:
        """What the gateway adds to Envoy alone's median latency at one client, round by round."""
        mine, alone = self.find(JSON_1.name, system), self.find(JSON_1.name, ENVOY_ALONE)
        if mine is None or alone is None:
            return None
        pairs = zip(mine.samples, alone.samples, strict=True)
        return spread((its.load.p50_us - bare.load.p50_us) / 1000 for its, bare in pairs)

    def store_line(self, system: str) -> Line | None:
        """The store's CPU time for a request (us) by how many limits it meets."""
        return fitted([(limits, cost.median) for limits, cost in self.store_costs(system)])

    def store_costs(self, system: str) -> Iterator[tuple[int, Spread]]:
        """The store's CPU time for a request (us) of each caller that passes, with how many limits
        it meets.
        """
        for scenario in (UNLIMITED, KEY_LIMITED, JSON_32, ALL_LIMITS):
            if (series := self.find(scenario.name, system)) is not None:
                yield self.limits[system][scenario.who], series.cost_us((Group.STORE,))

    def store_us(self, system: str) -> Spread | None:
        """The store's CPU time for a request that meets eight limits."""
        series = self.find(JSON_32.name, system)
        return None if series is None else series.cost_us((Group.STORE,))

    def tollgate_mb(self, system: str) -> Spread | None:
        """The PSS of all processes of Tollgate's own before the streams open."""
        memory = self.memory.get(system)
        if memory is None:
            return None
        return spread(
            [
                sum(sum(memory.idle[group]) for group in TOLLGATE if group in memory.idle)
                / BYTES_A_MB
            ]
        )

    def worker_mb(self, system: str) -> Spread | None:
        """The PSS of the largest worker with the streams open."""
        memory = self.memory.get(system)
        return None if memory is None else spread([max(memory.open[Group.WORKERS]) / BYTES_A_MB])


def gateway_us(sample: Sample) -> float:
    """The CPU time of a gateway as a whole."""
    return sample.cost_us(GATEWAY)
