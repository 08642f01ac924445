"""Alerts of every scope, by the limits that admission goes by, over a real Valkey."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import count

import pytest
from tests.desk import People
from tests.fakes import FixedClock
from tests.make import DOLLAR, limit_set, settlement
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.alerts.alert_book import ValkeyAlertBook
from tollgate.adapters.valkey.alerts.alert_queue import ValkeyAlertQueue
from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.core.alerting.alert import Alert, Event
from tollgate.core.callers.dimensions import SESSION, TAG, Dimension
from tollgate.core.callers.identity import VerifiedIdentity, derived_key
from tollgate.core.callers.rules import Caller, DimensionValue, Policy, accounts
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import (
    Key,
    Member,
    ModelLimits,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import Forever, Limit
from tollgate.metering.alert_watch import AlertWatch
from tollgate.metering.watched_scopes import AlertTerms

BUDGET = limit_set(max_budget_nanousd=DOLLAR)
HALF = limit_set(Limit(Meter.USD, DOLLAR, Forever(), alert_at=(500,)))
KEY = Key("h", "sk-...1234", alias="laptop")
POLICY = Policy(
    customer=HALF,
    dimensions=(
        Dimension("project", ("x-project",), limits=HALF),
        Dimension(TAG.name, TAG.headers, model_limits=(ModelLimits("gpt-*", HALF),)),
        SESSION,
    ),
    defaults={"user": HALF, "member": HALF, "team": HALF, "organization": HALF},
)


class Watched:
    """Processes that watch one store, and the calls that they settle."""

    def __init__(self, store: Valkey, pipe: Pipe, policy: Policy = POLICY) -> None:
        self.people, self.clock, self.policy = People(), FixedClock(), policy
        self.people.keys["h"] = KEY
        self.counters = counters_of(store, pipe, 60_000_000, 2**52, self.clock.us)
        self.queue = ValkeyAlertQueue(store, first_pause_ms=0)
        ids, self._calls = count(1), count(1)
        self.watches = [
            AlertWatch(
                self.people,
                self.counters,
                ValkeyAlertBook(pipe),
                self.clock,
                AlertTerms(policy, (800, 1000), projected=True),
                lambda: f"alert-{next(ids)}",
            )
            for _ in range(3)
        ]

    async def spend(self, nanousd: int, caller: Caller, model: str = "gpt-4o") -> None:
        """Settle a call, of which every process hears."""
        now_us = self.clock.us
        charged = accounts(caller, self.policy, model, now_us, tokens=True, money=True)
        name = f"call-{next(self._calls)}"
        call = Reservation(name, "default", charged, now_us, "openai.chat", model, "d", 1, 1)
        assert (await self.counters.reserve(call)).refused is None
        await self.counters.settle(call, settlement(cost=nanousd))
        for each in self.watches:
            each.settled(call)

    async def alerts(self) -> list[Alert]:
        """What is recorded after all processes have looked."""
        await asyncio.gather(*(each.look() for each in self.watches))
        found = []
        while (queued := (await self.queue.take("test")).alert) is not None:
            await self.queue.done("test", queued.place)
            found.append(queued.alert)
        return found


@pytest.fixture
async def watched(store: Valkey, pipe: Pipe) -> Watched:
    found = Watched(store, pipe)
    await found.queue.prepare("test")
    return found


ACME, ANN = Organization("acme", alias="Acme"), User("ann", alias="Ann")
EMPLOYEE = OrganizationMember("acme", "ann", limits=BUDGET)
RESEARCH = Team("t", alias="Research")
MEMBER = Member("t", "ann", model_limits=(ModelLimits("gpt-*", BUDGET),))
NIGHTLY = Tag("nightly", limits=BUDGET)
REGENERATED = replace(KEY, hash="new", limits=BUDGET, first_hash="h")
SESSIONS = replace(KEY, session_limits=BUDGET)
IDENTIFIED = derived_key(VerifiedIdentity(user_id="eve", team_id="x"))


@dataclass
class Case:
    """Who calls, who is registered beside, and how the alert calls the scope."""

    scope: str
    name: str
    caller: Caller
    only_for: str | None = None
    tags: tuple[Tag, ...] = ()

    def register(self, people: People) -> None:
        """Register those of the caller whom the case does not leave out."""
        key, caller = self.caller.key, self.caller
        assert key is not None
        people.keys = {key.hash: key}
        people.users = {"ann": ANN}
        people.teams = {"t": RESEARCH}
        people.organizations = {"acme": ACME}
        people.tags = {each.id: each for each in self.tags}
        if caller.member is not None:
            people.members[caller.member.id] = caller.member
        if caller.organization_member is not None:
            people.organization_members["acme/ann"] = caller.organization_member


def value(dimension: str, name: str, tag: Tag | None = None) -> tuple[DimensionValue, ...]:
    return (DimensionValue(dimension, name, tag),)


def key_of(**fields: str) -> Key:
    return replace(KEY, **fields)  # type: ignore[arg-type] # names of people


CASES = [
    Case("key", "laptop", Caller(REGENERATED)),
    Case(
        "organization_member",
        "Ann in Acme",
        Caller(KEY, user=ANN, organization=ACME, organization_member=EMPLOYEE),
    ),
    Case(
        "member",
        "Ann in Research",
        Caller(key_of(team_id="t", user_id="ann"), RESEARCH, MEMBER, ANN),
        only_for="gpt-*",
    ),
    Case("member", "bob in Research", Caller(key_of(team_id="t", user_id="bob"), RESEARCH)),
    Case("user", "bob", Caller(key_of(user_id="bob"))),
    Case("customer", "carl", Caller(KEY, customer_id="carl")),
    Case("tag", "nightly", Caller(KEY, values=value("tag", "nightly", NIGHTLY)), tags=(NIGHTLY,)),
    Case("tag", "daily", Caller(KEY, values=value("tag", "daily")), only_for="gpt-*"),
    Case("session", "s1", Caller(SESSIONS, values=value("session", "s1"))),
    Case("project", "apollo", Caller(KEY, values=value("project", "apollo"))),
    Case("team", "x", Caller(IDENTIFIED, Team("x"), user=User("eve"))),
    Case("organization", "globex", Caller(KEY, organization=Organization("globex"))),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.scope} {case.name}")
async def test_the_limits_of_every_scope_are_told(watched: Watched, case: Case) -> None:
    """Whoever set them: the entity itself, its budget, its team, or the configuration."""
    case.register(watched.people)
    await watched.spend(DOLLAR * 85 // 100, case.caller)
    place = case.scope, case.only_for
    told = [each for each in await watched.alerts() if (each.scope, each.only_for) == place]
    assert [each.scope_name for each in told] == [case.name]
    assert (told[0].used, told[0].event) == (DOLLAR * 85 // 100, Event.THRESHOLD)
    await watched.spend(1, case.caller)
    assert await watched.alerts() == []


@pytest.mark.parametrize("grace", [False, True])
async def test_a_regenerated_key_is_told_of_once(watched: Watched, grace: bool) -> None:
    """What was told of its former secret is not told again, and nothing is missed."""
    before = replace(KEY, limits=BUDGET)
    watched.people.keys["h"] = before
    await watched.spend(DOLLAR * 8 // 10, Caller(before))
    assert [each.threshold_permille for each in await watched.alerts()] == [800]
    after = replace(before, hash="new", first_hash="h", former_hash="h" if grace else None)
    former = replace(after, hash="h", alias=None, former_hash=None, replaced_by="new")
    watched.people.keys = {"h": former, "new": after} if grace else {"new": after}
    await watched.spend(DOLLAR // 100, Caller(after))
    assert await watched.alerts() == []
    await watched.spend(DOLLAR // 5, Caller(former if grace else after))
    (alert,) = await watched.alerts()
    assert (alert.threshold_permille, alert.key_alias, alert.scope_id) == (1000, "laptop", "h")


@pytest.mark.parametrize("key", [KEY, replace(KEY, hash="k2")])
async def test_the_sessions_of_a_key_are_told_by_its_own_limits(watched: Watched, key: Key) -> None:
    """A session of the same name of a key without such limits is none of theirs."""
    watched.people.keys = {"h": SESSIONS, "k2": replace(KEY, hash="k2")}
    caller = Caller(watched.people.keys[key.hash], values=(DimensionValue("session", "s1"),))
    await watched.spend(DOLLAR * 85 // 100, caller)
    told = [(each.scope, each.key_alias) for each in await watched.alerts()]
    assert told == ([("session", "laptop")] if key is KEY else [])


async def test_a_tags_and_a_budgets_soft_budget_is_told(watched: Watched) -> None:
    """It limits nothing."""
    tag = Tag("nightly", soft_budget_nanousd=DOLLAR)
    watched.people.tags["nightly"] = tag
    await watched.spend(DOLLAR, Caller(KEY, values=(DimensionValue("tag", "nightly", tag),)))
    told = [each for each in await watched.alerts() if each.event is Event.SOFT_BUDGET]
    assert [(each.scope, each.amount) for each in told] == [("tag", DOLLAR)]


HALF_DAY_US = 43_200_000_000


async def test_a_budget_that_will_be_spent_too_early_is_told_once_a_period(
    watched: Watched,
) -> None:
    """By its pace since the period began, by all processes together, and again in the next one."""
    start_us = watched.clock.us
    daily = limit_set(
        max_budget_nanousd=DOLLAR, budget_duration="1d", budget_since_us=start_us - HALF_DAY_US
    )
    watched.people.keys["h"] = replace(KEY, limits=daily)
    caller = Caller(watched.people.keys["h"])
    for _ in range(2):
        await watched.spend(DOLLAR * 4 // 10, caller)
        assert await watched.alerts() == []
        await watched.spend(DOLLAR * 2 // 10, caller)
        (alert,) = await watched.alerts()
        assert (alert.event, alert.used) == (Event.PROJECTED, DOLLAR * 6 // 10)
        assert (alert.projected, alert.amount) == (DOLLAR * 12 // 10, DOLLAR)
        await watched.spend(DOLLAR // 10, caller)
        assert await watched.alerts() == []
        watched.clock.us += 2 * HALF_DAY_US
        watched.counters.now_us = watched.clock.us
