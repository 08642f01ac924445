"""Where limits stood that a call passed, as its record tells it, over every store of counters."""

from __future__ import annotations

from msgspec import structs
from tests.contract.conftest import Bench
from tests.make import DOLLAR, KEY, TEAM, account_of, reservation

from tollgate.core.calls import record_text, reservation_text
from tollgate.core.calls.passed_limits import Passage, levels_before
from tollgate.core.calls.records import Record
from tollgate.core.calls.reservation import Reservation, Settlement, WorstCase
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.limits.accounts import Account, Enforcement, Meter, Period, Quota, Scope

MONTH = Period(0, 1_800_000_000_000_000 - 5_000_000, 1_800_000_000_000_000 + 10**13)
NARROWED = Scope("key", "k1", "gpt-4o")
ACCOUNTS = (
    account_of(TEAM, rpm=50, tpm=5_000),
    Account(
        KEY,
        (
            Quota(Meter.REQUESTS, 40, 0, "1mo", MONTH),
            Quota(Meter.TOKENS, 4_000, 0, "1mo", MONTH),
            Quota(Meter.INPUT_TOKENS, 3_000, 60),
            Quota(Meter.OUTPUT_TOKENS, 3_000, 0, "1mo", MONTH),
            Quota(Meter.UNCACHED_TOKENS, 3_000, 60),
            Quota(Meter.CALLS, 9),
            Quota(Meter.USD, 10 * DOLLAR),
        ),
    ),
    account_of(NARROWED, budget_nanousd=DOLLAR),
    Account(Scope("proxy", "proxy")),
)
USED = Usage(100, 20, cache_read_tokens=30)
COST_NANOUSD = 7_000_000
# What one call uses of each limit above.
EACH = [1, 120, 1, 120, 100, 20, 90, 0, COST_NANOUSD, COST_NANOUSD]


async def admitted(bench: Bench, name: str) -> Reservation:
    """Admit a call; its reservation as it travels with the request."""
    held = reservation(name, *ACCOUNTS, tokens=60, cost=1_000_000)
    standing = await bench.counters.reserve(held)
    assert standing.refused is None
    text = reservation_text.encode(held, levels_before(standing))
    return reservation_text.decode(text)


async def settled(bench: Bench, held: Reservation) -> Record:
    """Settle a call; its record."""
    settlement = Settlement(USED, COST_NANOUSD, 200, "test")
    assert await bench.counters.settle(held, settlement) is not None
    return record(held, settlement)


def record(held: Reservation, settlement: Settlement) -> Record:
    """The record of a settled call, as the ledger tells it."""
    return record_text.decode(record_text.encode(held, settlement))


def amounts(passages: list[Passage], name: str) -> list[int]:
    return [getattr(each, name) for each in passages]


async def test_what_stood_after_one_call_stands_before_the_next(bench: Bench) -> None:
    """Of every meter and window, when calls come one after the other."""
    first = (await settled(bench, await admitted(bench, "r1"))).passages
    second = (await settled(bench, await admitted(bench, "r2"))).passages
    assert amounts(first, "before") == [0] * len(EACH)
    assert amounts(first, "used") == EACH
    assert amounts(first, "after") == EACH
    assert amounts(second, "before") == EACH
    assert amounts(second, "after") == [2 * each for each in EACH]


async def test_what_calls_in_flight_hold_stands_beside_it(bench: Bench) -> None:
    """This call included; a request is counted at once, so none is held."""
    await admitted(bench, "r1")
    passages = (await settled(bench, await admitted(bench, "r2"))).passages
    assert amounts(passages, "before") == [1, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    assert amounts(passages, "held") == [0, 120, 0, 120, 20, 100, 120, 2, 2_000_000, 2_000_000]


async def test_each_limit_is_told_with_whose_it_is(bench: Bench) -> None:
    """Its scope among those that paid, its amount and window, and the model it is narrowed to."""
    passages = (await settled(bench, await admitted(bench, "r1"))).passages
    told = [
        (each.payer, each.limit.meter, each.limit.amount, each.limit.window, each.limit.only_for)
        for each in passages
    ]
    assert told[:2] == [
        ("team:t1", "requests", 50, "1m", None),
        ("team:t1", "tokens", 5_000, "1m", None),
    ]
    assert told[2] == ("key:k1", "requests", 40, "1mo", None)
    assert told[7:] == [
        ("key:k1", "calls", 9, "", None),
        ("key:k1", "usd", 10 * DOLLAR, "", None),
        ("key:k1", "usd", DOLLAR, "", "gpt-4o"),
    ]
    assert not any(each.limit.shadow for each in passages)


async def test_a_limit_in_shadow_mode_is_told_as_one(bench: Bench) -> None:
    """It counts, and refuses nothing."""
    shadow = Quota(Meter.TOKENS, 500, 60, enforcement=Enforcement(shadow=True))
    held = reservation("r1", Account(KEY, (shadow,)))
    levels = levels_before(await bench.counters.reserve(held))
    told = record(structs.replace(held, levels=levels), Settlement(USED, 1, 200, "test")).passages
    assert [each.limit.shadow for each in told] == [True]


async def test_a_strict_limit_tells_the_worst_case_that_it_keeps(bench: Bench) -> None:
    """Of a call whose bill nobody knows; of others what they used."""
    strict = Account(KEY, (Quota(Meter.TOKENS, 900, 60, enforcement=Enforcement(strict=True)),))
    told = []
    for number, certainty in enumerate((Certainty.PARTIAL, Certainty.EXACT)):
        held = reservation(f"r{number}", account_of(TEAM, tpm=900), strict)
        held = structs.replace(held, worst=WorstCase(100, 100, 90))
        levels = levels_before(await bench.counters.reserve(held))
        ended = Settlement(structs.replace(USED, certainty=certainty), 1, 200, "test")
        assert await bench.counters.settle(held, ended) is not None
        told.append(record(structs.replace(held, levels=levels), ended).passages)
    assert [amounts(each, "used") for each in told] == [[120, 200], [120, 120]]


async def test_a_call_whose_lease_expired_tells_no_levels(bench: Bench) -> None:
    """What the store keeps of it was written before they were known."""
    held = reservation("r1", *ACCOUNTS)
    await bench.counters.reserve(held)
    assert record(held, Settlement(USED, 1, 200, "lease")).passages == []


async def test_a_call_without_limits_carries_nothing(bench: Bench) -> None:
    """Neither with the request nor in the ledger."""
    held = reservation("r1", Account(KEY))
    levels = levels_before(await bench.counters.reserve(held))
    assert reservation_text.encode(held, levels) == reservation_text.encode(held)
    assert record(held, Settlement(USED, 1, 200, "test")).passages == []
