"""Charts as the geometry of SVG; the templates draw them.

Series differ by lightness and hatching as well as by colour, and each chart has a table beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 720, 200
_STEPS = (1, 2, 2.5, 5, 10)
# Half of each is whole, too.
_WHOLE_STEPS = (2, 4, 10)


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a stack, in the chart's units. `series` numbers its colour."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, and the lines of the scale: each with its height and its value."""

    bars: tuple[Bar, ...]
    scale: tuple[tuple[float, float], ...]
    labels: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A value, what it says, and the address that it leads to, if any."""

    value: float
    title: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a chart: its label and its pieces."""

    label: str
    pieces: tuple[Piece, ...]


def stacked(columns: Sequence[Column], most_labels: int = 8, *, whole: bool = False) -> Chart:
    """Return stacked bars, one stack for each column. `whole`: what they count has no parts."""
    most = max((sum(piece.value for piece in each.pieces) for each in columns), default=0)
    top = rounded_up(max(most, 2), _WHOLE_STEPS) if whole else rounded_up(most)
    slot = WIDTH / max(1, len(columns))
    bars = []
    for number, column in enumerate(columns):
        y = float(HEIGHT)
        for series, piece in enumerate(column.pieces):
            height = piece.value / top * HEIGHT
            y -= height
            if height > 0:
                x, width = number * slot + slot * 0.1, slot * 0.8
                bars.append(Bar(x, y, width, height, series, piece.title, piece.link))
    every = max(1, ceil(len(columns) / most_labels))
    labels = tuple(
        ((number + 0.5) * slot, column.label)
        for number, column in enumerate(columns)
        if number % every == 0
    )
    scale = tuple((HEIGHT - share * HEIGHT, share * top) for share in (0, 0.5, 1))
    return Chart(tuple(bars), scale, labels)


def rounded_up(value: float, steps: Sequence[float] = _STEPS) -> float:
    """Return the top of a scale that holds a value."""
    if value <= 0:
        return 1
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in steps if step * power >= value * 0.999)
