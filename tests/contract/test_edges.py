"""Callers at the edge of a limit of each kind, through eight workers that share a store.

A kind is a meter, a window, a manner and a scope. `make edges` lets 500 callers come to each of
them; `make test` fewer to each meter in each manner, with windows and scopes taken in turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import count, cycle
from typing import Any

import pytest
from tests.desk import Desk, chat
from tests.make import limit_set
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.alerts.alert_book import ValkeyAlertBook
from tollgate.adapters.valkey.alerts.alert_queue import ValkeyAlertQueue
from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.core.callers.dimensions import SESSION, TAG, Dimension
from tollgate.core.calls.decision import Admission
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.entities import (
    NO_LIMITS,
    Customer,
    LimitSet,
    Member,
    ModelLimits,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import ENFORCED, Enforcement, Meter, Scope
from tollgate.core.limits.limit import METERS, Bucket, Forever, InFlight, Limit, Recurring, Window
from tollgate.core.money.pricing import Price, Rates
from tollgate.metering.alert_watch import AlertWatch
from tollgate.metering.watched_scopes import AlertTerms

EVERY_KIND = os.environ.get("TOLLGATE_TEST_EDGES") == "all"
CALLERS = 500 if EVERY_KIND else 100
WORKERS, FITTING = 8, 7
# One nano-dollar for each token.
PRICE = Price("test", (Rates(10**6, 10**6, 10**6, 10**6, 10**6),))
MODEL = "gpt-4o"
ALERT_AT = (500, 1000)
MANNERS = {
    "enforced": ENFORCED,
    "strict": Enforcement(strict=True),
    "shadow": Enforcement(shadow=True),
    "waiting": Enforcement(max_wait_ms=20),
}
WINDOWS: dict[str, Window] = {
    "minute": Bucket(60),
    "day": Bucket(86_400),
    "rolling": Recurring("1d"),
    "calendar": Recurring("1mo", "Europe/Berlin"),
    "ever": Forever(),
    "in flight": InFlight(),
}
SCOPES = (
    *("proxy", "organization", "organization+model", "organization_member"),
    *("organization_member+model", "team", "team+model", "member", "member+model", "user"),
    *("user+model", "customer", "customer+model", "tag", "tag+model", "session", "project"),
    *("project+model", "key", "key+model", "deployment", "provider"),
)


@dataclass(frozen=True)
class Kind:
    """A limit, and the scope that it is at."""

    meter: Meter
    window: str
    manner: str
    scope: str

    def __str__(self) -> str:
        return f"{self.meter} {self.window} {self.manner} {self.scope}"

    def limits(self, amount: int) -> LimitSet:
        how = MANNERS[self.manner]
        return limit_set(Limit(self.meter, amount, WINDOWS[self.window], how, alert_at=ALERT_AT))


def possible(meter: Meter, window: str, manner: str) -> bool:
    """Whether a limit may be of these; see docs/limits.md."""
    if manner == "strict" and not (METERS[meter].tokens or meter is Meter.USD):
        return False
    if meter is Meter.CALLS or window == "in flight":
        return meter is Meter.CALLS and window == "in flight"
    return not (meter is Meter.USD and window in ("minute", "day"))


MATRIX = [
    (meter, window, manner)
    for meter in Meter
    for window in WINDOWS
    for manner in MANNERS
    if possible(meter, window, manner)
]


def kinds() -> list[Kind]:
    """All of them, or each meter in each manner in one window or another at one of the scopes."""
    if EVERY_KIND:
        return [Kind(*each, scope) for each in MATRIX for scope in SCOPES]
    by_manner: dict[tuple[str, str], list[str]] = {}
    for meter, window, manner in MATRIX:
        by_manner.setdefault((meter, manner), []).append(window)
    return [
        Kind(Meter(meter), windows[number % len(windows)], manner, scope)
        for number, (((meter, manner), windows), scope) in enumerate(
            zip(by_manner.items(), cycle(SCOPES), strict=False)
        )
    ]


def put(desk: Desk, scope: str, limits: LimitSet) -> None:
    """Let a scope that all callers belong to have these limits."""
    noun, _, model = scope.partition("+")
    own = {"model_limits": (ModelLimits("gpt-*", limits),)} if model else {"limits": limits}

    def of(kind: str) -> dict[str, Any]:
        return own if noun == kind else {}

    people, policy = desk.people, desk.terms.policy
    people.organizations["acme"] = Organization("acme", **of("organization"))
    people.organization_members["acme/ann"] = OrganizationMember(
        "acme", "ann", **of("organization_member")
    )
    people.teams["t"] = Team("t", organization="acme", **of("team"))
    people.members["t/ann"] = Member("t", "ann", **of("member"))
    people.users["ann"] = User("ann", **of("user"))
    people.customers["carl"] = Customer("carl", **of("customer"))
    people.tags["nightly"] = Tag("nightly", **of("tag"))
    key = {"session_limits": limits} if noun == "session" else of("key")
    desk.key(user_id="ann", team_id="t", organization="acme", **key)
    upstreams = {}
    if noun in ("deployment", "provider"):
        upstreams = {MODEL: ((Scope(noun, MODEL), limits),)}
    policy = replace(
        policy,
        proxy=limits if noun == "proxy" else NO_LIMITS,
        dimensions=(TAG, SESSION, Dimension("project", ("x-project",), **of("project"))),
        upstreams=upstreams,
    )
    desk.terms = replace(desk.terms, policy=policy)


BODY = chat(
    user="carl",
    max_tokens=40,
    metadata={"tags": ["nightly"], "trace_id": "s1"},
    model=MODEL,
)


def usage_of(call: Reservation) -> Settlement:
    """What a call uses: all that it holds."""
    most = call.worst or call
    usage = Usage(most.input_tokens, most.output_tokens, certainty=Certainty.EXACT)
    return Settlement(usage, most.cost_nanousd, 200, "test")


class Workers:
    """Eight processes of two replicas, in that each has a connection and a memory of its own."""

    def __init__(self, desks: Sequence[Desk], watches: Sequence[AlertWatch], store: Valkey) -> None:
        self.desks, self.watches = desks, watches
        self.queue = ValkeyAlertQueue(store)

    def put(self, kind: Kind, amount: int) -> None:
        for desk, watch in zip(self.desks, self.watches, strict=True):
            put(desk, kind.scope, kind.limits(amount))
            watch.reconfigure(AlertTerms(desk.terms.policy, ()))

    async def rush(self) -> list[Reservation]:
        """Let all callers come at once; return what was admitted."""
        headers = {"authorization": "Bearer sk-test", "x-project": "apollo"}
        asked = [
            self.desks[number % WORKERS].ask(BODY, headers=headers) for number in range(CALLERS)
        ]
        decisions = await asyncio.gather(*asked)
        return [
            each.reservation
            for each in decisions
            if isinstance(each, Admission) and each.reservation is not None
        ]

    async def end(self, calls: Sequence[Reservation]) -> None:
        """Settle calls, each by another worker than the one that admitted it."""
        ending = [
            self.desks[number % WORKERS].counters.settle(call, usage_of(call))
            for number, call in enumerate(calls)
        ]
        await asyncio.gather(*ending)
        for call in calls:
            for each in self.watches:
                each.settled(call)

    async def used(self, kind: Kind, call: Reservation) -> int:
        """What is used of the limit, in whole units."""
        scope = kind.scope.partition("+")[0]
        (account,) = [each for each in call.accounts if each.limits and each.scope.kind == scope]
        standing = await self.desks[0].counters.peek(call.organization, (account,))
        seconds = account.limits[0].seconds
        return -(-standing.balances[0].used[0] // (bucket.units(seconds) if seconds else 1))

    async def alerts(self) -> list[int | None]:
        """Which thresholds were told, once all workers have looked at the same time."""
        await asyncio.gather(*(each.look() for each in self.watches))
        found = []
        while (queued := (await self.queue.take("edges")).alert) is not None:
            await self.queue.done("edges", queued.place)
            found.append(queued.alert.threshold_permille)
        return found


@pytest.fixture
async def workers(store: Valkey, valkey_url: str) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        first, desks, watches, ids = Desk(price=PRICE), [], [], count(1)
        first.limit_outputs([(["*"], 40)])
        first.people.generation = 0  # so that workers remember who calls
        for _ in range(WORKERS):
            pipe = open_pipe(valkey_url, timeout_s=30)
            stack.push_async_callback(pipe.aclose)
            counters = counters_of(store, pipe, 60_000_000, 2**52, first.clock.us)
            desk = replace(
                first, counters=counters, people=first.people, ids=ids, longest_wait_s=0.02
            )
            desks.append(desk)
            watches.append(
                AlertWatch(
                    desk.people,
                    counters,
                    ValkeyAlertBook(pipe),
                    desk.clock,
                    AlertTerms(desk.terms.policy, ()),
                    lambda: f"alert-{next(ids)}",
                )
            )
        found = Workers(desks, watches, store)
        await found.queue.prepare("edges")
        yield found


async def cost_of_one(workers: Workers, kind: Kind) -> int:
    """What one call uses of the limit, where there is plenty."""
    desk = Desk(price=PRICE)
    desk.limit_outputs([(["*"], 40)])
    put(desk, kind.scope, kind.limits(10**9))
    headers = {"authorization": "Bearer sk-test", "x-project": "apollo"}
    decision = await desk.ask(BODY, headers=headers)
    assert isinstance(decision, Admission)
    assert decision.reservation is not None
    settled = usage_of(decision.reservation)
    if kind.meter is Meter.USD:
        return settled.cost_nanousd
    return METERS[kind.meter].used(settled.usage)


@pytest.mark.parametrize("kind", kinds(), ids=str)
async def test_no_caller_passes_the_edge_of_a_limit(workers: Workers, kind: Kind) -> None:
    """What passes is what fits, and at most one call of a loose limit more; none of a strict one.
    Each threshold is told once by all workers together.
    """
    one = await cost_of_one(workers, kind)
    counted = kind.meter in (Meter.REQUESTS, Meter.CALLS)
    amount = FITTING if counted else FITTING * one + one // 2
    workers.put(kind, amount)
    calls = await workers.rush()
    if kind.manner == "shadow":
        assert len(calls) == CALLERS
        passing = [each for each in calls if not each.shadow]
    else:
        passing = calls
    if counted:
        assert len(passing) == FITTING
    assert FITTING <= len(passing) <= FITTING + 1
    await workers.end(calls)
    used = await workers.used(kind, passing[0])
    if kind.meter is not Meter.CALLS:
        assert used <= (amount if kind.manner == "strict" or counted else amount + one)
        again = await workers.rush()
        later = [each for each in again if not each.shadow]
        assert later == [] or (kind.manner == "strict" and len(later) == 1)
        await workers.end(again)
        used = await workers.used(kind, passing[0])
        assert used <= amount or kind.manner != "strict"
        told = await workers.alerts()
        assert told == [each for each in ALERT_AT if used * 1000 >= each * amount]
