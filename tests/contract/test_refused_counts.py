"""How many requests were refused, by day and group: of the store, the history, and both."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.contract.history_databases import engine, history, postgresql_url
from tests.contract.test_refusal_history import both, carrying
from tests.contract.test_refusals import DAY_US, now_us, reading, refused
from tests.fakes import FixedClock, MemoryRefusals
from valkey.asyncio import Valkey

from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.refusals.refusal_book import ValkeyRefusalBook
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.ports import LedgerQuery
from tollgate.ports.history_ports import Group
from tollgate.reporting.refused import Refusals

__all__ = ["engine", "history", "postgresql_url"]
Counts = dict[tuple[date, str], int]


def made(at_us: int) -> list[RefusalRecord]:
    """Refusals of two days, organizations and statuses, some with tags and some with nothing."""
    found = []
    for number in range(24):
        scopes = [f"key:k{number % 3}", f"user:u{number % 2}"]
        scopes += [f"tag:t{each}" for each in range(number % 3)]
        scopes += [f"team:a:{number % 2}"] if number % 4 else []
        record = refused(
            at_us - (number % 2) * DAY_US,
            number,
            *(scopes if number % 5 else ()),
            organization="ab"[number % 2],
        )
        status = (429, 401)[number % 3 == 0]
        model = "gpt-4o" if number % 4 else ""
        found.append(structs.replace(record, times=number + 1, status=status, model=model))
    return found


def expected(records: list[RefusalRecord], group: Group) -> Counts:
    """The same, counted plainly."""
    found: Counter[tuple[date, str]] = Counter()
    for each in records:
        named = [name.partition(":")[2] for name in each.scopes if name.startswith(f"{group}:")]
        plain = {
            Group.ORGANIZATION: [each.organization],
            Group.MODEL: [each.model],
            Group.STATUS: [str(each.status)],
            Group.TAG: named,
        }
        for name in plain.get(group, named or [""]):
            found[datetime.fromtimestamp(each.refused_us // 1_000_000, UTC).date(), name] += (
                each.times
            )
    return dict(found)


GROUPS = [each for each in Group if each not in (Group.DAY, Group.HOUR)]


async def check(read: Refusals, records: list[RefusalRecord], group: Group) -> None:
    """Compare what is read with what was made, as a whole and by filters."""
    at_us = max(each.refused_us for each in records)
    today = LedgerQuery(since_us=at_us // DAY_US * DAY_US, until_us=at_us)
    for query, kept in (
        (LedgerQuery(), records),
        (today, [each for each in records if each.refused_us >= at_us // DAY_US * DAY_US]),
        (LedgerQuery("a"), [each for each in records if each.organization == "a"]),
        (LedgerQuery(status=401), [each for each in records if each.status == 401]),
        (LedgerQuery(payers=("team:a:1",)), [e for e in records if "team:a:1" in e.scopes]),
        (LedgerQuery(payers=("tag:t1",)), [each for each in records if "tag:t1" in each.scopes]),
        (LedgerQuery(model="gpt-4o"), [each for each in records if each.model == "gpt-4o"]),
        (LedgerQuery(deployment="d"), []),
    ):
        found = await read.counts(query, group)
        assert found.cells == expected(kept, group)
        assert sum(found.groups.values()) == found.total == sum(found.cells.values())


@pytest.mark.parametrize("group", GROUPS)
async def test_without_a_history_the_stores_refusals_are_counted(
    store: Valkey, pipe: Pipe, group: Group
) -> None:
    """Each record for as many as it stands for; by tag once for each, without tags for none."""
    records = made(await now_us(store))
    memory = MemoryRefusals()
    await memory.add(records)
    await check(Refusals(memory, FixedClock()), records, group)
    await store.sadd("tollgate:organizations", "a", "b")  # type: ignore[misc]
    await ValkeyRefusalBook(pipe, 3 * DAY_US).add(records)
    await check(reading(store), records, group)


async def test_what_is_in_the_history_and_in_the_store_is_counted_once(
    store: Valkey, pipe: Pipe, history: SqlHistory, engine: Engine
) -> None:
    """Whatever part of it the recorder has carried over."""
    records, book = made(await now_us(store)), ValkeyRefusalBook(pipe, 3 * DAY_US)
    await store.sadd("tollgate:organizations", "a", "b")  # type: ignore[misc]
    await book.add(records[:10])
    await carrying(store, engine).once()
    await book.add(records[10:])
    for group in GROUPS:
        await check(both(store, engine), records, group)
    await carrying(store, engine).once()
    for group in GROUPS:
        await check(both(store, engine), records, group)


async def test_today_is_told_against_yesterday() -> None:
    """Until the same time of day, and as a whole; what is cached is of one moment."""
    clock = FixedClock()
    memory, at_us = MemoryRefusals(), clock.us
    read = Refusals(memory, clock)
    noon = at_us // DAY_US * DAY_US + DAY_US // 2
    clock.us = noon
    for number, refused_us in enumerate(
        (noon, noon - DAY_US, noon - DAY_US + 1, noon - 2 * DAY_US)
    ):
        record = structs.replace(refused(refused_us, number), times=10**number)
        await memory.add([record])
    days = await read.days()
    assert (days.today, days.yesterday, days.yesterday_so_far) == (1, 110, 10)
    await memory.add([refused(noon, 9)])
    assert await read.days() == days
    clock.us += 15_000_000
    assert (await read.days()).today == 2
