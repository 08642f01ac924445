"""Management over memory, for tests of the use cases and of the API."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes import FixedClock, MemoryCounters
from tests.unit.memory_registry import MemoryRegistry

from tollgate.core.entities import (
    Certainty,
    Charge,
    LimitKind,
    Period,
    Reservation,
    Scope,
    Settlement,
    Usage,
)
from tollgate.management import Management

MASTER = "sk-master-key-of-tests"


class MemorySpendBook:
    """The port `SpendBook`: it remembers what it was told, and puts it into the counters."""

    def __init__(self, counters: MemoryCounters) -> None:
        self._counters = counters

    async def set_spend(self, organization: str, charge: Charge, nanousd: int) -> None:
        """Correct the counter."""
        counter = self._counters._counters[(organization, charge.kind, charge.scope)]
        counter.used = nanousd
        counter.period_start_us = max(counter.period_start_us, charge.period.start_us)


@dataclass
class World:
    """A gateway's management, and traffic that others would cause."""

    clock: FixedClock = field(default_factory=FixedClock)
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)

    def __post_init__(self) -> None:
        self.counters = MemoryCounters(self.clock)
        self.management = Management.of(
            self.registry, self.counters, MemorySpendBook(self.counters), self.clock, MASTER
        )
        self._calls = 0

    async def spend(self, scope: Scope, nanousd: int, *, model: str = "gpt-4o", period: Period | None = None) -> None:
        """A call that cost so much of one scope's budget."""
        self._calls += 1
        charge = Charge(LimitKind.BUDGET, scope, None, nanousd, period or Period())
        reservation = Reservation(
            f"call-{self._calls}", "default", (charge,), self.clock.us, "openai.chat", model, model, 1, 1
        )
        await self.counters.reserve(reservation)
        await self.counters.settle(reservation, Settlement(Usage(certainty=Certainty.EXACT), nanousd, 200, "test"))
