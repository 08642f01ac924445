"""The history over real databases: each record counts once, whatever is repeated or interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, select, text
from tests.fakes import FixedClock
from tests.postgresql import postgresql_server
from valkey.asyncio import Valkey

from tollgate.adapters.history.database import migrate, open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.tables import METADATA, RECORDS
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.keys import ORGANIZATIONS, organization_keys
from tollgate.core.calls.records import Record, request_id
from tollgate.core.errors import HistoryUnavailable, SettingsError
from tollgate.history_ports import SpendGroup, SpendQuery, SpendSum, StreamedRecords
from tollgate.ports import Settled
from tollgate.reporting.recording import Recorder

NOON_US = 1_800_014_400_000_000  # 2027-01-15T12:00Z
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
SCOPES = ("proxy:proxy", "team:t", "member:t/u", "user:u", "customer:c", "key:k")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The database of a real server."""
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """An empty database of each kind, as the recorder finds it."""
    if request.param == "sqlite":
        engine = open_database(f"sqlite:///{tmp_path}/history/history.db")
    else:
        engine = open_database(request.getfixturevalue("postgresql_url"))
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    yield engine
    engine.dispose()


@pytest.fixture
async def history(engine: Engine) -> SqlHistory:
    history = SqlHistory(engine)
    await history.prepare()
    return history


def a_record(
    number: int,
    *scopes: str,
    admitted_us: int = NOON_US,
    cost_nanousd: int = 5,
    status: int = 200,
    model: str = "m",
) -> Record:
    return Record(
        3,
        2,
        id=request_id(admitted_us, number),
        admitted_us=admitted_us,
        model=model,
        deployment="d",
        scopes=scopes or SCOPES,
        status=status,
        cost_nanousd=cost_nanousd,
        certainty="exact",
        settled_by="test",
    )


def streamed(*records: Record, position: str = "1-0", settled_us: int = NOON_US) -> StreamedRecords:
    return StreamedRecords(tuple(Settled(settled_us, each) for each in records), position)


async def spent(
    history: SqlHistory, group: SpendGroup = SpendGroup.KEY, **days: int
) -> dict[str, int]:
    """Nano-dollars by group."""
    sums = await history.sums(SpendQuery(group, **days))
    return {each.group: each.cost_nanousd for each in sums}


async def write(store: Valkey, records: Sequence[Record], organization: str = "default") -> None:
    """Records of a ledger, two in each entry of its stream."""
    await store.sadd(ORGANIZATIONS, organization)  # type: ignore[misc] # the library's stub knows no await
    for at in range(0, len(records), 2):
        fields = {
            str(number): msgspec.json.encode(each)
            for number, each in enumerate(records[at : at + 2])
        }
        await store.xadd(organization_keys(organization)[1], fields)  # type: ignore[arg-type]


def recorder(store: Valkey, history: SqlHistory, kept_us: int | None = None) -> Recorder:
    return Recorder(ValkeyLedgerStream(store), history, FixedClock(NOON_US), kept_us)


async def test_a_record_counts_once_however_often_it_is_told(history: SqlHistory) -> None:
    """Twice in one part, in two parts that overlap, or after a restart."""
    one, two, three = (a_record(number) for number in range(3))
    assert await history.keep("default", streamed(one, two, one)) == 2
    assert await history.keep("default", streamed(two, three)) == 1
    assert await history.keep("default", streamed(one, two, three)) == 0
    assert await history.sums(SpendQuery(SpendGroup.KEY)) == [SpendSum("k", 3, 0, 9, 6, 15)]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (SpendGroup.KEY, {"k": 12, "other": 1}),
        (SpendGroup.TEAM, {"t": 12}),
        (SpendGroup.MEMBER, {"t/u": 12}),
        (SpendGroup.USER, {"u": 12}),
        (SpendGroup.CUSTOMER, {"c": 12}),
        (SpendGroup.MODEL, {"m": 6, "n": 7}),
        (SpendGroup.ORGANIZATION, {"acme": 1, "default": 12}),
    ],
)
async def test_sums_are_by_what_is_asked(
    history: SqlHistory, group: SpendGroup, expected: dict[str, int]
) -> None:
    """A payer's records, or all of them once."""
    mine = (a_record(1), a_record(2, model="n", cost_nanousd=7))
    await history.keep("default", streamed(*mine))
    await history.keep("acme", streamed(a_record(3, "key:other", cost_nanousd=1)))
    assert await spent(history, group) == expected


async def test_the_greatest_spend_comes_first_and_failures_are_told(history: SqlHistory) -> None:
    """Whatever the names are."""
    await history.keep(
        "default",
        streamed(
            a_record(1, "key:a"),
            a_record(2, "key:b", cost_nanousd=9),
            a_record(3, "key:b", cost_nanousd=0, status=502),
        ),
    )
    assert await history.sums(SpendQuery(SpendGroup.KEY)) == [
        SpendSum("b", 2, 1, 6, 4, 9),
        SpendSum("a", 1, 0, 3, 2, 5),
    ]


