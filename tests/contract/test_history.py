"""The history over real databases: each record counts once, whatever is repeated or interrupted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, select, text
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
    spent,
    write,
)
from tests.fakes import FixedClock
from valkey.asyncio import Valkey

from tollgate.adapters.history.database import NEWEST, migrate, open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.tables import METADATA, RECORDS
from tollgate.adapters.valkey.counters.ledger import ValkeyLedger
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.core.calls.ledger_sums import LedgerSums
from tollgate.core.errors import BadRequest, HistoryUnavailable, SettingsError
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import Group
from tollgate.reporting.full_ledger import FullLedger
from tollgate.reporting.recording import RecorderTerms
from tollgate.reporting.usage_sums import UsageSums

__all__ = ["engine", "history", "postgresql_url"]


async def test_a_record_counts_once_however_often_it_is_told(history: SqlHistory) -> None:
    """Twice in one part, in two parts that overlap, or after a restart."""
    one, two, three = (a_record(number) for number in range(3))
    assert await history.keep("default", settled(one, two, one)) == 2
    assert await history.keep("default", settled(two, three)) == 1
    assert await history.keep("default", settled(one, two, three)) == 0
    (row,) = (await history.usage(LedgerQuery(), (Group.KEY,))).rows
    assert (row.groups, row.sums) == (("k",), LedgerSums(3, 0, 9, 6, nanousd=15))


async def test_parts_of_all_sizes_are_kept_by_the_same_statements(
    history: SqlHistory, engine: Engine
) -> None:
    """SQLite's driver keeps a compiled statement for each text that it has met lately."""
    texts: set[str] = set()

    def told(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        texts.add(statement)

    event.listen(engine, "before_cursor_execute", told)
    await history.keep("default", settled(a_record(0), a_record(1)))
    of_two = set(texts)
    await history.keep("default", settled(*(a_record(number) for number in range(700))))
    assert texts == of_two
    assert await spent(history) == {"k": 700 * 5}


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


@pytest.mark.parametrize("steps", ["at once", "by every migration"])
def test_a_database_gets_the_tables_that_the_code_reads_and_writes(
    engine: Engine, steps: str
) -> None:
    """Whether it is new, or of the earliest version; twice is as once."""
    if steps == "by every migration":
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    for _ in range(2):
        migrate(engine)
    with engine.connect() as connection:
        # The months of PostgreSQL's records are tables of their own.
        named = {"include_name": lambda name, *_: not str(name).startswith("ledger_records_m")}
        context = MigrationContext.configure(connection, opts=named)
        assert compare_metadata(context, METADATA) == []


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
        (LedgerQuery(deployment="d", least_nanousd=5, most_nanousd=5), numbers),
        (LedgerQuery(deployment="e"), []),
        (LedgerQuery(least_nanousd=6), []),
        (LedgerQuery(most_nanousd=4), []),
        (LedgerQuery(without=("key",)), numbers[::2]),
        (LedgerQuery(without=("tag", "team")), numbers[1::2]),
        (LedgerQuery(without=("key", "tag")), []),
        (LedgerQuery(without=("model",)), []),
        (LedgerQuery(outside=("key:k",)), numbers[::2]),
        (LedgerQuery(outside=("key:",)), numbers[1::2]),
        (LedgerQuery(outside=("key:k", "key:")), []),
        (LedgerQuery(outside=("key:other", "model:n", "deployment:e", "status:500")), numbers),
        (LedgerQuery(outside=("organization:acme", "tag:TAG", "tag:y")), numbers[::2]),
        (LedgerQuery(outside=("tag:x",)), []),
        (LedgerQuery(outside=("status:200",)), []),
        (LedgerQuery(outside=("organization:default",)), []),
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
            (LedgerQuery(deployment="d", least_nanousd=1), (Group.USER,)),
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


def test_the_newest_revision_is_the_one_that_is_written() -> None:
    """A schema of that revision is not looked at again."""
    config = Config()
    config.set_main_option("script_location", "tollgate.adapters.history:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST
