"""Reading the ledger: what settlement wrote is found again, however much of it there is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.ledger import ValkeyLedger
from tollgate.adapters.valkey.keys import ORGANIZATIONS, organization_keys
from tollgate.core.calls.records import Record, request_id
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Account, Scope, ScopeKind
from tollgate.ports import LedgerPage, LedgerQuery

ACCOUNT = Account(Scope(ScopeKind.KEY, "h"))
ALL = LedgerQuery()
NOW_US = 1_800_000_000_000_000
DAY_US = 86_400_000_000


async def settled(store: Valkey, pipe: Pipe, *identities: str, organization: str = "acme") -> None:
    """Calls that were settled one after the other, now."""
    counters = counters_of(store, pipe, 60_000_000, 2**52)
    for number, identity in enumerate(identities, 1):
        reservation = Reservation(
            identity, organization, (ACCOUNT,), 1, "openai.chat", "gpt-4o", "d", 1, 1
        )
        await counters.reserve(reservation)
        await counters.settle(reservation, Settlement(Usage(input_tokens=3), number, 200, "test"))


async def written(
    store: Valkey, records: Sequence[tuple[int, Record]], organization: str = "default"
) -> None:
    """A stream of records, each settled at its millisecond, several in one entry where they share
    one.
    """
    await store.sadd(ORGANIZATIONS, organization)  # type: ignore[misc] # the library's stub knows no await
    by_ms: dict[int, list[Record]] = {}
    for ms, each in records:
        by_ms.setdefault(ms, []).append(each)
    async with store.pipeline(transaction=False) as pipeline:
        for ms, several in sorted(by_ms.items()):
            fields = {
                str(number): msgspec.json.encode(each) for number, each in enumerate(several, 1)
            }
            pipeline.xadd(organization_keys(organization)[1], fields, id=f"{ms}-0")
        await pipeline.execute()


def a_record(
    number: int, *scopes: str, admitted_us: int = NOW_US, status: int = 200, model: str = "m"
) -> Record:
    return Record(
        id=request_id(admitted_us, number),
        admitted_us=admitted_us,
        model=model,
        deployment="d",
        scopes=scopes,
        status=status,
        cost_nanousd=number,
        certainty="exact",
        settled_by="test",
    )


def costs(page: LedgerPage) -> list[int]:
    return [each.record.cost_nanousd for each in page.records]


async def test_records_are_read_newest_first(store: Valkey, pipe: Pipe) -> None:
    """As many as are asked for, and then the rest."""
    await settled(store, pipe, "a", "b", "c")
    ledger = ValkeyLedger(store)
    first = await ledger.page(ALL, 2)
    assert [
        (each.record.id, each.record.cost_nanousd, each.record.input_tokens)
        for each in first.records
    ] == [
        ("c", 3, 3),
        ("b", 2, 3),
    ]
    rest = await ledger.page(ALL, 2, first.cursor)
    assert ([each.record.id for each in rest.records], rest.cursor) == (["a"], None)


@pytest.mark.parametrize("size", [1, 7, 200, 1_000])
async def test_pages_hold_each_record_once(store: Valkey, size: int) -> None:
    """Of three organizations, in entries of several records each, whatever a page holds."""
    everything = []
    for name, shift in (("default", 0), ("a c", 1), ("mü", 0)):
        records = [
            (NOW_US // 1000 + number // 3 + shift, a_record(number)) for number in range(300)
        ]
        await written(store, records, name)
        everything += [ms for ms, _ in records]
    ledger, found, cursor = ValkeyLedger(store), [], None
    while True:
        page = await ledger.page(ALL, size, cursor)
        found += [(each.settled_us // 1000, each.record.id) for each in page.records]
        if (cursor := page.cursor) is None:
            break
        assert len(page.records) == size
    assert [ms for ms, _ in found] == sorted(everything, reverse=True)
    assert set(Counter(identity for _, identity in found).values()) == {3}


async def test_what_is_settled_meanwhile_moves_no_page(store: Valkey) -> None:
    """A cursor stands between two records, not at a number of them."""
    await written(store, [(1_000, a_record(1)), (2_000, a_record(2))])
    ledger = ValkeyLedger(store)
    first = await ledger.page(ALL, 1)
    await written(store, [(3_000, a_record(3))])
    assert (costs(first), costs(await ledger.page(ALL, 1, first.cursor))) == ([2], [1])


@pytest.mark.parametrize(
    "cursor", ["", "x", "1-2", "1-2-x-default", "-1-0-0-a", "1" * 99 + "-0-0-a", "1-0-0-a\nb"]
)
async def test_a_cursor_that_nobody_told_is_refused(store: Valkey, cursor: str) -> None:
    """By name."""
    with pytest.raises(BadRequest, match="cursor"):
        await ValkeyLedger(store).page(ALL, 1, cursor)


async def test_filters_come_before_bounds(store: Valkey) -> None:
    """Five of one key behind thousands of another's are found, and only they."""
    now_ms = NOW_US // 1000
    rare = [(now_ms + number, a_record(number, "key:a", "team:t")) for number in range(5)]
    common = [
        (now_ms + number, a_record(number, "key:b", status=500)) for number in range(10, 3_000)
    ]
    await written(store, [*rare, *common])
    ledger = ValkeyLedger(store)
    queries = {
        LedgerQuery(payers=("key:a",)): 5,
        LedgerQuery(payers=("key:a", "team:t")): 5,
        LedgerQuery(payers=("key:a", "team:x")): 0,
        LedgerQuery(payers=("key:",)): 0,
        LedgerQuery(failed=False): 5,
        LedgerQuery(status=500): 2_990,
        LedgerQuery(model="other"): 0,
        LedgerQuery(deployment="other"): 0,
        LedgerQuery(least_nanousd=10**12): 0,
        LedgerQuery("default"): 2_995,
        LedgerQuery("acme"): 0,
        LedgerQuery(without=("team",)): 2_990,
        LedgerQuery(outside=("key:b", "key:c")): 5,
        LedgerQuery(outside=("team:t", "status:200")): 2_990,
        LedgerQuery(outside=("team:t", "team:")): 0,
    }
    found = {query: len((await ledger.page(query, 10_000)).records) for query in queries}
    assert found == queries


