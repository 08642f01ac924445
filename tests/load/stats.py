"""The little statistics that a benchmark needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, and how far they lay apart."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Line:
    """What grows by `slope` for each more of something."""

    start: float
    slope: float

    def at(self, count: float) -> float:
        """Its value there."""
        return self.start + self.slope * count


def spread(values: Iterable[float]) -> Spread:
    """Median, least and most of at least one value."""
    every = list(values)
    return Spread(median(every), min(every), max(every))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The least value that `percent` of the values do not exceed (nearest rank).

    The values come in order, and there is at least one.
    """
    # In whole millionths: 99.9 % of 1,000 values is the 999th, whatever floats make of it.
    rank = -(-len(ordered) * round(percent * 10_000) // 1_000_000)
    return ordered[max(rank, 1) - 1]


def fitted(points: Sequence[tuple[float, float]]) -> Line | None:
    """The straight line nearest to (count, value) points; None: their counts are not at least two
    different ones.
    """
    counts, values = [count for count, _ in points], [value for _, value in points]
    if len(set(counts)) < 2:
        return None
    found = linear_regression(counts, values)
    return Line(found.intercept, found.slope)
