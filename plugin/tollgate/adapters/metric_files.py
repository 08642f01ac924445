"""Share measurements between the processes of a gateway, in the folder of its metrics.

prometheus-client's multiprocess mode uses the same folder, for counters and histograms. Here are
what it has no form for: which names may be labels, and levels of limits that come and go.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import time

from msgspec import DecodeError, structs
from msgspec.json import decode, encode
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tollgate.reporting.measuring.fullest_limits import FullLimit, nearest

# A process looks at levels every ten seconds while it serves anybody.
_STALE_AFTER_S = 60.0
_LABELS = ("scope", "name", "meter", "window", "model")


class SharedLabelNames:
    """The names that have a label of their own: of each kind so many, first come, first served.

    All processes of a gateway agree, by a file for each kind to which names are only added. Names
    stay for as long as the gateway runs, since a series in Prometheus must not change its meaning.
    """

    def __init__(self, folder: Path, most: Mapping[str, int]) -> None:
        self._folder = folder
        self._most = most
        self._names: dict[str, set[str]] = {kind: set() for kind in most}

    def claim(self, kind: str, name: str) -> bool:
        """Return whether a name has a label of its own; while there are any it gets one."""
        known = self._names[kind]
        if name not in known and len(known) < self._most[kind]:
            self._names[kind] = known = self._claimed(kind, name)
        return name in known

    def _claimed(self, kind: str, name: str) -> set[str]:
        with (self._folder / f"labels-{kind}").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            names: set[str] = {decode(line) for line in file}
            if name not in names and len(names) < self._most[kind]:
                names.add(name)
                file.write(encode(name).decode() + "\n")
        return names


class FullestLimitsFile:
    """The fullest limits that a process has found."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"fullest-{os.getpid()}.json"

    def write(self, limits: Sequence[FullLimit]) -> None:
        """Replace what this process found."""
        written = self._file.with_suffix(".new")
        written.write_bytes(encode(limits))
        written.replace(self._file)


class FullestLimitsCollector(Collector):
    """The fullest limits of those that all processes have found, for Prometheus and the console."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without series."""
        return (
            GaugeMetricFamily(
                "tollgate_limit_used_ratio",
                "How much is used of the limits that will be used up first, and of the fullest; 1"
                " where nothing is left",
                labels=_LABELS,
            ),
            GaugeMetricFamily(
                "tollgate_limit_empty_seconds",
                "Time until nothing is left of a limit at the rate of the last minutes; absent"
                " where it starts anew before, or does not fill",
                labels=_LABELS,
            ),
        )

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of now."""
        used, empty = families = tuple(self.describe())
        assert isinstance(used, GaugeMetricFamily)
        assert isinstance(empty, GaugeMetricFamily)
        told = set()
        for limit in self.nearest():
            labels = limit.scope, limit.name, limit.meter, limit.window, limit.only_for
            if labels in told:
                continue  # teams may share an alias, and series no labels
            told.add(labels)
            used.add_metric(labels, limit.share)
            if limit.empty_s is not None:
                empty.add_metric(labels, limit.empty_s)
        return families

    def nearest(self) -> list[FullLimit]:
        """Return the limits that will be used up first, and behind them the fullest others.

        Of a limit that several processes have found, the fullest is told, and when it will be used
        up if any of them knows.
        """
        found: dict[tuple[str, ...], FullLimit] = {}
        for file in self._folder.glob("fullest-*.json"):
            # A process may have ended, or be writing.
            with suppress(OSError, DecodeError):
                if time() - file.stat().st_mtime < _STALE_AFTER_S:
                    for each in decode(file.read_bytes(), type=list[FullLimit]):
                        name = each.scope, each.id, each.meter, each.window, each.only_for
                        found[name] = _fuller(each, found.get(name, each))
        return nearest(found.values(), self._most)


def _fuller(one: FullLimit, other: FullLimit) -> FullLimit:
    """Return the fuller of two looks at a limit, with the other's time if it has none."""
    fuller, emptier = (one, other) if one.used >= other.used else (other, one)
    if fuller.empty_s is None:
        return structs.replace(fuller, empty_s=emptier.empty_s)
    return fuller