async def test_a_call_counts_for_the_moment_of_its_admission(store: Valkey) -> None:
    """One that is settled on the next day belongs to the day on which it came."""
    late = a_record(1, admitted_us=NOW_US + DAY_US - 1)
    await written(store, [((NOW_US + DAY_US) // 1000 + 3_600_000, late)])
    ledger = ValkeyLedger(store)
    today = LedgerQuery(since_us=NOW_US, until_us=NOW_US + DAY_US - 1)
    tomorrow = LedgerQuery(since_us=NOW_US + DAY_US, until_us=NOW_US + 2 * DAY_US - 1)
    assert (costs(await ledger.page(today, 9)), costs(await ledger.page(tomorrow, 9))) == ([1], [])


@pytest.mark.parametrize("number", [0, 1, 4_999, 5_000])
async def test_a_request_is_found_by_its_id_alone(store: Valkey, number: int) -> None:
    """First or last of thousands within a second, or half an hour later."""
    late_us = [each * 200 // 1000 * 1000 for each in range(5_000)] + [1_800_000_000]
    await written(store, [((NOW_US + us) // 1000, a_record(at)) for at, us in enumerate(late_us)])
    identity = request_id(NOW_US, number)
    page = await ValkeyLedger(store).page(LedgerQuery(request_id=identity), 10)
    assert [each.record.id for each in page.records] == [identity]


async def test_readers_at_once_see_the_same(store: Valkey) -> None:
    """Each has its own place in the stream."""
    await written(store, [(number + 1, a_record(number)) for number in range(500)])
    ledger = ValkeyLedger(store)
    pages = await asyncio.gather(*(ledger.page(ALL, 500) for _ in range(5)))
    assert len({tuple(costs(page)) for page in pages}) == 1
