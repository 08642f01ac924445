"""The recorder takes each record of the store into the history once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import Engine, select
from tests.contract.history_databases import (
    DAY_US,
    HOUR_US,
    NOON_US,
    Leased,
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

from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.history.overflow_files import OverflowFiles
from tollgate.adapters.history.tables import RECORDS
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.adapters.valkey.keys import RECORDER
from tollgate.adapters.valkey.outbox.recorder_lease import ValkeyLease
from tollgate.core.errors import HistoryUnavailable
from tollgate.ports.history_ports import SettledText
from tollgate.reporting.recording import Recorder, RecorderTerms

__all__ = ["engine", "history", "postgresql_url"]


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


async def test_a_part_stays_small_however_many_records_an_entry_holds(store: Valkey) -> None:
    """Workers that are busy write up to 64 at once; none is left out or told twice."""
    records = [a_record(number) for number in range(5_000)]
    await write(store, records[:30], each_entry=1)
    await write(store, records[30:4_500], each_entry=64)
    await write(store, records[4_500:], each_entry=1)
    stream, position, found = ValkeyLedgerStream(store), None, list[str]()
    while (part := await stream.after("default", position)) is not None:
        assert len(part.records) <= 2_500
        position = part.position
        found += [each.read().record.id for each in part.records]
    assert found == [each.id for each in records]


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


class Kept(SqlHistory):
    """A database that tells when it has kept something."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.kept = asyncio.Event()

    async def keep(
        self, organization: str, records: Sequence[SettledText], position: str | None = None
    ) -> int:
        new = await super().keep(organization, records, position)
        self.kept.set()
        return new


class Failing(Kept):
    """A database that is away for a while."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.outages = 2

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
    await write(store, [a_record(1)], settled_us=NOON_US)
    history = Failing(engine)
    recording = recorder(store, history, tmp_path)
    running = asyncio.create_task(recording.run())
    await asyncio.wait_for(history.kept.wait(), 10)
    recording.stop()
    await running
    assert await spent(history) == {"k": 5}
    assert [each.getMessage() for each in caplog.records].count(
        "delivery to the history fails and is tried again: away"
    ) == 1
    assert caplog.messages[-1].endswith(" s: 2 tries failed")


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


async def test_a_recorder_without_the_lease_takes_in_its_own_files(
    history: SqlHistory, engine: Engine, store: Valkey, tmp_path: Path
) -> None:
    """No other recorder can read them: it may be on another machine."""
    await write(store, [a_record(number) for number in range(10)], settled_us=NOON_US)
    terms = RecorderTerms(most_entries=0)
    await recorder(store, history, tmp_path, terms).relieve_store()

    class Refused(Leased):
        async def take(self) -> bool:
            return False

    files, stream = OverflowFiles(tmp_path), ValkeyLedgerStream(store)
    taken_in = Kept(engine)
    other = Recorder(stream, taken_in, FixedClock(NOON_US), Refused(), files, terms)
    running = asyncio.create_task(other.run())
    await asyncio.wait_for(taken_in.kept.wait(), 10)
    other.stop()
    await running
    assert await spent(history) == {"k": 50}
    assert not [part async for part in files.waiting()]


async def test_one_recorder_of_a_store_works(store: Valkey) -> None:
    """The others wait until it gives its lease back, or is gone."""
    one, other = ValkeyLease(store), ValkeyLease(store)
    assert [await each.take() for each in (one, other, one)] == [True, False, True]
    await other.give_back()
    assert not await other.take()
    await one.give_back()
    assert await other.take()
    assert 0 < await store.pttl(RECORDER) <= 5_000
