"""Alerts over a real Valkey: claimed once however many see a threshold, and told to each sink."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from itertools import count

import pytest
from msgspec import structs
from prometheus_client import REGISTRY
from tests.desk import People
from tests.fakes import FixedClock
from tests.make import DOLLAR, limit_set, settlement
from tests.unit.core.alerting.test_alert import ALERT
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.alerts.alert_book import ValkeyAlertBook
from tollgate.adapters.valkey.alerts.alert_queue import ValkeyAlertQueue
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.counters import ValkeyCounters
from tollgate.adapters.valkey.keys import ALERTS
from tollgate.core.alerting.alert import Alert, Event
from tollgate.core.callers.rules import Policy
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import Key, LimitSet, Team
from tollgate.core.errors import NotTold
from tollgate.core.limits.accounts import Account, Meter, Scope, ScopeKind
from tollgate.core.limits.limit import Bucket, Limit
from tollgate.metering.alert_watch import ABANDONED_S, AlertWatch
from tollgate.metering.watched_scopes import AlertTerms
from tollgate.ports.event_ports import Taken
from tollgate.reporting.telling.alert_delivery import MOST_TRIES, AlertDelivery

TERMS = AlertTerms(Policy(), (800, 1000))
SCOPE = Scope(ScopeKind.KEY, "h")
KEY = Key("h", "sk-...1234", alias="laptop", limits=limit_set(max_budget_nanousd=DOLLAR))
NO_BUDGET = Key("h", "sk-...1234", soft_budget_nanousd=DOLLAR)
HALF_OF_A_MINUTE = limit_set(Limit(Meter.REQUESTS, 4, Bucket(60), alert_at=(500,)))


class Watched:
    """Several processes that watch one store, and the calls that they settle."""

    def __init__(self, store: Valkey, pipe: Pipe, processes: int) -> None:
        self.people, self.clock = People(), FixedClock()
        self.people.keys["h"] = KEY
        self.counters = ValkeyCounters(store, pipe, 60_000_000, 2**52, self.clock.us)
        self.book, ids = ValkeyAlertBook(pipe), count(1)
        self.watches = [
            AlertWatch(
                self.people,
                self.counters,
                self.book,
                self.clock,
                TERMS,
                lambda: f"alert-{next(ids)}",
            )
            for _ in range(processes)
        ]
        self.queue = ValkeyAlertQueue(store, first_pause_ms=0)
        self._calls = count(1)

    async def spend(self, nanousd: int, limits: LimitSet | None = None) -> None:
        """Settle a call of the key, of which every process hears."""
        of = self.people.keys["h"].limits if limits is None else limits
        quotas = of.in_force(self.clock.us, tokens=True, money=True)
        account = Account(SCOPE, quotas, of.spend_period(self.clock.us))
        reservation = Reservation(
            f"call-{next(self._calls)}",
            "default",
            (account,),
            self.clock.us,
            "openai.chat",
            "m",
            "d",
            1,
            1,
        )
        await self.counters.reserve(reservation)
        await self.counters.settle(reservation, settlement(cost=nanousd))
        for each in self.watches:
            each.settled(reservation)

    async def alerts(self) -> list[Alert]:
        """What is recorded after all processes have looked."""
        await asyncio.gather(*(each.look() for each in self.watches))
        found = []
        while (queued := (await self.queue.take("test")).alert) is not None:
            await self.queue.done("test", queued.place)
            found.append(queued.alert)
        return found

    def advance(self, seconds: int) -> None:
        self.clock.us += seconds * 1_000_000
        self.counters.now_us = self.clock.us


@pytest.fixture
async def watched(store: Valkey, pipe: Pipe) -> Watched:
    """Eight processes: four workers in each of two replicas."""
    found = Watched(store, pipe, processes=8)
    await found.queue.prepare("test")
    return found


async def test_each_threshold_of_a_budget_is_told_once_by_all_processes_together(
    watched: Watched,
) -> None:
    """Not before it is reached, and not again while its period lasts."""
    await watched.spend(DOLLAR * 7 // 10)
    assert await watched.alerts() == []
    await watched.spend(DOLLAR // 10)
    (alert,) = await watched.alerts()
    assert (alert.event, alert.threshold_permille) == (Event.THRESHOLD, 800)
    assert (alert.scope, alert.scope_name, alert.used) == ("key", "laptop", DOLLAR * 8 // 10)
    await watched.spend(DOLLAR // 100)
    assert await watched.alerts() == []
    await watched.spend(DOLLAR)
    (alert,) = await watched.alerts()
    assert (alert.event, alert.threshold_permille) == (Event.BUDGET, 1000)
    assert await watched.alerts() == []


async def test_what_a_killed_worker_had_noted_is_looked_at_by_another(watched: Watched) -> None:
    """It settled the call and died before it looked: the note is in the store."""
    killed, *others = watched.watches
    watched.watches = [killed]
    await watched.spend(DOLLAR)
    await killed.drain()
    watched.watches = others
    assert await watched.alerts() == []
    for each in others:
        await each.look_after_others()
    assert await watched.alerts() == []
    watched.advance(int(ABANDONED_S) + 1)
    await asyncio.gather(*(each.look_after_others() for each in others))
    alerts = await watched.alerts()
    assert [each.threshold_permille for each in alerts] == [800, 1000]
    assert {each.scope_name for each in alerts} == {"laptop"}
    assert await watched.book.abandoned(watched.clock.us) == ()


async def test_notes_that_were_looked_at_are_gone(watched: Watched) -> None:
    """Also where the scope was moved again meanwhile, and then looked at again."""
    await watched.spend(DOLLAR // 10)
    for each in watched.watches:
        await each.drain()
    looking = [asyncio.create_task(each.look()) for each in watched.watches]
    await asyncio.sleep(0)
    await watched.spend(DOLLAR // 10)
    await asyncio.gather(*looking)
    for each in watched.watches:
        await each.drain()
    assert len(await watched.book.abandoned(watched.clock.us)) == len(watched.watches)
    await watched.alerts()
    assert await watched.book.abandoned(watched.clock.us) == ()


async def test_the_next_period_is_told_anew(watched: Watched) -> None:
    """And a raised limit."""
    limits = limit_set(max_budget_nanousd=DOLLAR, budget_duration="1h")
    watched.people.keys["h"] = replace(KEY, limits=limits)
    await watched.spend(DOLLAR)
    assert len(await watched.alerts()) == 2
    watched.advance(3600)
    await watched.spend(1)
    assert await watched.alerts() == []
    await watched.spend(DOLLAR)
    assert len(await watched.alerts()) == 2
    raised = limit_set(max_budget_nanousd=DOLLAR * 11 // 10, budget_duration="1h")
    watched.people.keys["h"] = replace(KEY, limits=raised)
    await watched.spend(1)
    assert [each.threshold_permille for each in await watched.alerts()] == [800]


async def test_a_soft_budget_is_told_where_nothing_is_limited(watched: Watched) -> None:
    """It counts what was spent, and refuses nothing."""
    watched.people.keys["h"] = NO_BUDGET
    await watched.spend(DOLLAR - 1)
    assert await watched.alerts() == []
    await watched.spend(1)
    (alert,) = await watched.alerts()
    assert (alert.event, alert.amount, alert.threshold_permille) == (
        Event.SOFT_BUDGET,
        DOLLAR,
        None,
    )


async def test_any_limit_may_name_its_own_thresholds(watched: Watched) -> None:
    """A rate too; it is told again once its window has passed, at the earliest."""
    watched.people.keys["h"] = replace(KEY, limits=HALF_OF_A_MINUTE)
    await watched.spend(0)
    assert await watched.alerts() == []
    await watched.spend(0)
    (alert,) = await watched.alerts()
    assert (alert.meter, alert.amount, alert.used, alert.window) == ("requests", 4, 2, "1m")
    assert alert.threshold_permille == 500


async def test_an_alert_tells_whose_key_it_is(watched: Watched) -> None:
    """The team by its alias."""
    watched.people.teams["t"] = Team("t", alias="Research")
    watched.people.keys["h"] = replace(KEY, team_id="t")
    await watched.spend(DOLLAR)
    alert = (await watched.alerts())[0]
    assert (alert.key_alias, alert.team_id, alert.team_alias) == ("laptop", "t", "Research")


class Receiver:
    """A sink that fails while a test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails = False
        self.takes_s = 0.0
        self.tries = 0
        self.told: list[Alert] = []

    async def tell(self, alert: Alert) -> None:
        self.tries += 1
        await asyncio.sleep(self.takes_s)
        if self.fails:
            raise NotTold("it is down")
        self.told.append(alert)


