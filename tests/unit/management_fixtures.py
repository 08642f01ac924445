"""Management over memory, for tests of the use cases and of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from tests.fakes import FixedClock, MemoryCounters, MemoryRefusals
from tests.unit.memory_registry import MemoryRegistry

from tollgate.app.added.entry_checks import EntryChecks
from tollgate.app.creating import creation_of
from tollgate.core.callers.rules import Policy
from tollgate.core.calls.records import organization_of_record
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.entities import LimitSet
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Account, Period, Scope
from tollgate.core.limits.period import period_start_us
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.output_limits import OutputLimits
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Price, Rates
from tollgate.core.requests.catalog import Catalog
from tollgate.management import Management
from tollgate.ports import LedgerPage, LedgerQuery, Settled, Succession
from tollgate.ports.history_ports import SettledText, StreamedRecords
from tollgate.reporting.levels import Levels
from tollgate.reporting.measuring.fullest_limits import FullLimit
from tollgate.reporting.refused import Refusals
from tollgate.reporting.reports import Reports
from tollgate.reporting.usage_sums import UsageSums
from tollgate.settings import EXAMPLE_FILE, Settings, load

MASTER = "sk-master-key-of-tests"


class MemorySpendBook:
    """The port `SpendBook`: it remembers what it was told, and puts it into the counters."""

    def __init__(self, counters: MemoryCounters) -> None:
        self._counters = counters

    async def set_spend(self, organization: str, account: Account, nanousd: int) -> None:
        """Correct the counter."""
        scope = self._counters.scope(organization, account)
        scope.used = nanousd
        scope.period_start_us = max(scope.period_start_us, account.period.start_us)

    async def carry(self, organization: str, successions: Sequence[Succession]) -> None:
        """Keep what is used in the period that follows."""
        for each in successions:
            scope = self._counters.scope(organization, Account(each.scope))
            start_us = period_start_us(each.before, self._counters.clock.us)
            if start_us > scope.period_start_us:
                scope.used = 0
            scope.period_start_us = max(scope.period_start_us, start_us, each.after.start_us)

    async def forget(self, organization: str, scopes: Sequence[Scope]) -> None:
        """Drop the counters."""
        self._counters.forget(organization, scopes)


class MemoryLedger:
    """The port `Ledger` over what the counters have settled, each when it was admitted."""

    def __init__(self, counters: MemoryCounters) -> None:
        self._counters = counters

    async def page(self, query: LedgerQuery, count: int, cursor: str | None = None) -> LedgerPage:
        """The newest records; a cursor is how many are before it. Its place is the default one."""
        place = 0 if cursor is None else int(cursor)
        found = [
            Settled(each.admitted_us, each)
            for each in reversed(self._counters.ledger)
            if query.matches(each)
            and query.organization in (None, organization_of_record(each, "default"))
        ]
        following = str(place + count) if len(found) > place + count else None
        return LedgerPage(tuple(found[place : place + count]), following)


class MemoryLedgerStream:
    """The port `LedgerStream` over what the counters have settled, all at once."""

    def __init__(self, counters: MemoryCounters) -> None:
        self._counters = counters

    async def organizations(self) -> Sequence[str]:
        return ["default"]

    async def after(
        self, organization: str, position: str | None, since_us: int | None = None
    ) -> StreamedRecords | None:
        if position is not None or not self._counters.ledger:
            return None
        records = [
            SettledText(each.admitted_us, msgspec.json.encode(each))
            for each in self._counters.ledger
        ]
        return StreamedRecords(tuple(records), "end")

    async def oldest_us(self, organization: str, position: str | None = None) -> int | None:
        return None

    async def length(self, organization: str) -> int:
        return 1

    async def remove_until(
        self, organization: str, position: str, settled_us: int | None = None
    ) -> None:
        raise NotImplementedError


def catalog() -> Catalog:
    """Two models: gpt-4o at $2 a million tokens in, $8 out, $1 from the cache; and one that nobody
    has a price for.
    """
    deployments = (
        Deployment("gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm/v1"),
        Deployment(
            "unpriced",
            "unpriced",
            "openai",
            "x",
            "http://mock-llm/v1",
            access_groups=("beta-models",),
        ),
    )
    femto = FEMTO_PER_DOLLAR // 1_000_000
    rates = Rates(2 * femto, 8 * femto, femto, 2 * femto, 2 * femto)
    return Catalog.of(deployments, {"gpt-4o": Price("test", (rates,))})


@dataclass
class FakeWatched:
    """A store and workers that are well unless a test says what ails them."""

    store_fault: str | None = None
    workers_fault: str | None = None
    nearest: list[FullLimit] | None = field(default_factory=list)

    async def write_to_store(self) -> None:
        if self.store_fault is not None:
            raise StoreUnavailable(self.store_fault)

    def why_nobody_decides(self) -> str | None:
        return self.workers_fault

    def nearest_limits(self) -> list[FullLimit] | None:
        return self.nearest

    def refused_change(self) -> list[str]:
        return []

    def metrics(self) -> bytes:
        return b"tollgate_up 1\n"


@dataclass
class World:
    """A gateway's management, and traffic that others would cause."""

    clock: FixedClock = field(default_factory=FixedClock)
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    watched: FakeWatched = field(default_factory=FakeWatched)
    settings: Settings = field(default_factory=lambda: load(EXAMPLE_FILE))

    def __post_init__(self) -> None:
        self.counters = MemoryCounters(self.clock)
        self.management = self.managed_by(self.settings)
        self.reports = Reports(
            self.registry,
            self.counters,
            MemoryLedger(self.counters),
            catalog(),
            self.clock,
            LimitSet(max_budget_nanousd=10_000_000_000),
            30 * 86_400_000_000,
            OutputLimits([(["gpt-4o"], 16_384)]),
        )
        self.levels = Levels(
            self.registry,
            self.counters,
            self.clock,
            Policy(proxy=self.reports.proxy),
            self.reports.catalog,
        )
        self.refusals = MemoryRefusals()
        self.refused = Refusals(self.refusals, self.clock)
        self.usage_sums = UsageSums(MemoryLedgerStream(self.counters), self.clock)
        self._calls = 0

    def managed_by(self, settings: Settings) -> Management:
        """Management by some settings."""
        return Management.of(
            self.registry,
            self.counters,
            MemorySpendBook(self.counters),
            self.clock,
            MASTER,
            check=lambda: EntryChecks(settings),
            creation=creation_of(settings),
        )

    async def spend(
        self,
        scope: Scope,
        nanousd: int,
        *,
        model: str = "gpt-4o",
        period: Period | None = None,
        organization: str = "default",
        also: tuple[Scope, ...] = (),
    ) -> None:
        """A call that cost so much of one scope's budget. `also`: who else paid for it."""
        self._calls += 1
        account = Account(scope, period=period or Period())
        reservation = Reservation(
            f"call-{self._calls}",
            organization,
            (account, *map(Account, also)),
            self.clock.us,
            "openai.chat",
            model,
            model,
            1,
            1,
        )
        await self.counters.reserve(reservation)
        await self.counters.settle(
            reservation, Settlement(Usage(certainty=Certainty.EXACT), nanousd, 200, "test")
        )

    async def used(self, entity: Any, organization: str | None = None) -> int:
        """What an entity has spent in its current period."""
        (live,) = await self.management.keys.spending.live([entity], organization)
        return int(live.spend.used_nanousd)

    async def spent(self, scope: Scope) -> int:
        """What a scope has spent, in nano-dollars."""
        (spend,) = await self.counters.spend("default", (Account(scope),))
        return spend.total_nanousd


class Api:
    """The API as an administrator calls it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def post(self, path: str, body: Any, by: str = MASTER) -> httpx.Response:
        """POST some JSON, as whoever has that secret."""
        return await self.client.post(path, json=body, headers={"authorization": f"Bearer {by}"})

    async def get(self, path: str, by: str = MASTER, **query: Any) -> httpx.Response:
        """GET with a query, as whoever has that secret."""
        return await self.client.get(path, params=query, headers={"authorization": f"Bearer {by}"})

    async def made(self, **fields: Any) -> dict[str, Any]:
        """A new key."""
        answer = await self.post("/key/generate", fields)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def info(self, key: str) -> dict[str, Any]:
        """A key's row."""
        answer = await self.get("/key/info", key=key)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["info"])


async def ok(answer: Awaitable[httpx.Response]) -> Any:
    """The body of an answer that must be good."""
    found = await answer
    assert found.status_code == 200, found.text
    return found.json()


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer, whose shape is LiteLLM's."""
    body = answer.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert body["error"]["code"] == str(answer.status_code)
    return dict(body["error"])
