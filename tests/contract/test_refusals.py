"""Refused requests that were recorded are found again: in memory and in a real Valkey."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from msgspec import structs
from tests.fakes import FixedClock, MemoryRefusals
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.keys import refusals_key
from tollgate.adapters.valkey.refusals.refusal_book import MOST_KEPT, ValkeyRefusalBook
from tollgate.adapters.valkey.refusals.refusal_log import ValkeyRefusalLog
from tollgate.core.calls.records import request_id
from tollgate.core.calls.refusal_records import LimitHit, RefusalRecord
from tollgate.core.errors import BadRequest
from tollgate.ports import LedgerQuery
from tollgate.ports.event_ports import RefusalBook
from tollgate.reporting.refused import Refusals

ALL = LedgerQuery()
DAY_US = 86_400_000_000


@dataclass
class Recorded:
    """A book, and where it is read."""

    book: RefusalBook
    read: Refusals

    async def ids(self, query: LedgerQuery) -> list[str]:
        """Of all records that match, the newest first, read in pages of two."""
        found: list[str] = []
        cursor = None
        while True:
            page = await self.read.page(query, 2, cursor)
            found += [each.id for each in page.records]
            if (cursor := page.cursor) is None:
                return found
            assert len(page.records) == 2


def reading(store: Valkey) -> Refusals:
    return Refusals(ValkeyRefusalLog(store), FixedClock())


@pytest.fixture(params=["memory", "valkey"])
async def recorded(request: pytest.FixtureRequest, store: Valkey, pipe: Pipe) -> Recorded:
    """Each implementation of the ports."""
    if request.param == "memory":
        memory = MemoryRefusals()
        return Recorded(memory, Refusals(memory, FixedClock()))
    return Recorded(ValkeyRefusalBook(pipe, DAY_US), reading(store))


async def now_us(store: Valkey) -> int:
    seconds, microseconds = await store.time()
    return int(seconds) * 1_000_000 + int(microseconds)


def refused(at_us: int, number: int, *scopes: str, organization: str = "default") -> RefusalRecord:
    return RefusalRecord(
        id=request_id(at_us, number),
        organization=organization,
        refused_us=at_us,
        status=429,
        reason="key_requests",
        message="Rate limit reached for key laptop",
        scopes=scopes,
        model="gpt-4o",
    )


async def test_a_record_comes_back_as_it_was_written(recorded: Recorded, store: Valkey) -> None:
    """With its limit."""
    hit = LimitHit(
        scope="key",
        scope_id="h",
        scope_name="laptop",
        meter="usd",
        amount=5,
        used=3,
        held=2,
        asked=9,
        until_us=1,
    )
    record = structs.replace(refused(await now_us(store), 1), hit=hit, times=7, key_name="laptop")
    await recorded.book.add([record])
    assert (await recorded.read.page(ALL, 10)).records == (record,)


async def test_refusals_are_read_newest_first(recorded: Recorded, store: Valkey) -> None:
    """In pages that hold each once, and of one organization if it is named."""
    at_us = await now_us(store)
    records = [refused(at_us, number) for number in range(5)]
    other = refused(at_us, 9, organization="a c")
    for each in (*records, other):
        await recorded.book.add([each])
    ids = [each.id for each in reversed(records)]
    everything = await recorded.ids(ALL)
    assert [each for each in everything if each != other.id] == ids
    assert len(everything) == 6
    assert await recorded.ids(LedgerQuery("default")) == ids


async def test_filters_of_refusals_must_all_match(recorded: Recorded, store: Valkey) -> None:
    """Whose, which model, when, and one by its id."""
    at_us = await now_us(store)
    first, second = refused(at_us, 1, "key:k", "team:t"), refused(at_us + 5, 2, "key:l", "team:t")
    await recorded.book.add([first, second])
    for query, expected in (
        (LedgerQuery(payers=("team:t",)), [second, first]),
        (LedgerQuery(payers=("team:t", "key:k")), [first]),
        (LedgerQuery(payers=("team:u",)), []),
        (LedgerQuery(model="gpt-5"), []),
        (LedgerQuery(since_us=at_us + 1), [second]),
        (LedgerQuery(until_us=at_us + 1), [first]),
        (LedgerQuery(request_id=first.id), [first]),
        (LedgerQuery(request_id="of somebody else"), []),
        (replace(LedgerQuery(status=401), model="gpt-4o"), []),
    ):
        assert await recorded.ids(query) == [each.id for each in expected]


async def test_a_cursor_that_nobody_told_is_refused(store: Valkey) -> None:
    """By name."""
    with pytest.raises(BadRequest):
        await reading(store).page(ALL, 1, "nonsense")


async def test_the_stream_of_refusals_is_bounded_and_goes_when_nothing_is_refused(
    store: Valkey, pipe: Pipe
) -> None:
    """The newest stay."""
    book, at_us = ValkeyRefusalBook(pipe, DAY_US), await now_us(store)
    for start in range(0, MOST_KEPT + 2_000, 2_000):
        await book.add([refused(at_us, start + number) for number in range(2_000)])
    key = refusals_key("default")
    assert MOST_KEPT <= await store.xlen(key) < MOST_KEPT + 200
    assert 0 < await store.pttl(key) <= DAY_US // 1000
    (newest,) = (await reading(store).page(ALL, 1)).records
    assert newest.id == request_id(at_us, MOST_KEPT + 1_999)
