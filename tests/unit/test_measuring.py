"""What is measured by scope and by limit, from settlements to series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from tests.fakes import FixedClock, MemoryCounters
from tests.make import DOLLAR, account_of, reservation
from tests.unit.memory_registry import MemoryRegistry

from tollgate.adapters.metric_files import (
    FullestLimitsCollector,
    FullestLimitsFile,
    SharedLabelNames,
)
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import Entity, Key, Team
from tollgate.core.limits.accounts import Account, Meter, Period, Quota, Scope, ScopeKind
from tollgate.ports import Write
from tollgate.reporting.measuring.fullest_limits import MOST_SCOPES, FullestLimits, FullLimit
from tollgate.reporting.measuring.scope_counts import ScopeCounts
from tollgate.reporting.measuring.scope_labels import ScopeNames

MINUTE_US = 60_000_000


async def names_of(*entities: Entity) -> ScopeNames:
    registry = MemoryRegistry()
    for each in entities:
        await registry.write(Write(None, each))
    return ScopeNames(registry)


def call(*scopes: Scope) -> Reservation:
    return reservation("r", *[Account(each) for each in scopes])


def counted(metric: str, scope: str, **labels: str) -> dict[str, float]:
    """A metric's series of a kind of scope, by name."""
    found = {}
    for family in REGISTRY.collect():
        for each in family.samples:
            wanted = {"scope": scope, **labels}
            if each.name == f"tollgate_scope_{metric}_total" and wanted.items() <= (
                each.labels.items()
            ):
                found[each.labels["name"]] = each.value
    return found


def team(identity: str) -> Scope:
    return Scope(ScopeKind.TEAM, identity)


async def test_what_scopes_use_is_counted_by_their_aliases(tmp_path: Path) -> None:
    """Every scope of a kind that the setting names, several of a kind too; no others, and no scope
    twice that has limits for a model.
    """
    names = await names_of(Team("t-1", alias="research"), Key("k-1", "sk-...1", alias="laptop"))
    labels = {"team": 10, "key": 10, "tag": 10}
    counts = ScopeCounts(names, SharedLabelNames(tmp_path, labels), labels)
    tags = [Scope("tag", each) for each in ("alias-a", "alias-b")]
    paying = call(
        team("t-1"), Scope("key", "k-1"), *tags, Scope("user", "alias-u"), Scope("key", "k-1", "m")
    )
    for _ in range(2):
        counts.settled(paying, Settlement(Usage(5, 7), DOLLAR, 200, "test"))
    counts.refused(["team:t-1", "user:alias-u"])
    await counts.publish()
    await counts.publish()
    assert counted("dollars", "team")["research"] == 2
    assert counted("requests", "key")["laptop"] == 2
    assert counted("tokens", "tag", direction="output") == {"alias-a": 14, "alias-b": 14}
    assert counted("refused", "team")["research"] == 1
    assert counted("requests", "user") == {}


async def test_names_beyond_the_setting_share_a_label_in_all_processes(tmp_path: Path) -> None:
    """Which have one of their own is the same everywhere, also for a process that starts later."""
    names = await names_of()
    processes = []
    for _ in range(3):
        book = SharedLabelNames(tmp_path, {"team": 3})
        processes.append(ScopeCounts(names, book, ["team"]))
    for number, counts in enumerate(processes):
        for each in range(4):
            settled = Settlement(Usage(1, 1), DOLLAR, 200, "test")
            counts.settled(call(team(f"bound-{number + each}")), settled)
        await counts.publish()
    assert {
        name: dollars
        for name, dollars in counted("dollars", "team").items()
        if name.startswith("bound-") or name == "other"
    } == {"bound-0": 1, "bound-1": 2, "bound-2": 3, "other": 6}


