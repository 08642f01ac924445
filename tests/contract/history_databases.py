"""Databases of each kind, empty, and records to fill them with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, text
from tests.fakes import FixedClock
from tests.postgresql import postgresql_server
from valkey.asyncio import Valkey

from tollgate.adapters.history.database import open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.overflow_files import OverflowFiles
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.keys import ORGANIZATIONS, organization_keys
from tollgate.core.calls.records import Record, request_id
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import Group, SettledText
from tollgate.reporting.call_events import EventPublisher
from tollgate.reporting.recording import Recorder, RecorderTerms

NOON_US = 1_800_014_400_000_000  # 2027-01-15T12:00Z
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
_numbers = count(1)
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
    """A history that keeps nothing yet."""
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


def settled(*records: Record, settled_us: int = NOON_US) -> list[SettledText]:
    return [SettledText(settled_us, msgspec.json.encode(each)) for each in records]


async def write(
    store: Valkey,
    records: Sequence[Record],
    organization: str = "default",
    settled_us: int | None = None,
    each_entry: int = 2,
) -> None:
    """Records of a ledger, so many in each entry of its stream."""
    await store.sadd(ORGANIZATIONS, organization)  # type: ignore[misc] # the library's stub knows no await
    for at in range(0, len(records), each_entry):
        fields = {
            str(number): msgspec.json.encode(each)
            for number, each in enumerate(records[at : at + each_entry])
        }
        # Redis 6.2 takes no `TIME-*`.
        entry = "*" if settled_us is None else f"{settled_us // 1000}-{next(_numbers)}"
        await store.xadd(organization_keys(organization)[1], fields, id=entry)  # type: ignore[arg-type]


class Leased:
    """A lease that this recorder has."""

    async def take(self) -> bool:
        return True

    async def give_back(self) -> None:
        """There is nobody else."""


def recorder(
    store: Valkey,
    history: SqlHistory,
    folder: Path,
    terms: RecorderTerms | None = None,
    clock: FixedClock | None = None,
    events: EventPublisher | None = None,
) -> Recorder:
    stream = ValkeyLedgerStream(store)
    files, clock = OverflowFiles(folder), clock or FixedClock(NOON_US)
    return Recorder(
        stream, history, clock, Leased(), files, terms or RecorderTerms(), events=events
    )


async def spent(history: SqlHistory, group: Group = Group.KEY, **days: int) -> dict[str, int]:
    """Nano-dollars by group."""
    recorded = await history.usage(LedgerQuery(**days), (group,))
    return {row.groups[0]: row.sums.nanousd for row in recorded.rows}
