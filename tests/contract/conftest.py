"""The Counters port twice: in memory and over a real Valkey.

Each behaviour is written once and runs over both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.fakes import FixedClock, MemoryCounters
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.ports import Counters

LEASE_US = 60_000_000


@dataclass
class Bench:
    """A store of counters and the clock that it goes by."""

    counters: Counters
    clock: FixedClock

    def advance(self, seconds: float) -> None:
        self.clock.us += round(seconds * 1_000_000)
        if isinstance(self.counters, ValkeyCounters):
            self.counters.now_us = self.clock.us


@pytest.fixture(params=["memory", "valkey"])
async def bench(request: pytest.FixtureRequest, store: Valkey, pipe: Pipe) -> AsyncIterator[Bench]:
    clock = FixedClock()
    if request.param == "memory":
        yield Bench(MemoryCounters(clock, LEASE_US), clock)
    else:
        yield Bench(ValkeyCounters(store, pipe, LEASE_US, 30 * 86_400_000_000, clock.us), clock)
