"""Refusals and alerts in the history: each once, whatever is interrupted, and found again there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs
from prometheus_client import REGISTRY
from sqlalchemy import Engine, func, select
from tests.contract.history_databases import engine, history, postgresql_url
from tests.contract.test_refusals import DAY_US, now_us, reading, refused
from tests.fakes import FixedClock
from valkey.asyncio import Valkey

from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.refusal_history import SqlAlerts, SqlRefusals
from tollgate.adapters.history.tables import ALERTS
from tollgate.adapters.valkey.alerts.alert_book import ValkeyAlertBook
from tollgate.adapters.valkey.alerts.alert_stream import ValkeyAlertStream
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.keys import ALERTS as ALERTS_STREAM
from tollgate.adapters.valkey.keys import refusals_key
from tollgate.adapters.valkey.refusals.refusal_book import ValkeyRefusalBook
from tollgate.adapters.valkey.refusals.refusal_log import ValkeyRefusalLog
from tollgate.core.alerting.alert import Alert
from tollgate.core.errors import HistoryUnavailable
from tollgate.ports import LedgerQuery
from tollgate.reporting.refused import Refusals
from tollgate.reporting.telling.outage_lines import OutageLines
from tollgate.reporting.telling.stream_recording import StreamRecorder

__all__ = ["engine", "history", "postgresql_url"]
ALL = LedgerQuery()


class Carrying(StreamRecorder):
    """A recorder that has the lease."""

    async def once(self) -> None:
        """Take in all that is new."""

        async def ours() -> bool:
            return True

        await self.drain(ours, OutageLines("the history"))


def carrying(store: Valkey, engine: Engine) -> Carrying:
    return Carrying(
        ValkeyRefusalLog(store), SqlRefusals(engine), ValkeyAlertStream(store), SqlAlerts(engine)
    )


def both(store: Valkey, engine: Engine) -> Refusals:
    """What people read: the store, and the history behind it."""
    return Refusals(ValkeyRefusalLog(store), FixedClock(), lambda: SqlRefusals(engine))


async def ids(read: Refusals, query: LedgerQuery = ALL) -> list[str]:
    """Of all that match, in pages of three."""
    found: list[str] = []
    cursor = None
    while True:
        page = await read.page(query, 3, cursor)
        found += [each.id for each in page.records]
        if (cursor := page.cursor) is None:
            return found


async def test_refusals_are_read_from_the_history_where_the_store_has_them_no_more(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine
) -> None:
    """Every one once and in order, with whatever part of each organization the store still has."""
    book, at_us = ValkeyRefusalBook(pipe, DAY_US), await now_us(store)
    made = [
        refused(at_us + number, number, f"key:{number % 3}", organization="ab"[number % 2])
        for number in range(10)
    ]
    for each in made:
        await book.add([each])
    expected = await ids(reading(store))
    assert sorted(expected) == sorted(each.id for each in made)
    recorder = carrying(store, engine)
    for _ in range(2):
        await recorder.once()
    assert await ids(both(store, engine)) == expected
    await store.xtrim(refusals_key("a"), maxlen=2, approximate=False)
    assert await ids(both(store, engine)) == expected
    await store.delete(refusals_key("b"))
    assert await ids(both(store, engine)) == expected
    found = await both(store, engine).one(made[1].id)
    assert found == made[1]
    await book.add([late := refused(at_us, 99, organization="b")])
    await carrying(store, engine).once()
    assert await ids(both(store, engine)) == [late.id, *expected]


async def test_filters_match_in_the_history_as_in_the_store(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine
) -> None:
    """Whose, which model, status, when, and one by its id."""
    book, at_us = ValkeyRefusalBook(pipe, DAY_US), await now_us(store)
    first = refused(at_us, 1, "key:k", "team:t", "tag:x")
    second = refused(at_us + 5, 2, "key:l", "team:t", organization="b")
    await book.add([first, second])
    await carrying(store, engine).once()
    for name in ("default", "b"):
        await store.delete(refusals_key(name))
    for query, expected in (
        (LedgerQuery(payers=("team:t",)), [second, first]),
        (LedgerQuery(payers=("team:t", "key:k")), [first]),
        (LedgerQuery(payers=("tag:x",)), [first]),
        (LedgerQuery(payers=("team:u",)), []),
        (LedgerQuery(model="gpt-5"), []),
        (LedgerQuery(without=("tag",)), [second]),
        (LedgerQuery(without=("deployment", "user")), [first, second]),
        (LedgerQuery(outside=("tag:y",)), [first]),
        (LedgerQuery(outside=("key:k", "deployment:d")), [second]),
        (LedgerQuery(outside=("deployment:",)), []),
        (LedgerQuery(outside=("organization:b", "user:ann")), [first]),
        (LedgerQuery(outside=("status:500",)), [first, second]),
        (LedgerQuery("b"), [second]),
        (LedgerQuery(since_us=at_us + 1), [second]),
        (LedgerQuery(until_us=at_us + 1), [first]),
        (LedgerQuery(request_id=first.id), [first]),
        (replace(LedgerQuery(status=401), model="gpt-4o"), []),
    ):
        found = await ids(both(store, engine), query)
        assert sorted(found) == sorted(each.id for each in expected)


async def test_what_is_older_than_the_retention_goes_and_does_not_come_back(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine
) -> None:
    """Also while the store still has it."""
    book, at_us = ValkeyRefusalBook(pipe, DAY_US), await now_us(store)
    old, new = refused(at_us - DAY_US, 1), refused(at_us, 2)
    await book.add([old, new])
    recorder = carrying(store, engine)
    await recorder.once()
    await recorder.forget_before(at_us)
    await recorder.once()
    kept = await SqlRefusals(engine).newest(ALL, 10, None)
    assert [each.record for each in kept] == [new]


async def test_a_database_that_fails_half_way_keeps_each_once(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine
) -> None:
    """Position and rows are written together, or not at all."""
    book, at_us = ValkeyRefusalBook(pipe, DAY_US), await now_us(store)
    await book.add([refused(at_us, number) for number in range(700)])
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE stream_positions RENAME TO away")
    with pytest.raises(HistoryUnavailable):
        await carrying(store, engine).once()
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO stream_positions")
    await carrying(store, engine).once()
    assert len(await SqlRefusals(engine).newest(ALL, 1_000, None)) == 700


def an_alert(number: int) -> Alert:
    return Alert(
        id=f"a{number}",
        at_us=number,
        scope="key",
        scope_id="k",
        scope_name="laptop",
        meter="usd",
        amount=5,
        used=5,
        threshold_permille=1000,
    )


async def test_alerts_are_kept_once(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine
) -> None:
    """And no longer than the retention."""
    book = ValkeyAlertBook(pipe)
    for number in range(3):
        await book.claim(str(number), 60, an_alert(number))
        for _ in range(2):
            await carrying(store, engine).once()
    await carrying(store, engine).forget_before(1)
    with engine.begin() as connection:
        rows = connection.execute(select(ALERTS.c.id, ALERTS.c.event).order_by(ALERTS.c.id)).all()
        (count,) = connection.execute(select(func.count()).select_from(ALERTS)).one()
    assert count == 2
    assert [tuple(row) for row in rows] == [("a1", "budget_crossed"), ("a2", "budget_crossed")]


def lost(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tollgate_{metric}_lost_total", labels) or 0


async def test_what_the_store_drops_while_the_database_is_away_is_counted(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused requests, of which a record may stand for several, and alerts; each once."""
    book, alerts, at_us = (
        ValkeyRefusalBook(pipe, DAY_US),
        ValkeyAlertBook(pipe),
        await now_us(store),
    )
    recorder = carrying(store, engine)
    before = lost("refusals"), lost("alerts", sink="history")

    async def refuse(*numbers: int) -> None:
        for number in numbers:
            record = structs.replace(refused(at_us, number), times=number)
            await book.add([record, structs.replace(record, organization="b")])
            await alerts.claim(str(number), 60, an_alert(number))

    await refuse(1)
    await store.xtrim(refusals_key("default"), maxlen=0, approximate=False)
    await refuse(2)
    await recorder.once()
    assert lost("refusals") == before[0]  # nobody recorded before
    await refuse(3, 4, 5)
    await store.xtrim(refusals_key("default"), maxlen=1, approximate=False)
    await store.xtrim(ALERTS_STREAM, maxlen=2, approximate=False)
    for _ in range(2):
        await carrying(store, engine).once()
    assert lost("refusals") - before[0] == 3 + 4
    assert lost("alerts", sink="history") - before[1] == 1
    assert caplog.messages == [
        "delivery to the history: 7 refused requests are lost: the store had no room",
        "delivery to the history: 1 alerts are lost: the store had no room",
    ]


async def test_a_stream_that_began_anew_counts_nothing_as_lost(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine
) -> None:
    """It went since nothing was refused for long."""
    book, at_us = ValkeyRefusalBook(pipe, DAY_US), await now_us(store)
    before = lost("refusals")
    await book.add([refused(at_us, number) for number in range(9)])
    await carrying(store, engine).once()
    await store.delete(refusals_key("default"))
    await book.add([refused(at_us, 10)])
    await carrying(store, engine).once()
    assert lost("refusals") == before
    assert len(await SqlRefusals(engine).newest(ALL, 20, None)) == 10
