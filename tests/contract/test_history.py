"""The history over real databases: each record counts once, whatever is repeated or interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, select, text
from tests.contract.history_databases import (
    DAY_US,
    HOUR_US,
    NOON_US,
    a_record,
    engine,
    history,
    postgresql_url,
    recorder,
    settled,
    write,
)
from tests.fakes import FixedClock
from valkey.asyncio import Valkey

from tollgate.adapters.history.database import NEWEST, migrate, open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.tables import METADATA, RECORDS
from tollgate.adapters.valkey.counters.ledger import ValkeyLedger
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.keys import RECORDER
from tollgate.adapters.valkey.outbox.recorder_lease import ValkeyLease
from tollgate.core.calls.ledger_sums import LedgerSums
from tollgate.core.errors import BadRequest, HistoryUnavailable, SettingsError
from tollgate.ports import LedgerQuery, Settled
from tollgate.ports.history_ports import Group
from tollgate.reporting.full_ledger import FullLedger
from tollgate.reporting.recording import RecorderTerms
from tollgate.reporting.usage_sums import UsageSums

__all__ = ["engine", "history", "postgresql_url"]


async def spent(history: SqlHistory, group: Group = Group.KEY, **days: int) -> dict[str, int]:
    """Nano-dollars by group."""
    recorded = await history.usage(LedgerQuery(**days), (group,))
    return {row.groups[0]: row.sums.nanousd for row in recorded.rows}


async def test_a_record_counts_once_however_often_it_is_told(history: SqlHistory) -> None:
    """Twice in one part, in two parts that overlap, or after a restart."""
    one, two, three = (a_record(number) for number in range(3))
    assert await history.keep("default", settled(one, two, one)) == 2
    assert await history.keep("default", settled(two, three)) == 1
    assert await history.keep("default", settled(one, two, three)) == 0
    (row,) = (await history.usage(LedgerQuery(), (Group.KEY,))).rows
    assert (row.groups, row.sums) == (("k",), LedgerSums(3, 0, 9, 6, nanousd=15))


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (Group.KEY, {"k": 12, "other": 1}),
        (Group.TEAM, {"t": 12, "": 1}),
        (Group.MEMBER, {"t/u": 12, "": 1}),
        (Group.USER, {"u": 12, "": 1}),
        (Group.CUSTOMER, {"c": 12, "": 1}),
        (Group.STATUS, {"200": 13}),
        (Group.DEPLOYMENT, {"d": 13}),
        (Group.TAG, {}),
        (Group.MODEL, {"m": 6, "n": 7}),
        (Group.ORGANIZATION, {"acme": 1, "default": 12}),
    ],
)
async def test_sums_are_by_what_is_asked(
    history: SqlHistory, group: Group, expected: dict[str, int]
) -> None:
    """A payer's records, or all of them once."""
    mine = (a_record(1), a_record(2, model="n", cost_nanousd=7))
    await history.keep("default", settled(*mine))
    await history.keep("acme", settled(a_record(3, "key:other", cost_nanousd=1)))
    assert await spent(history, group) == expected


async def test_failures_and_what_is_not_exact_are_told(history: SqlHistory) -> None:
    """Beside what was used."""
    failed = a_record(1, "key:b", cost_nanousd=0, status=502)
    guessed = msgspec.structs.replace(a_record(2, "key:b"), certainty="partial")
    await history.keep("default", settled(failed, guessed))
    (row,) = (await history.usage(LedgerQuery(), (Group.KEY,))).rows
    assert row.sums == LedgerSums(2, 1, 6, 4, nanousd=5, unsure_nanousd=5)


async def test_a_late_settlement_counts_on_the_day_of_its_admission(history: SqlHistory) -> None:
    """Days are of UTC and come in their order."""
    midnight_us = NOON_US + 12 * HOUR_US
    before, after = midnight_us - 1, midnight_us
    late = settled(
        a_record(1, admitted_us=after, cost_nanousd=4),
        a_record(2, admitted_us=before, cost_nanousd=9),
        settled_us=after + HOUR_US,
    )
    await history.keep("default", late)
    assert await spent(history, Group.DAY) == {"2027-01-15": 9, "2027-01-16": 4}
    assert await spent(history, since_us=midnight_us) == {"k": 4}
    assert await spent(history, until_us=before) == {"k": 9}


async def test_sums_are_exact_beyond_what_a_double_holds(history: SqlHistory) -> None:
    """Nano-dollars of nine million dollars and more."""
    large = 2**53 + 1
    for number in range(2):
        await history.keep("default", settled(a_record(number, cost_nanousd=large)))
    assert await spent(history) == {"k": 2 * large}