async def test_two_replicas_tell_each_sink_each_alert_once(store: Valkey, pipe: Pipe) -> None:
    """A sink that is down is told later; the other does not wait for it, nor hear twice."""
    watched = Watched(store, pipe, processes=1)
    good, bad = Receiver("good"), Receiver("bad")
    bad.fails = True
    replicas = [AlertDelivery(ValkeyAlertQueue(store), (good, bad)) for _ in range(2)]
    for sink in (good, bad):
        await watched.queue.prepare(sink.name)
    await watched.spend(DOLLAR)
    await watched.watches[0].look()
    for _ in range(3):
        await asyncio.gather(*(each.tell(sink) for each in replicas for sink in (good, bad)))
    assert (len(good.told), len(bad.told)) == (2, 0)
    bad.fails = False
    await asyncio.gather(*(each.tell(bad) for each in replicas))
    assert bad.told == []  # its pause is not over
    for _ in range(2):
        await AlertDelivery(watched.queue, (bad,)).tell(bad)
    assert sorted(each.id for each in bad.told) == sorted(each.id for each in good.told)


async def test_an_alert_that_nobody_takes_is_given_up(store: Valkey, pipe: Pipe) -> None:
    """After so many tries; it stays in the stream's record."""
    watched, dead = Watched(store, pipe, processes=1), Receiver("dead")
    dead.fails = True
    delivery = AlertDelivery(watched.queue, (dead,))
    await watched.queue.prepare(dead.name)
    watched.people.keys["h"] = NO_BUDGET
    await watched.spend(DOLLAR)
    await watched.watches[0].look()
    for _ in range(3 * MOST_TRIES):
        await delivery.tell(dead)
    assert dead.tries == MOST_TRIES


