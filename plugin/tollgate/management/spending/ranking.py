"""Rank entities by spend, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, Generic

from tollgate.management.spending.spending import Live
from tollgate.ports import E


@dataclass(frozen=True, slots=True)
class Ranking(Generic[E]):
    """A part of a list ordered by spend, and the total number of entities."""

    lives: list[Live[E]]
    total: int


async def ranked(
    chunks: AsyncIterator[Sequence[E]],
    live: Callable[[Sequence[E]], Awaitable[list[Live[E]]]],
    offset: int,
    count: int,
) -> Ranking[E]:
    """Rank all entities by spend in the current period, keeping only what may be returned."""
    first: list[Live[E]] = []
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        lives: list[Live[E]] = first + await live(chunk)
        first = nlargest(offset + count, lives, key=_used_nanousd)
    return Ranking(first[offset:], total)


def _used_nanousd(live: Live[Any]) -> int:
    return live.spend.used_nanousd
