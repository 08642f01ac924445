"""What every store of counters does with strict limits, and with what periods leave unused."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs
from tests.contract.conftest import Bench
from tests.make import KEY, TEAM, reservation, settlement

from tollgate.core.calls.reservation import Reservation, Settlement, WorstCase
from tollgate.core.calls.usage import Certainty
from tollgate.core.limits.accounts import (
    ENFORCED,
    Account,
    Enforcement,
    Meter,
    Period,
    Quota,
    Scope,
    ScopeKind,
)
from tollgate.core.limits.amended import trickle_of
from tollgate.core.limits.bucket import units

STRICT = Enforcement(strict=True)
DAY_US = 86_400_000_000


def worst(identity: str, asked: int, *accounts: Account) -> Reservation:
    """A call that is estimated at little, and may use so much."""
    call = reservation(identity, *accounts, tokens=2, cost=2)
    return structs.replace(call, worst=WorstCase(0, asked, asked))


def strict(amount: int, meter: Meter, seconds: int = 0, scope: Scope = KEY) -> Account:
    duration = None if seconds else "ever"
    return Account(scope, (Quota(meter, amount, seconds, duration, enforcement=STRICT),))


LIMITS = [strict(1000, Meter.TOKENS, 86_400), strict(1000, Meter.TOKENS), strict(1000, Meter.USD)]


@pytest.mark.parametrize("limited", LIMITS)
async def test_a_strict_limit_admits_what_fits_whole(bench: Bench, limited: Account) -> None:
    """Nothing is held in part; what did not fit changes nothing."""
    first = await bench.counters.reserve(worst("first", 600, limited))
    second = await bench.counters.reserve(worst("second", 401, limited))
    third = await bench.counters.reserve(worst("third", 400, limited))
    assert (first.refused, second.refused, third.refused) == (None, 0, None)
    assert second.only_held


@pytest.mark.parametrize("limited", LIMITS)
async def test_a_call_that_cannot_fit_is_refused_by_an_untouched_limit(
    bench: Bench, limited: Account
) -> None:
    """Not by holds: no other call's end would help."""
    standing = await bench.counters.reserve(worst("first", 1001, limited))
    assert (standing.refused, standing.by, standing.only_held) == (0, 0, False)


@pytest.mark.parametrize("limited", LIMITS)
async def test_five_hundred_at_the_edge_of_a_strict_limit_do_not_pass_it(
    bench: Bench, limited: Account
) -> None:
    """Each uses its worst case; 142 of 7 fit into 1000."""
    calls = [worst(f"r{n}", 7, limited) for n in range(500)]
    standings = await asyncio.gather(*map(bench.counters.reserve, calls))
    admitted = [call for call, found in zip(calls, standings, strict=True) if found.refused is None]
    assert len(admitted) == 142
    await bench.counters.settle_all([(each, settlement(7, 7)) for each in admitted])
    left = await bench.counters.reserve(worst("last", 7, limited))
    assert (left.refused, left.only_held) == (0, False)


UNSURE = [
    (settlement(7, 7, Certainty.PARTIAL), 600),
    (settlement(7, 7, Certainty.ESTIMATED), 600),
    (settlement(7, 7, Certainty.EXPIRED), 600),
    (settlement(700, 700, Certainty.PARTIAL), 700),
    (settlement(0, 0, Certainty.NONE), 0),
    (structs.replace(settlement(0, 0, Certainty.NONE), unanswered=True), 600),
    (settlement(7, 7), 7),
]


@pytest.mark.parametrize("limited", LIMITS)
@pytest.mark.parametrize(("ended", "counted"), UNSURE)
async def test_a_strict_limit_keeps_what_a_provider_may_bill(
    bench: Bench, limited: Account, ended: Settlement, counted: int
) -> None:
    """The worst case, unless the provider told the usage. Other limits count what is believed."""
    loose = Account(TEAM, (Quota(limited.limits[0].meter, 1000, 0, "ever"),))
    call = worst("first", 600, loose, limited)
    assert (await bench.counters.reserve(call)).refused is None
    assert await bench.counters.settle(call, ended) is not None
    standing = await bench.counters.peek(call.organization, call.accounts)
    believed = (
        ended.cost_nanousd if limited.limits[0].meter is Meter.USD else (ended.usage.total_tokens)
    )
    size = units(limited.limits[0].seconds) if limited.limits[0].seconds else 1
    assert [each.used for each in standing.balances] == [(believed,), (counted * size,)]
    assert standing.balances[1].held == (0,)


async def test_other_limits_hold_the_estimate(bench: Bench) -> None:
    """The worst case is for strict limits alone."""
    loose = Account(TEAM, (Quota(Meter.TOKENS, 1000, duration="ever"),))
    accounts = (loose, strict(1000, Meter.TOKENS))
    standing = await bench.counters.reserve(worst("first", 900, *accounts))
    assert [each.held for each in standing.balances] == [(2,), (900,)]


SHADOW = Enforcement(shadow=True)
COUNTED = [meter for meter in Meter if meter not in (Meter.REQUESTS, Meter.CALLS)]


async def test_each_meter_may_be_limited_in_every_manner_at_once(bench: Bench) -> None:
    """Strictly, as an estimate and in shadow mode: one call holds of all, and settles all."""
    shadow_strict = Enforcement(shadow=True, strict=True)
    accounts = tuple(
        Account(scope, tuple(Quota(each, 1000, 0, "ever", enforcement=how) for each in COUNTED))
        for scope, how in (
            (Scope(ScopeKind.PROXY, "proxy"), ENFORCED),
            (TEAM, STRICT),
            (Scope(ScopeKind.USER, "u1"), SHADOW),
            (KEY, shadow_strict),
        )
    )
    call = worst("first", 100, *accounts)
    assert (await bench.counters.reserve(call)).refused is None
    assert await bench.counters.settle(call, settlement(7, 7)) is not None
    standing = await bench.counters.peek(call.organization, accounts)
    assert [each.held for each in standing.balances] == [(0,) * len(COUNTED)] * 4
    assert [each.used for each in standing.balances] == [(7, 7, 0, 7, 7)] * 4