async def test_alerts_that_wait_behind_slow_ones_are_told_once(store: Valkey, pipe: Pipe) -> None:
    """A replica takes what it is about to tell: what it has not taken is no one's, not lost."""
    slow, book = Receiver("slow"), ValkeyAlertBook(pipe)
    slow.takes_s = 0.15
    replicas = [
        AlertDelivery(ValkeyAlertQueue(store, first_pause_ms=1000), (slow,)) for _ in range(2)
    ]
    await ValkeyAlertQueue(store).prepare(slow.name)
    for number in range(16):
        alert = structs.replace(ALERT, id=f"a{number}")
        await book.claim(f"mark {number}", 60, alert)
    await asyncio.gather(*(each.tell(slow) for each in replicas))
    assert sorted(each.id for each in slow.told) == sorted(f"a{each}" for each in range(16))


async def test_a_sink_that_is_added_later_begins_with_what_comes_then(
    store: Valkey, pipe: Pipe
) -> None:
    """Old alerts are nobody's news."""
    watched = Watched(store, pipe, processes=1)
    await watched.spend(DOLLAR * 8 // 10)
    await watched.watches[0].look()
    await watched.queue.prepare("late")
    assert await watched.queue.take("late") == Taken(None)
    await watched.spend(DOLLAR)
    await watched.watches[0].look()
    assert (await watched.queue.take("late")).alert is not None


async def test_alerts_that_the_store_has_dropped_are_counted_for_each_receiver(
    store: Valkey, pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that nobody has read yet, and those that wait for another try."""
    watched, receiver = Watched(store, pipe, processes=1), Receiver("missing")
    delivery = AlertDelivery(watched.queue, (receiver,))
    await watched.queue.prepare(receiver.name)

    async def crossed(amounts: range) -> None:
        for dollars in amounts:
            watched.people.keys["h"] = replace(
                KEY, limits=limit_set(max_budget_nanousd=dollars * DOLLAR)
            )
            await watched.spend(DOLLAR)
            await watched.watches[0].look()

    receiver.fails = True
    await crossed(range(1, 3))
    await delivery.tell(receiver)
    await store.xtrim(ALERTS, maxlen=1, approximate=False)
    await delivery.tell(receiver)
    receiver.fails = False
    for _ in range(2):
        await delivery.tell(receiver)
    lost = partial(REGISTRY.get_sample_value, "tollgate_alerts_lost_total", {"sink": "missing"})
    assert (lost(), len(receiver.told)) == (3, 1)
    failing, losing, ended = caplog.messages
    assert failing == "delivery to alert receiver missing fails and is tried again: it is down"
    assert losing.endswith("alert receiver missing: 3 alerts are lost: the store had no room")
    assert ended.endswith(" s: 2 tries failed; 3 alerts are lost: the store had no room")
    await crossed(range(3, 6))
    await store.xtrim(ALERTS, maxlen=1, approximate=False)
    await delivery.tell(receiver)
    assert (lost(), len(receiver.told)) == (3 + 5, 2)