async def test_what_fails_halfway_leaves_nothing_behind(history: SqlHistory) -> None:
    """Records, sums and position are one transaction."""
    await history.keep("default", settled(a_record(1)), "1-0")
    too_much = a_record(3, cost_nanousd=2**63 - 1)
    with pytest.raises((HistoryUnavailable, OverflowError)):
        # The sum with what is there is larger than a database's integer.
        await history.keep("default", settled(a_record(2), too_much), "2-0")
    assert (await spent(history), await history.position("default")) == ({"k": 5}, "1-0")


async def test_old_records_go_and_their_sums_stay(history: SqlHistory, engine: Engine) -> None:
    """Retention is of single records."""
    old = a_record(1, admitted_us=NOON_US - 3 * DAY_US)
    await history.keep("default", settled(old, a_record(2)))
    await history.forget_before(NOON_US - DAY_US)
    with engine.begin() as connection:
        assert connection.execute(select(RECORDS.c.id)).scalars().all() == [a_record(2).id]
    assert await spent(history) == {"k": 10}


def test_the_migrations_make_the_tables(engine: Engine) -> None:
    """What the code reads and writes is what a migrated database has; twice is as once."""
    for _ in range(2):
        migrate(engine)
    with engine.connect() as connection:
        # The months of PostgreSQL's records are tables of their own.
        named = {"include_name": lambda name, *_: not str(name).startswith("ledger_records_m")}
        context = MigrationContext.configure(connection, opts=named)
        assert compare_metadata(context, METADATA) == []


async def test_a_recorder_takes_every_record_of_every_organization(
    history: SqlHistory, store: Valkey, tmp_path: Path
) -> None:
    """More than it reads at once; and what comes later, where it stopped."""
    records = [a_record(number) for number in range(901)]
    await write(store, records)
    await write(store, [a_record(5_000, "key:theirs")], "a c")
    first = recorder(store, history, tmp_path)
    assert await first.drain() == 902
    await write(store, [a_record(6_000)])
    assert (await first.drain(), await first.drain()) == (1, 0)
    assert await spent(history) == {"k": 902 * 5, "theirs": 5}


async def test_a_recorder_that_was_killed_goes_on_where_it_stopped(
    history: SqlHistory, store: Valkey, tmp_path: Path
) -> None:
    """Its position is in the database: a copy of that from before is caught up too."""
    await write(store, [a_record(number) for number in range(500)])
    await recorder(store, history, tmp_path).drain()
    position = await history.position("default")
    await write(store, [a_record(number) for number in range(500, 600)])
    assert await recorder(store, history, tmp_path).drain() == 100
    assert position is not None
    await history.keep("default", (), position)
    assert await recorder(store, history, tmp_path).drain() == 0
    assert await spent(history) == {"k": 600 * 5}


async def test_two_recorders_at_once_count_each_record_once(
    history: SqlHistory, store: Valkey, tmp_path: Path
) -> None:
    """Each replica of `tollgate serve` has one."""
    await write(store, [a_record(number) for number in range(1_000)])
    both = [recorder(store, history, tmp_path), recorder(store, history, tmp_path)]
    assert sum(await asyncio.gather(*(each.drain() for each in both))) == 1_000
    assert await spent(history) == {"k": 5_000}


