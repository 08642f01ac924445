"""Periods go by the store's clock, whatever the machine's own says."""

from __future__ import annotations

import time

import pytest
from tests.make import DOLLAR, budget, reservation, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.clock import StoreClock
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Standing
from tollgate.core.limits.duration import period_at

HOUR_NS, TWO_DAYS_NS = 3_600_000_000_000, 172_800_000_000_000
# No period ends within half an hour.
SINCE_US = time.time_ns() // 1000 - 1_800_000_000


class Worker:
    """A process with a clock of its own, and a budget of a dollar an hour."""

    def __init__(self, store: Valkey, pipe: Pipe) -> None:
        self.clock = StoreClock()
        self.counters = counters_of(store, pipe, 60_000_000, 86_400_000_000, clock=self.clock)
        self.calls = 0

    async def call(self, cost_nanousd: int = 1) -> Standing:
        """Reserve and settle."""
        self.calls += 1
        account = budget(DOLLAR, period=period_at("1h", SINCE_US, self.clock.now_us()))
        asked = reservation(f"call-{id(self)}-{self.calls}", account)
        standing = await self.counters.reserve(asked)
        await self.counters.settle(asked, settlement(cost=cost_nanousd))
        return standing


@pytest.mark.parametrize("ahead_ns", [TWO_DAYS_NS, HOUR_NS, -HOUR_NS, -TWO_DAYS_NS])
async def test_a_worker_whose_clock_is_wrong_counts_in_the_same_period_as_the_others(
    store: Valkey, pipe: Pipe, monkeypatch: pytest.MonkeyPatch, ahead_ns: int
) -> None:
    """What is spent stays spent.

    Its first call, which it decided by its own clock, is asked for again.
    """
    right = Worker(store, pipe)
    await right.call(2 * DOLLAR)
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + ahead_ns)
    wrong = Worker(store, pipe)
    with pytest.raises(StoreUnavailable, match="its time was not known yet"):
        await wrong.call()
    assert (await wrong.call()).refused is not None
    assert (await right.call()).refused is not None
    assert abs(wrong.clock.now_us() - right.clock.now_us()) < 1_000_000


async def test_a_clock_that_is_set_while_the_worker_runs_changes_nothing(
    store: Valkey, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read once, at the start."""
    worker = Worker(store, pipe)
    await worker.call(2 * DOLLAR)
    before_us, now_ns = worker.clock.now_us(), time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns - 40_000_000_000)
    assert 0 <= worker.clock.now_us() - before_us < 1_000_000
    assert (await worker.call()).refused is not None


async def test_a_worker_whose_clock_is_right_is_served_from_the_first_call_on(
    store: Valkey, pipe: Pipe
) -> None:
    worker = Worker(store, pipe)
    assert not worker.clock.known
    assert (await worker.call()).refused is None
    assert worker.clock.known


async def test_each_answer_sets_the_clock(store: Valkey, pipe: Pipe) -> None:
    """Two machines' monotonic clocks do not run alike for ever."""
    worker = Worker(store, pipe)
    await worker.call()
    worker.clock.learn(0)
    await worker.call()
    seconds, _ = await store.time()
    assert abs(worker.clock.now_us() // 1_000_000 - seconds) <= 1