class Fullest:
    """The fullest limits of calls, over counters in memory."""

    def __init__(self, names: ScopeNames, most: int = 10) -> None:
        self.clock = FixedClock()
        self.counters = MemoryCounters(self.clock)
        self.told: Sequence[FullLimit] = ()
        self.limits = FullestLimits(self.counters, self.clock, names, self, most)

    def write(self, limits: Sequence[FullLimit]) -> None:
        self.told = limits

    async def use(self, account: Account, nanousd: int, *, settled: bool = True) -> None:
        asked = structs.replace(reservation("r", account), cost_nanousd=nanousd)
        await self.counters.reserve(asked)
        if settled:
            await self.counters.settle(asked, Settlement(Usage(1, 1), nanousd, 200, "test"))
        self.limits.meets(asked)

    async def look(self) -> Sequence[FullLimit]:
        await self.limits.look()
        return self.told


def budget_of(name: str, dollars: int, period: Period | None = None) -> Account:
    account = account_of(team(name), budget_nanousd=dollars * DOLLAR)
    return structs.replace(account, period=period or Period())


async def test_the_fullest_limits_are_told_first_and_by_name() -> None:
    """As many as are asked for; limits of 0, which never fill, are not among them."""
    fullest = Fullest(await names_of(Team("b", alias="bees")), most=2)
    for name, spent in (("a", 1), ("b", 9), ("c", 5)):
        await fullest.use(budget_of(name, 10), spent * DOLLAR)
    fullest.limits.meets(reservation("r", account_of(team("blocked"), rpm=0)))
    told = await fullest.look()
    assert [(each.name, each.share) for each in told] == [("bees", 0.9), ("c", 0.5)]
    assert (told[0].scope, told[0].meter, told[0].window) == ("team", "usd", "")


async def test_when_a_budget_will_be_empty_is_told_by_its_present_rate() -> None:
    """Not before there is one; now where nothing is left, as long as that is so."""
    fullest = Fullest(await names_of())
    account = budget_of("a", 10)
    await fullest.use(account, DOLLAR)
    (first,) = await fullest.look()
    fullest.clock.us += MINUTE_US
    await fullest.use(account, 3 * DOLLAR)
    (second,) = await fullest.look()
    await fullest.use(account, 6 * DOLLAR)
    fullest.clock.us += 10 * MINUTE_US
    (third,) = await fullest.look()
    # Six dollars are left, and three went within the minute.
    assert [each.empty_s for each in (first, second, third)] == [None, 120.0, 0.0]


async def test_a_budget_that_starts_anew_before_it_is_empty_tells_no_time() -> None:
    """And none of a period that is over."""
    fullest = Fullest(await names_of())
    begin_us = fullest.clock.us
    account = budget_of("a", 10, Period(0, begin_us, begin_us + 2 * MINUTE_US))
    await fullest.use(account, DOLLAR)
    await fullest.look()
    fullest.clock.us += MINUTE_US
    await fullest.use(account, DOLLAR)
    (told,) = await fullest.look()
    assert (told.share, told.empty_s) == (0.2, None)
    fullest.clock.us += MINUTE_US
    assert await fullest.look() == []


async def test_rates_tell_when_they_will_be_empty_and_calls_in_flight_do_not() -> None:
    """Of a rate what calls use and the time refills, within its own window; nothing while it
    drains. Calls in flight make room by themselves.
    """
    fullest = Fullest(await names_of())
    account = account_of(team("a"), rpm=60, parallel=100)
    found = []
    for calls in (20, 20, 0, 0, 40):
        for _ in range(calls):
            await fullest.use(account, 1, settled=False)
        (rate,) = [each for each in await fullest.look() if each.meter == "requests"]
        found.append((rate.used, rate.empty_s))
        fullest.clock.us += MINUTE_US // 6
    # Ten requests are refilled each ten seconds.
    assert found == [(20, None), (30, 30.0), (20, None), (10, None), (40, 40.0)]
    assert [each.empty_s for each in fullest.told if each.meter == "calls"] == [None]
    for _ in range(30):
        await fullest.use(account, 1, settled=False)
    (used_up,) = [each for each in await fullest.look() if each.empty_s == 0]
    assert (used_up.meter, used_up.used) == ("requests", 60)