@pytest.mark.parametrize("amounts", [(1000, 100), (100, 1000)])
async def test_a_guess_is_held_as_the_smallest_limit_takes_it(
    bench: Bench, amounts: tuple[int, int]
) -> None:
    """A quarter of it, wherever it stands: or else a call would hold all of a small limit."""
    accounts = tuple(
        Account(scope, (Quota(Meter.TOKENS, amount, 0, "ever"),))
        for scope, amount in zip((TEAM, KEY), amounts, strict=True)
    )
    call = structs.replace(reservation("first", *accounts, tokens=500), guessed=True)
    standing = await bench.counters.reserve(call)
    assert [each.held for each in standing.balances] == [(35,), (35,)]


async def test_a_limit_in_shadow_mode_changes_nothing_that_others_hold(bench: Bench) -> None:
    """Or else a budget would be exceeded by more than a call where another one is tried out."""
    tried = Account(KEY, (Quota(Meter.USD, 1, 0, "ever", enforcement=SHADOW),))
    enforced = Account(TEAM, (Quota(Meter.USD, 1000, 0, "ever"),))
    standing = await bench.counters.reserve(reservation("first", enforced, tried, cost=50))
    assert [each.held for each in standing.balances] == [(50,), (1,)]


async def test_a_strict_limit_in_shadow_mode_holds_the_estimate(bench: Bench) -> None:
    """It lowers no output limit, so the worst case is not what it would have been asked for."""
    how = Enforcement(shadow=True, strict=True)
    tried = Account(KEY, (Quota(Meter.USD, 1000, 0, "ever", enforcement=how),))
    rate = Account(TEAM, (Quota(Meter.TOKENS, 1000, 60, enforcement=how),))
    standing = await bench.counters.reserve(worst("first", 5000, rate, tried))
    assert (standing.refused, [each.held for each in standing.balances]) == (None, [(2,), (2,)])


def monthly(bench: Bench, amount: int, cap: int, meter: Meter = Meter.TOKENS) -> Account:
    """A limit a day of the bench's clock, whose days are counted from where it began."""
    start_us = bench.clock.us - bench.clock.us % DAY_US
    period = Period(start_us - DAY_US, start_us, start_us + DAY_US)
    return Account(KEY, (Quota(meter, amount, 0, "1d", period, rollover=cap),))


async def use(bench: Bench, identity: str, amount: int, account: Account) -> None:
    call = reservation(identity, account, tokens=1, cost=1)
    assert (await bench.counters.reserve(call)).refused is None
    await bench.counters.settle(call, settlement(amount, amount))


async def used(bench: Bench, account: Account) -> int:
    (balance,) = (await bench.counters.peek("default", (account,))).balances
    return balance.used[0]


@pytest.mark.parametrize("meter", [Meter.TOKENS, Meter.USD])
@pytest.mark.parametrize(
    ("spent", "days", "cap", "left"),
    [
        (40, 1, 1000, -60),
        (40, 1, 50, -50),
        (40, 3, 1000, -260),
        (40, 3, 250, -250),
        (130, 1, 1000, 0),
        (130, 2, 1000, -100),
        (40, 1, 0, 0),
    ],
)
async def test_what_a_period_leaves_is_carried_over_up_to_a_cap(
    bench: Bench, meter: Meter, spent: int, days: int, cap: int, left: int
) -> None:
    """Also of periods in which nobody called; overspend is not carried over."""
    await use(bench, "first", spent, monthly(bench, 100, cap, meter))
    bench.advance(86_400 * days)
    assert await used(bench, monthly(bench, 100, cap, meter)) == left
    await use(bench, "second", 5, monthly(bench, 100, cap, meter))
    assert await used(bench, monthly(bench, 100, cap, meter)) == left + 5


async def test_what_was_carried_over_can_be_used(bench: Bench) -> None:
    """And is carried over itself, as far as it is left."""
    await use(bench, "first", 40, monthly(bench, 100, 1000))
    bench.advance(86_400)
    await use(bench, "second", 150, monthly(bench, 100, 1000))
    assert await used(bench, monthly(bench, 100, 1000)) == 90
    bench.advance(86_400)
    assert await used(bench, monthly(bench, 100, 1000)) == -10


async def test_nothing_is_carried_over_from_before_the_first_call(bench: Bench) -> None:
    """A limit that was never used has had no period that could leave something."""
    assert await used(bench, monthly(bench, 100, 1000)) == 0
    call = reservation("first", monthly(bench, 100, 1000), tokens=1)
    assert (await bench.counters.reserve(call)).refused is None
    assert await used(bench, monthly(bench, 100, 1000)) == 0


async def test_a_throttled_limit_carries_over_what_it_left_itself(bench: Bench) -> None:
    """A call of its trickle enters the next period first: nothing was left of the spent one."""
    (limit,) = monthly(bench, 100, 1000).limits
    throttled = structs.replace(limit, enforcement=Enforcement(throttle_percent=50))
    account = Account(KEY, (throttled,))
    await use(bench, "first", 100, account)
    trickling = Account(KEY, trickle_of(account, throttled))
    call = reservation("second", trickling, tokens=1, cost=1)
    assert (await bench.counters.reserve(call)).refused is None
    bench.advance(86_400)
    await bench.counters.settle(call, settlement(5, 5))
    assert await used(bench, account) == 0
