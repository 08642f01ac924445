"""Gather counts in the process, and publish them later.

They go into files that the admin server sums over the workers (prometheus-client's multiprocess
mode). Writing them immediately would cost a request 30 us. A worker that dies loses at most half a
second of counts.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from functools import lru_cache

from prometheus_client import Counter, Histogram

BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
"""Upper bounds of the buckets of a histogram, in seconds."""
OTHER = "other"
"""The label of whatever has no label of its own."""
# Clients choose names that a wildcard serves, and a series lives as long as the process.
_MOST_MODELS = 1000

gathered = asyncio.Event()
"""Set when something waits to be published: by what comes first after a publication, since to set
an event costs more than to count.
"""
labelled = lru_cache(maxsize=4096)(lambda counter, *values: counter.labels(*values))
"""Return the series of a counter with these labels."""
_counts: dict[Counter, float] = {}
_models: set[str] = set()


class Durations:
    """Durations since the last publication: counts per bucket, and their sum."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._bounds_s = histogram._upper_bounds[:-1]
        self._counts = [0] * len(histogram._upper_bounds)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        if not self._sum_s:
            gathered.set()
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self._sum_s += seconds

    def publish(self) -> int:
        """Publish and return the number of durations."""
        counts, self._counts = self._counts, [0] * len(self._counts)
        sum_s, self._sum_s = self._sum_s, 0.0
        # What `observe` does for one value; prometheus-client cannot take several at once.
        for value, times in zip(self._histogram._buckets, counts, strict=True):
            if times:
                value.inc(times)
        self._histogram._sum.inc(sum_s)
        return sum(counts)


def model_label(model: str) -> str:
    """Return the label of a model: its name, or "other" beyond a thousand names."""
    if model not in _models:
        if len(_models) >= _MOST_MODELS:
            return OTHER
        _models.add(model)
    return model


def count(counter: Counter, amount: float = 1) -> None:
    """Add to a series when counts are published next."""
    if not _counts:
        gathered.set()
    _counts[counter] = _counts.get(counter, 0) + amount


def publish_counts() -> None:
    """Publish the counts."""
    gathered.clear()
    for counter, amount in _counts.items():
        counter.inc(amount)
    _counts.clear()