async def test_a_late_settlement_counts_on_the_day_of_its_admission(history: SqlHistory) -> None:
    """Days are of UTC and come in their order."""
    midnight_us = NOON_US + 12 * HOUR_US
    before, after = midnight_us - 1, midnight_us
    late = streamed(
        a_record(1, admitted_us=after, cost_nanousd=4),
        a_record(2, admitted_us=before, cost_nanousd=9),
        settled_us=after + HOUR_US,
    )
    await history.keep("default", late)
    first = NOON_US // DAY_US * 24
    assert await spent(history, SpendGroup.DAY) == {str(first): 9, str(first + 24): 4}
    assert await spent(history, since_us=midnight_us) == {"k": 4}
    assert await spent(history, until_us=before) == {"k": 9}


async def test_sums_are_exact_beyond_what_a_double_holds(history: SqlHistory) -> None:
    """Nano-dollars of nine million dollars and more."""
    large = 2**53 + 1
    for number in range(2):
        await history.keep("default", streamed(a_record(number, cost_nanousd=large)))
    assert await spent(history) == {"k": 2 * large}


async def test_what_fails_halfway_leaves_nothing_behind(history: SqlHistory) -> None:
    """Records, sums and position are one transaction."""
    await history.keep("default", streamed(a_record(1), position="1-0"))
    too_much = a_record(3, cost_nanousd=2**63 - 1)
    with pytest.raises((HistoryUnavailable, OverflowError)):
        # The sum with what is there is larger than a database's integer.
        await history.keep("default", streamed(a_record(2), too_much, position="2-0"))
    assert (await spent(history), await history.position("default")) == ({"k": 5}, "1-0")


async def test_old_records_go_and_their_sums_stay(history: SqlHistory, engine: Engine) -> None:
    """Retention is of single records."""
    old = a_record(1, admitted_us=NOON_US - 3 * DAY_US)
    await history.keep("default", streamed(old, a_record(2)))
    await history.forget_before(NOON_US - DAY_US)
    with engine.begin() as connection:
        assert connection.execute(select(RECORDS.c.id)).scalars().all() == [a_record(2).id]
    assert await spent(history) == {"k": 10}


def test_the_migrations_make_the_tables(engine: Engine) -> None:
    """What the code reads and writes is what a migrated database has; twice is as once."""
    for _ in range(2):
        migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, METADATA) == []


async def test_a_recorder_takes_every_record_of_every_organization(
    history: SqlHistory, store: Valkey
) -> None:
    """More than it reads at once; and what comes later, where it stopped."""
    records = [a_record(number) for number in range(901)]
    await write(store, records)
    await write(store, [a_record(5_000, "key:theirs")], "a c")
    first = recorder(store, history)
    assert await first.drain() == 902
    await write(store, [a_record(6_000)])
    assert (await first.drain(), await first.drain()) == (1, 0)
    assert await spent(history) == {"k": 902 * 5, "theirs": 5}


async def test_a_recorder_that_was_killed_goes_on_where_it_stopped(
    history: SqlHistory, store: Valkey
) -> None:
    """Its position is in the database: a copy of that from before is caught up too."""
    await write(store, [a_record(number) for number in range(500)])
    await recorder(store, history).drain()
    position = await history.position("default")
    await write(store, [a_record(number) for number in range(500, 600)])
    assert await recorder(store, history).drain() == 100
    assert position is not None
    await history.keep("default", StreamedRecords((), position))
    assert await recorder(store, history).drain() == 0
    assert await spent(history) == {"k": 600 * 5}


async def test_two_recorders_at_once_count_each_record_once(
    history: SqlHistory, store: Valkey
) -> None:
    """Each replica of `tollgate serve` has one."""
    await write(store, [a_record(number) for number in range(1_000)])
    both = [recorder(store, history), recorder(store, history)]
    assert sum(await asyncio.gather(*(each.drain() for each in both))) == 1_000
    assert await spent(history) == {"k": 5_000}


async def test_a_recorder_removes_what_is_kept_no_longer(
    history: SqlHistory, store: Valkey, engine: Engine
) -> None:
    """By the setting; the sums stay."""
    await write(store, [a_record(1, admitted_us=NOON_US - 3 * DAY_US), a_record(2)])
    keeping = recorder(store, history, kept_us=2 * DAY_US)
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

    async def keep(self, organization: str, streamed: StreamedRecords) -> int:
        new = await super().keep(organization, streamed)
        self.kept.set()
        return new

    async def prepare(self) -> None:
        if self.outages:
            self.outages -= 1
            raise HistoryUnavailable("away")
        await super().prepare()


async def test_a_recorder_waits_for_a_database_that_is_away(
    engine: Engine, store: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and loses nothing."""
    monkeypatch.setattr("tollgate.reporting.recording._BACKOFF_S", (0.0,))
    await write(store, [a_record(1)])
    history = Failing(engine)
    recording = recorder(store, history)
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