async def test_limits_that_will_be_used_up_come_before_fuller_ones_that_will_not() -> None:
    """Soonest first; of those that are used up the one that stays so longest."""
    fullest = Fullest(await names_of(), most=2)
    begin_us = fullest.clock.us
    soon_over = Period(0, begin_us, begin_us + 5 * MINUTE_US)
    full, gone = budget_of("full", 10), budget_of("gone", 1)
    slow, fast, brief = budget_of("slow", 90), budget_of("fast", 30), budget_of("b", 1, soon_over)
    await fullest.use(full, 9 * DOLLAR)
    for _ in range(2):
        for account in (slow, fast):
            await fullest.use(account, DOLLAR)
        await fullest.look()
        fullest.clock.us += MINUTE_US
    told = await fullest.look()
    assert [(each.name, each.empty_s) for each in told] == [
        ("fast", 28 * 120.0),
        ("slow", 88 * 120.0),
        ("full", None),
    ]
    await fullest.use(brief, DOLLAR)
    await fullest.use(gone, DOLLAR)
    assert [each.name for each in await fullest.look()] == ["gone", "b", "full"]


async def test_the_scopes_that_are_read_are_bounded_and_the_idle_go() -> None:
    """Clients choose ids of customers and sessions."""
    fullest = Fullest(await names_of(), most=2 * MOST_SCOPES)
    for number in range(MOST_SCOPES + 10):
        fullest.limits.meets(reservation("r", budget_of(f"t-{number}", 1)))
    assert len(await fullest.look()) == MOST_SCOPES
    fullest.limits.meets(reservation("r", budget_of("another", 1)))
    assert len(await fullest.look()) == MOST_SCOPES
    fullest.clock.us += 61 * MINUTE_US
    assert await fullest.look() == []


def test_prometheus_is_told_the_fullest_of_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each limit once, as the process saw it that saw it fullest, with the time that another one
    knows; a broken file costs no more than itself.
    """
    for pid, limits in ((1, {"a": 5, "b": 1, "d": 2}), (2, {"a": 6, "c": 10})):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        FullestLimitsFile(tmp_path).write(
            [
                FullLimit(
                    scope="key",
                    id=name,
                    name=name,
                    meter="usd",
                    window="1d",
                    only_for="",
                    used=used,
                    amount=10,
                    empty_s=30.0 if name == "a" and used == 5 else None,
                )
                for name, used in limits.items()
            ]
        )
    (tmp_path / "fullest-3.json").write_text("[{]", encoding="utf-8")
    registry = CollectorRegistry()
    registry.register(FullestLimitsCollector(tmp_path, 2))
    lines = [
        line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")
    ]
    assert lines == [
        'tollgate_limit_used_ratio{meter="usd",model="",name="a",scope="key",window="1d"} 0.6',
        'tollgate_limit_used_ratio{meter="usd",model="",name="c",scope="key",window="1d"} 1.0',
        'tollgate_limit_used_ratio{meter="usd",model="",name="d",scope="key",window="1d"} 0.2',
        'tollgate_limit_empty_seconds{meter="usd",model="",name="a",scope="key",window="1d"} 30.0',
    ]


async def test_two_budgets_of_one_scope_are_two_limits() -> None:
    """Each with its window and its own time."""
    fullest = Fullest(await names_of())
    quotas = tuple(
        Quota(Meter.USD, dollars * DOLLAR, duration=each)
        for each, dollars in (("1d", 4), ("7d", 8))
    )
    for _ in range(2):
        await fullest.use(Account(team("a"), quotas), DOLLAR)
        fullest.clock.us += MINUTE_US
        await fullest.look()
    assert [(each.window, each.share, each.empty_s) for each in fullest.told] == [
        ("1d", 0.5, 120.0),
        ("7d", 0.25, 360.0),
    ]