async def test_what_a_failed_recording_has_made_is_made_again(
    history: SqlHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition goes with the transaction that made it."""
    records = settled(a_record(1))
    with monkeypatch.context() as patched:
        patched.setattr(SqlHistory, "_go_on", lambda *_: _fail())
        with pytest.raises(HistoryUnavailable):
            await history.keep("default", records, "1")
    assert await history.keep("default", records, "1") == 1


def _fail() -> NoReturn:
    raise HistoryUnavailable("the connection is lost")


async def test_a_recorder_removes_what_is_kept_no_longer(
    history: SqlHistory, store: Valkey, engine: Engine, tmp_path: Path
) -> None:
    """By the setting; the sums stay."""
    await write(store, [a_record(1, admitted_us=NOON_US - 3 * DAY_US), a_record(2)])
    keeping = recorder(store, history, tmp_path, RecorderTerms(kept_us=2 * DAY_US))
    await keeping.drain()
    await keeping.forget()
    with engine.begin() as connection:
        assert len(connection.execute(select(RECORDS.c.id)).all()) == 1


class Failing(SqlHistory):
    """A database that is away for a while."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.outages = 2
        self.kept = asyncio.Event()

    async def keep(
        self, organization: str, records: Sequence[Settled], position: str | None = None
    ) -> int:
        new = await super().keep(organization, records, position)
        self.kept.set()
        return new

    async def prepare(self) -> None:
        if self.outages:
            self.outages -= 1
            raise HistoryUnavailable("away")
        await super().prepare()


async def test_a_recorder_waits_for_a_database_that_is_away(
    engine: Engine,
    store: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """It says so, and loses nothing."""
    monkeypatch.setattr("tollgate.reporting.recording._BACKOFF_S", (0.0,))
    await write(store, [a_record(1)])
    history = Failing(engine)
    recording = recorder(store, history, tmp_path)
    running = asyncio.create_task(recording.run())
    await asyncio.wait_for(history.kept.wait(), 10)
    recording.stop()
    await running
    assert await spent(history) == {"k": 5}
    assert [each.getMessage() for each in caplog.records].count(
        "the history is behind the ledger, and is tried again: away"
    ) == 2


@pytest.mark.parametrize(
    ("url", "named"), [("nonsense", "no URL"), ("mysql://h/d", "mysql is not served")]
)
def test_a_database_that_is_not_served_is_refused(url: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        open_database(url)


FORMER = Path(__file__).with_name("formats") / "history-0.2.0.sql"


async def test_a_history_of_0_2_0_is_carried_over(engine: Engine) -> None:
    """Nothing of it is lost, and its records are summed up in every way of today."""
    with engine.begin() as connection:
        for statement in FORMER.read_text(encoding="utf-8").split(";\n"):
            if "TRANSACTION" not in statement and "COMMIT" not in statement:
                connection.exec_driver_sql(statement)
    history = SqlHistory(engine)
    await history.prepare()
    for group, expected in (
        (Group.KEY, {"k": 60_001, "k2": 0, "theirs": 7}),
        (Group.TEAM, {"t": 60_001, "": 7}),
        (Group.STATUS, {"200": 60_008, "502": 0}),
        (Group.DEPLOYMENT, {"gpt-4o": 60_001, "claude": 7}),
    ):
        assert await spent(history, group) == expected
    (whole,) = (await history.usage(LedgerQuery(), ())).rows
    assert whole.sums == LedgerSums(4, 1, 4000, 800, 1600, 0, 60_008, 7, 1)
    parts = (await history.parts(LedgerQuery())).rows
    assert sum(each.nanousd for each in parts) == 60_008
    assert {each.kind for each in parts} == {"input", "cache_read", "output", "unspecified"}
    assert (await history.position("default")) == "1800014400000-0"
    records = await history.page(LedgerQuery(), 10, {}, None)
    assert len(records) == 4


async def test_the_store_keeps_what_is_recorded_for_an_hour_only(
    history: SqlHistory, store: Valkey, tmp_path: Path
) -> None:
    """What is not recorded stays, however old it is."""
    stream, clock = ValkeyLedgerStream(store), FixedClock(NOON_US)
    await write(store, [a_record(1)], settled_us=NOON_US - 2 * HOUR_US)
    await write(store, [a_record(2)], settled_us=NOON_US - HOUR_US // 2)
    recording = recorder(store, history, tmp_path, clock=clock)
    await recording.remove_recorded()
    assert await stream.length("default") == 2
    clock.us += HOUR_US // 4
    await recording.drain()
    await recording.remove_recorded()
    assert await stream.length("default") == 1


async def test_lists_go_on_in_the_history_where_the_store_ends(
    history: SqlHistory, store: Valkey, tmp_path: Path
) -> None:
    """Each record once, the latest first, whatever the size of a page."""
    for number in range(7):
        at_us = NOON_US - (7 - number) * HOUR_US
        each = a_record(number, "key:k" if number % 2 else "tag:x", admitted_us=at_us)
        await write(store, [each], settled_us=at_us)
    recording = recorder(store, history, tmp_path, RecorderTerms(stream_kept_us=4 * HOUR_US))
    await recording.drain()
    await recording.remove_recorded()
    stream = ValkeyLedgerStream(store)
    assert await stream.length("default") == 4
    ledger = FullLedger(ValkeyLedger(store), stream, lambda: history)
    numbers = list(range(6, -1, -1))
    for query, expected in (
        (LedgerQuery(), numbers),
        (LedgerQuery(payers=("tag:x",)), numbers[::2]),
        (LedgerQuery(payers=("key:k",), model="m"), numbers[1::2]),
        (LedgerQuery(until_us=NOON_US - 6 * HOUR_US), [1, 0]),
        (LedgerQuery(organization="nobody"), []),
    ):
        for size in (1, 2, 3, 4, 10):
            found, cursor = list[int](), None
            while True:
                page = await ledger.page(query, size, cursor)
                found += [int(each.record.id[-16:], 16) for each in page.records]
                cursor = page.cursor
                if cursor is None:
                    break
                assert len(page.records) == size
            assert found == expected
    one = LedgerQuery(request_id=a_record(0, admitted_us=NOON_US - 7 * HOUR_US).id)
    assert len((await ledger.page(one, 1)).records) == 1
    with pytest.raises(BadRequest):
        await ledger.page(LedgerQuery(), 1, "history-x")


async def test_sums_are_true_while_the_history_lags(
    history: SqlHistory, store: Valkey, tmp_path: Path
) -> None:
    """What is not recorded yet is added, so a report is as new as the ledger."""
    sums = UsageSums(ValkeyLedgerStream(store), FixedClock(NOON_US), lambda: history)
    plain = UsageSums(ValkeyLedgerStream(store), FixedClock(NOON_US))
    for number in range(3):
        told = [a_record(number, *TWO_TAGS), a_record(10 + number, "key:other")]
        await write(store, told, settled_us=NOON_US)
        queries = (
            (LedgerQuery(), (Group.KEY,)),
            (LedgerQuery(), (Group.TAG,)),
            (LedgerQuery(payers=("team:t",)), (Group.DAY, Group.KEY, Group.MODEL)),
            (LedgerQuery(failed=False), (Group.CUSTOMER, Group.STATUS)),
            (LedgerQuery(since_us=NOON_US, until_us=NOON_US), (Group.USER, Group.HOUR)),
        )
        for query, by in queries:
            with_history, without = await sums.usage(query, by), await plain.usage(query, by)
            assert {each.groups: each.sums for each in with_history} == {
                each.groups: each.sums for each in without
            }
        assert await sums.parts(LedgerQuery()) == await plain.parts(LedgerQuery())
        if number != 1:
            await recorder(store, history, tmp_path).drain()


TWO_TAGS = ("team:t", "key:k", "tag:x", "tag:y")


async def test_sums_that_no_table_has_are_refused(history: SqlHistory) -> None:
    """By a sentence."""
    with pytest.raises(BadRequest, match="sums by tag"):
        await history.usage(LedgerQuery(payers=("team:t",)), (Group.TAG,))


async def test_old_months_are_dropped_and_new_ones_made(
    history: SqlHistory, engine: Engine
) -> None:
    """PostgreSQL keeps each month in a table of its own; SQLite does without."""
    months_us = [NOON_US - 62 * DAY_US, NOON_US - 31 * DAY_US, NOON_US]
    records = [a_record(number, admitted_us=each) for number, each in enumerate(months_us)]
    await history.keep("default", settled(*records))
    await history.forget_before(months_us[1] + 1)
    assert len(await history.page(LedgerQuery(), 10, {}, None)) == 1
    await history.keep("default", settled(a_record(9, admitted_us=months_us[0])))
    assert len(await history.page(LedgerQuery(), 10, {}, None)) == 2
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            tables = "SELECT relname FROM pg_class WHERE relname ~ '^ledger_records_m[0-9]+$'"
            assert sorted(connection.execute(text(tables)).scalars()) == [
                "ledger_records_m202611",
                "ledger_records_m202612",
                "ledger_records_m202701",
            ]


async def test_an_outage_costs_a_file_and_no_record(
    engine: Engine, store: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is away the oldest records leave the full store, and come in later."""
    monkeypatch.setattr("tollgate.reporting.recording._BACKOFF_S", (0.0,))
    await write(store, [a_record(number) for number in range(1_000)], settled_us=NOON_US)
    history = Failing(engine)
    terms = RecorderTerms(most_entries=100)
    away = recorder(store, history, tmp_path / "overflow", terms)
    with pytest.raises(HistoryUnavailable):
        await away.prepare()
    await away.relieve_store()
    stream = ValkeyLedgerStream(store)
    assert await stream.length("default") == 100
    (file,) = (tmp_path / "overflow").iterdir()
    with file.open("ab") as lines:
        lines.write(b'{"torn')
    history.outages = 0
    later = recorder(store, history, tmp_path / "overflow", terms)
    await later.prepare()
    assert await later.drain() == 1_000
    assert list((tmp_path / "overflow").iterdir()) == []
    assert await spent(history) == {"k": 5_000}


async def test_one_recorder_of_a_store_works(store: Valkey) -> None:
    """The others wait until it gives its lease back, or is gone."""
    one, other = ValkeyLease(store), ValkeyLease(store)
    assert [await each.take() for each in (one, other, one)] == [True, False, True]
    await other.give_back()
    assert not await other.take()
    await one.give_back()
    assert await other.take()
    assert 0 < await store.pttl(RECORDER) <= 5_000


def test_the_newest_revision_is_the_one_that_is_written() -> None:
    """A schema of that revision is not looked at again."""
    config = Config()
    config.set_main_option("script_location", "tollgate.adapters.history:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST
