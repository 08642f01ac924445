"""Runs scenarios over several systems in turn (A B A B, so that what else the machine does hits all
alike), and counts what each request cost.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.load.callers import Callers, Who
from tests.load.errors import BenchFailed
from tests.load.generators import Load
from tests.load.proc import Group, Groups, cpu_us
from tests.load.scenarios import Length, Scenario
from tests.load.stats import Spread, spread
from tests.load.systems import System
from tests.load.watch import Watch

# Settlement comes after the reply: the access log is flushed every 200 ms. It belongs to the run
# that caused it.
SETTLE_S = 0.5
# A refused run may have as many replies of another kind: the calls that its limit allows, and what
# was in flight at the end.
_STRAY = 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: what the generator saw, and the CPU time of each group for one of the scenario's
    unit (us).
    """

    load: Load
    cpu_us: Mapping[Group, float]

    def cost_us(self, groups: Iterable[Group]) -> float:
        """The CPU time of several groups together."""
        return sum(self.cpu_us.get(group, 0.0) for group in groups)


@dataclass(frozen=True, slots=True)
class Series:
    """One scenario on one system, a sample a round."""

    scenario: Scenario
    system: str
    samples: tuple[Sample, ...]

    def of(self, value: Callable[[Sample], float]) -> Spread:
        """A figure over the rounds."""
        return spread(value(each) for each in self.samples)

    def cost_us(self, groups: Iterable[Group]) -> Spread:
        """The CPU time of some groups for one of the unit."""
        wanted = tuple(groups)
        return self.of(lambda sample: sample.cost_us(wanted))


@dataclass(frozen=True, slots=True)
class Side:
    """A system under test with its callers."""

    system: System
    callers: Callers


Run = tuple[Scenario, Side]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs have in common."""

    folder: Path
    provider: System
    length: Length
    watch: Watch

    def series(self, runs: Sequence[Run]) -> list[Series]:
        """All of these in interleaved rounds.

        Raises BenchFailed when replies are not what they must be.
        """
        found: list[list[Sample]] = [[] for _ in runs]
        for run in runs:
            self._warm_up(*run)
        for number in range(self.length.rounds):
            for samples, (scenario, side) in zip(found, runs, strict=True):
                self.watch.begin(
                    f"{scenario.name} · {side.system.name} · round {number + 1} of"
                    f" {self.length.rounds}"
                )
                samples.append(self._sample(scenario, side))
                self.watch.end(_shown(samples[-1]))
        return [
            Series(scenario, side.system.name, tuple(samples))
            for (scenario, side), samples in zip(runs, found, strict=True)
        ]

    def _warm_up(self, scenario: Scenario, side: Side) -> None:
        """One short run that is not counted: connections, caches, the allowance of a limit that is
        to refuse.
        """
        short = replace(self.length, seconds=1, sse_clients=4, sse_turns=1)
        headers = tuple(
            (name, "20" if name == "x-mock-chunks" else value) for name, value in scenario.headers
        )
        target = replace(scenario, headers=headers).target(
            side.system.url, side.callers.who[scenario.who], self.folder
        )
        self.watch.begin(f"{scenario.name} · {side.system.name} · warming up")
        scenario.run(target, short, self.watch.tick)
        time.sleep(SETTLE_S)

    def _sample(self, scenario: Scenario, side: Side) -> Sample:
        target = scenario.target(side.system.url, side.callers.who[scenario.who], self.folder)
        groups = self._groups(side)
        before, load_before_us = cpu_us(groups), _children_us()
        load = scenario.run(target, self.length, self.watch.tick)
        load_us = _children_us() - load_before_us
        time.sleep(SETTLE_S)
        after = cpu_us(groups)
        if self._groups(side) != groups:
            raise BenchFailed(
                f"{scenario.name} on {side.system.name}: processes came or went, so their CPU time"
                " is not known"
            )
        _check(scenario, side, load)
        used = {group: (after[group] - before[group]) / load.requests for group in groups}
        return Sample(load, {**used, Group.LOAD: load_us / load.requests})

    def _groups(self, side: Side) -> Groups:
        return {**side.system.groups(), **self.provider.groups()}


def _check(scenario: Scenario, side: Side, load: Load) -> None:
    """A figure of failures is no figure."""
    refusing = scenario.who in (Who.REFUSED, Who.WRONG_KEY)
    odd = load.requests - load.refused if refusing else load.refused
    bound = load.requests * _STRAY if refusing else 0
    if load.requests == 0 or load.failed or odd > bound:
        raise BenchFailed(
            f"{scenario.name} on {side.system.name}: of {load.requests} replies {load.refused} were"
            f" refused, and {load.failed} requests failed, which is not what this scenario is about"
        )


def _children_us() -> float:
    """The CPU time of the programs that we started and that have ended: between two calls, the load
    generator alone.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1_000_000


def _shown(sample: Sample) -> str:
    load = sample.load
    return f"{load.rps:,.0f}/s · p50 {load.p50_us / 1000:.2f} ms · p99 {load.p99_us / 1000:.2f} ms"
