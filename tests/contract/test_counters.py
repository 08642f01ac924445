"""The rules that every store of counters keeps."""

from __future__ import annotations

import asyncio

from msgspec import structs
from tests.contract.conftest import LEASE_US, Bench
from tests.make import (
    DOLLAR,
    KEY,
    TEAM,
    account_of,
    budget,
    parallel,
    refused_by,
    requests,
    reservation,
    settlement,
    tokens,
)
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.cluster.of_store import counters_of
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.core.limits import bucket
from tollgate.core.limits.accounts import (
    Account,
    Balance,
    Meter,
    Period,
    Quota,
    Scope,
    ScopeKind,
)

USER = Scope(ScopeKind.USER, "u1")
CUSTOMER = Scope(ScopeKind.CUSTOMER, "c1")


async def test_exactly_the_limit_passes_however_many_come_at_once(bench: Bench) -> None:
    """No over-admission under concurrency: 50 at once on a limit of 10 pass 10."""
    standings = await asyncio.gather(
        *(bench.counters.reserve(reservation(f"r{n}", requests(10))) for n in range(50))
    )
    assert sum(s.refused is None for s in standings) == 10


async def test_a_refused_request_changes_nothing(bench: Bench) -> None:
    """All or nothing: what fits one limit and not the next leaves both as they were."""
    accounts = (
        account_of(TEAM, rpm=5, tpm=100),
        account_of(KEY, parallel=1, budget_nanousd=DOLLAR),
    )
    assert (await bench.counters.reserve(reservation("first", *accounts))).refused is None
    before = await bench.counters.peek("default", accounts)

    refused = await bench.counters.reserve(reservation("second", *accounts))

    assert refused_by(refused, *accounts) == (1, Meter.CALLS)
    assert before == await bench.counters.peek("default", accounts)
    assert await bench.counters.settle(reservation("second", *accounts), settlement()) is None


async def test_a_call_refused_beside_others_leaves_nothing_behind(bench: Bench) -> None:
    """Calls that are decided together: one that its last limit refuses gives back what it took of
    the limits before, and one that is admitted keeps all of it.
    """
    month = Period(0, bench.clock.us - 5_000_000, bench.clock.us + 10**13)
    taken = (
        *account_of(TEAM, rpm=5, tpm=1000).limits,
        Quota(Meter.REQUESTS, 50, 0, "1mo", month),
        Quota(Meter.TOKENS, 5000, 0, "1mo", month),
        Quota(Meter.CALLS, 9),
        Quota(Meter.USD, 10 * DOLLAR),
    )
    poor, rich = Account(TEAM, taken), (Account(TEAM, taken), requests(1))
    standings = await asyncio.gather(
        *(bench.counters.reserve(reservation(f"r{n}", *rich, tokens=40)) for n in range(3))
    )
    assert [each.refused for each in standings] == [None, 1, 1]
    [one] = (await bench.counters.peek("default", (poor,))).balances
    assert one.held == (0, 40, 0, 40, 1, 50)
    assert one.used[2:] == (1, 0, 1, 0)
    assert [bucket.remaining(*each) for each in zip(taken[:2], one.used[:2], strict=True)] == [
        4,
        960,
    ]


async def test_a_refusal_names_the_first_limit_that_did_not_fit(bench: Bench) -> None:
    """Of several full limits, the answer names the first in the order given."""
    accounts = (requests(9), account_of(TEAM, rpm=0, tpm=0), parallel(0, USER))
    standing = await bench.counters.reserve(reservation("r", *accounts))
    assert refused_by(standing, *accounts) == (1, Meter.REQUESTS)


async def test_a_refusal_says_whether_only_holds_stand_in_the_way(bench: Bench) -> None:
    """A call in flight may give back its slot, its money and the tokens that it does not use; what
    is used it does not.
    """
    for limited in (parallel(1, TEAM), budget(50, USER), tokens(40)):
        call, later = reservation(limited.scope.id, limited), reservation("later", limited)
        assert (await bench.counters.reserve(call)).refused is None
        refused = await bench.counters.reserve(later)
        assert (refused.refused, refused.only_held) == (0, True)
        await bench.counters.settle(call, settlement(tokens=1, cost=1))
        assert (await bench.counters.reserve(later)).refused is None
        await bench.counters.settle(later, settlement(tokens=1000, cost=1000))

    for spent in (budget(50, USER), tokens(40), requests(0), tokens(0), parallel(0), budget(0)):
        refused = await bench.counters.reserve(reservation("never", spent))
        assert (refused.refused, refused.only_held) == (0, False)


async def test_tokens_that_are_held_do_not_outlive_their_calls(bench: Bench) -> None:
    """What is left when all have ended was used, so nothing is worth waiting for."""
    calls = [reservation(f"r{n}", tokens(100)) for n in range(3)]
    for call in calls:
        assert (await bench.counters.reserve(call)).refused is None
    for call in calls:
        await bench.counters.settle(call, settlement(tokens=30))
        await bench.counters.settle(call, settlement(tokens=30))
    refused = await bench.counters.reserve(reservation("over", tokens(100)))
    assert (refused.refused, refused.only_held) == (0, False)


async def test_a_request_bucket_refills_continuously(bench: Bench) -> None:
    """A limit of 60 a minute gives one more each second, not all at the minute's edge."""
    for n in range(60):
        await bench.counters.reserve(reservation(f"r{n}", requests(60)))
    assert (await bench.counters.reserve(reservation("over", requests(60)))).refused == 0
    bench.advance(0.999)
    assert (await bench.counters.reserve(reservation("early", requests(60)))).refused == 0
    bench.advance(0.001)
    assert (await bench.counters.reserve(reservation("due", requests(60)))).refused is None


async def test_settling_drives_a_token_bucket_into_debt_and_time_pays_it_off(bench: Bench) -> None:
    """`tpm_limit: 5` serves one call of any size, then refuses until the debt has drained."""
    account = tokens(5)
    call = reservation("r1", account, tokens=900)
    assert (await bench.counters.reserve(call)).refused is None
    await bench.counters.settle(call, settlement(tokens=15))
    assert (await bench.counters.reserve(reservation("r2", account))).refused == 0
    bench.advance(179)
    assert (await bench.counters.reserve(reservation("r3", account))).refused == 0
    bench.advance(1)
    assert (await bench.counters.reserve(reservation("r4", account))).refused is None


async def test_settling_gives_back_what_was_held_too_much(bench: Bench) -> None:
    """An estimate of 80 that turns out to be 15 leaves 85 of 100."""
    call = reservation("r1", tokens(100), tokens=80)
    await bench.counters.reserve(call)
    standing = await bench.counters.settle(call, settlement(tokens=15))
    assert standing is not None
    assert bucket.remaining(call.accounts[0].limits[0], standing.balances[0].used[0]) == 85


async def test_settling_twice_charges_once(bench: Bench) -> None:
    """The second settlement of a reservation says so and changes nothing."""
    call = reservation("r1", account_of(KEY, tpm=100, budget_nanousd=DOLLAR), tokens=10)
    await bench.counters.reserve(call)
    assert await bench.counters.settle(call, settlement(tokens=20, cost=70)) is not None
    before = await bench.counters.peek("default", call.accounts)

    assert await bench.counters.settle(call, settlement(tokens=999, cost=999)) is None

    assert before == await bench.counters.peek("default", call.accounts)


async def test_calls_that_end_together_are_each_charged_once(bench: Bench) -> None:
    """A batch may hold a call twice, and calls that somebody else settled; the sums are those of
    the calls one by one.
    """
    account = budget(DOLLAR)
    calls = [reservation(f"r{n}", account) for n in range(100)]
    for call in calls:
        await bench.counters.reserve(call)
    await bench.counters.settle(calls[0], settlement(cost=7))
    ended = [(call, settlement(cost=7)) for call in (*calls, calls[1])]
    assert await bench.counters.settle_all(ended) == [False, *[True] * 99, False]
    (spend,) = await bench.counters.spend("default", (account,))
    assert (spend.used_nanousd, spend.held_nanousd, spend.total_nanousd) == (700, 0, 700)


async def test_a_budget_hold_is_at_most_what_remains(bench: Bench) -> None:
    """Someone with a cent left is served once; while that call runs the next is refused; afterwards
    the overshoot is one call's.
    """
    account = budget(10_000_000)
    call = reservation("r1", account, cost=400_000_000)
    assert (await bench.counters.reserve(call)).balances == (
        Balance((0,), (10_000_000,), held_nanousd=10_000_000),
    )
    assert (await bench.counters.reserve(reservation("r2", account))).refused == 0
    standing = await bench.counters.settle(call, settlement(cost=30_000_000))
    assert standing is not None
    assert standing.balances == (Balance((30_000_000,), (0,), spent_nanousd=30_000_000),)
    assert (await bench.counters.reserve(reservation("r3", account))).refused == 0


async def test_a_budget_of_zero_allows_nothing(bench: Bench) -> None:
    """0 is a limit; None is none."""
    assert (await bench.counters.reserve(reservation("r1", budget(0)))).refused == 0
    assert (await bench.counters.reserve(reservation("r2", budget(None)))).refused is None


async def test_spend_counts_where_there_is_no_limit(bench: Bench) -> None:
    """Every scope of a request is charged, limited or not, in all and by model."""
    call = reservation("r1", budget(DOLLAR), budget(None, TEAM))
    await bench.counters.reserve(call)
    await bench.counters.settle(call, settlement(cost=123))
    for spend in await bench.counters.spend("default", call.accounts):
        assert (spend.used_nanousd, spend.held_nanousd, spend.total_nanousd) == (123, 0, 123)
        assert spend.by_model_nanousd == {"gpt-4o": 123}


async def test_a_budget_starts_anew_at_the_second(bench: Bench) -> None:
    """The last microsecond of a period still refuses, the first of the next admits; a hold outlives
    the turn.
    """
    start = bench.clock.us
    period = Period(start - 10_000_000, start, start + 10_000_000)
    account = budget(100, period=period)
    spent, running = reservation("r1", account, cost=60), reservation("r2", account, cost=60)
    await bench.counters.reserve(spent)
    await bench.counters.reserve(running)
    await bench.counters.settle(spent, settlement(cost=100))
    bench.advance(9.999999)
    assert (await bench.counters.reserve(reservation("r3", account))).refused == 0
    bench.advance(0.000001)
    standing = await bench.counters.reserve(reservation("r4", account))
    assert standing.refused is None
    assert standing.balances == (
        Balance((0,), (90,), held_nanousd=90, period_start_us=period.end_us),
    )


async def test_a_call_that_ends_in_a_later_period_counts_in_none_that_is_open(bench: Bench) -> None:
    """Each dollar and token counts in the period in which its call was admitted: once that is over,
    only the totals, the sums by model and the ledger take it. Its hold is given back all the same.
    """
    start = bench.clock.us - 5_000_000
    day = Period(start - 86_400_000_000, start, start + 86_400_000_000)
    daily = Quota(Meter.TOKENS, 1000, 0, "1d", day)
    money = budget(DOLLAR, KEY, day)
    account = Account(KEY, (daily, *money.limits), day)
    late, timely = reservation("late", account), reservation("timely", account)
    assert (await bench.counters.reserve(late)).refused is None
    bench.advance(86_400)
    assert (await bench.counters.reserve(timely)).refused is None
    [held] = (await bench.counters.peek("default", (account,))).balances
    assert held.held == (60, 100)

    await bench.counters.settle(late, settlement(tokens=30, cost=DOLLAR))
    [one] = (await bench.counters.peek("default", (account,))).balances
    assert (one.used, one.held) == ((0, 0), (30, 50))
    [spend] = await bench.counters.spend("default", (account,))
    assert (spend.used_nanousd, spend.total_nanousd) == (0, DOLLAR)

    await bench.counters.settle(timely, settlement(tokens=7, cost=9))
    [one] = (await bench.counters.peek("default", (account,))).balances
    assert (one.used, one.held) == ((7, 9), (0, 0))
    [spend] = await bench.counters.spend("default", (account,))
    assert spend.total_nanousd == DOLLAR + 9


async def test_a_budget_that_slept_for_periods_is_in_the_current_one(bench: Bench) -> None:
    """Nothing needs to run at a reset: after three periods of silence the count is in
    the fourth.
    """
    start = bench.clock.us
    account = budget(100, period=Period(start - 10_000_000, start, start + 10_000_000))
    bench.advance(35)
    standing = await bench.counters.reserve(reservation("r1", account))
    assert standing.balances[0].period_start_us == start + 30_000_000


async def test_a_parallel_slot_is_free_once_settled(bench: Bench) -> None:
    """Two at once of a limit of two; the third passes when one has ended."""
    calls = [reservation(f"r{n}", parallel(2)) for n in range(3)]
    assert [(await bench.counters.reserve(call)).refused for call in calls] == [None, None, 0]
    await bench.counters.settle(calls[0], settlement())
    assert (await bench.counters.reserve(calls[2])).refused is None


async def test_a_slot_whose_lease_ran_out_is_free(bench: Bench) -> None:
    """A crashed call blocks nobody for longer than its lease."""
    await bench.counters.reserve(reservation("r1", parallel(1)))
    bench.advance(59)
    assert (await bench.counters.reserve(reservation("r2", parallel(1)))).refused == 0
    bench.advance(1)
    assert (await bench.counters.reserve(reservation("r3", parallel(1)))).refused is None


async def test_a_renewed_lease_keeps_its_slot(bench: Bench) -> None:
    """A call that still runs keeps its slot, and its reservation does not expire."""
    call = reservation("r1", parallel(1))
    await bench.counters.reserve(call)
    bench.advance(40)
    assert await bench.counters.renew(call)
    bench.advance(40)
    assert (await bench.counters.reserve(reservation("r2", parallel(1)))).refused == 0
    assert await bench.counters.expired("default") == []


async def test_an_expired_lease_gives_its_reservation_back(bench: Bench) -> None:
    """What nobody settled can be found, whole, and is gone once settled."""
    call = reservation("r1", account_of(KEY, tpm=100, budget_nanousd=DOLLAR), tokens=10)
    await bench.counters.reserve(call)
    assert await bench.counters.expired("default") == []
    bench.advance(60)
    assert await bench.counters.expired("default") == [call]
    await bench.counters.settle(call, settlement(cost=50))
    assert await bench.counters.expired("default") == []
    assert not await bench.counters.renew(call)


async def test_calls_in_flight_are_found_by_their_streams(bench: Bench) -> None:
    """Envoy knows no other name of a request whose client left before it had an answer."""
    calls = [
        structs.replace(reservation(f"r{n}", budget(DOLLAR)), stream_id=f"{n}-1") for n in range(4)
    ]
    others = [reservation(f"other{n}", budget(DOLLAR)) for n in range(3)]
    await asyncio.gather(*map(bench.counters.reserve, [*calls, *others]))
    await bench.counters.settle(calls[3], settlement(cost=1))
    found = await bench.counters.open("default", {"1-1", "2-1", "3-1", "9-1"})
    assert sorted(each.id for each in found) == ["r1", "r2"]
    assert await bench.counters.open("default", {"9-1"}) == []
    bench.advance(LEASE_US / 1_000_000)
    assert len(await bench.counters.expired("default")) == 6


async def test_nothing_is_left_of_reservations_that_are_settled(store: Valkey, pipe: Pipe) -> None:
    """Nor of the names under which they are found."""
    counters = counters_of(store, pipe, LEASE_US, LEASE_US)
    call = structs.replace(reservation("r", budget(DOLLAR)), stream_id="7-1")
    await counters.reserve(call)
    await counters.settle(call, settlement(cost=1))
    assert [name async for name in store.scan_iter("*held*")] == []


async def test_nothing_is_held_once_everything_is_settled(bench: Bench) -> None:
    """No leaked hold or slot, whatever was admitted and refused on the way."""
    accounts = (account_of(KEY, parallel=5, budget_nanousd=1_000), budget(700, TEAM))
    calls = [reservation(f"r{n}", *accounts, cost=300) for n in range(20)]
    admitted = [call for call in calls if (await bench.counters.reserve(call)).refused is None]
    for call in admitted:
        await bench.counters.settle(call, settlement(cost=1))
    standing = await bench.counters.peek("default", accounts)
    spent = len(admitted)
    assert [(b.used, b.held) for b in standing.balances] == [((0, spent), (0, 0)), ((spent,), (0,))]


async def test_every_organization_that_holds_something_is_known(bench: Bench) -> None:
    """Whoever looks for expired leases or unused holds finds those of every organization, not of
    the default one alone.
    """
    for organization in ("acme", "default"):
        call = structs.replace(
            reservation(f"of-{organization}", parallel(1)), organization=organization
        )
        await bench.counters.reserve(call)
    assert sorted(await bench.counters.organizations()) == ["acme", "default"]
    bench.advance(60)
    assert [each.id for each in await bench.counters.expired("acme")] == ["of-acme"]


async def test_a_dimensions_value_is_remembered_for_as_long_as_its_account_says(
    store: Valkey, pipe: Pipe
) -> None:
    """Though it is limited; each call puts it off."""
    counters = counters_of(store, pipe, LEASE_US, 30 * 86_400_000_000)
    session = structs.replace(requests(5, Scope(ScopeKind.SESSION, "run")), remember_ms=3_600_000)
    for name in ("a", "b"):
        held = reservation(name, session)
        await counters.reserve(held)
        await counters.settle(held, settlement(3, 7))
        (key,) = [each async for each in pipe.keys(b"*:counters:session:run")]
        assert 3_500 < await store.ttl(key) <= 3_600


async def test_a_customer_whom_nobody_registered_is_forgotten_when_idle(
    store: Valkey, pipe: Pipe
) -> None:
    """Each call puts it off; what is registered or limited stays for ever."""
    counters = counters_of(store, pipe, LEASE_US, 30 * 86_400_000_000)
    walk_in, known = Account(Scope(ScopeKind.CUSTOMER, "walk-in"), passing=True), Account(CUSTOMER)
    for name in ("a", "b"):
        held = reservation(name, walk_in, known)
        await counters.reserve(held)
        await counters.settle(held, settlement(3, 7))
        # A cluster has shares of both where it counts the organization's own scopes.
        found = [key async for key in pipe.keys(b"*:customer:*")]
        lives = {key.rpartition(b":")[2]: await store.ttl(key) for key in found}
        assert 29 * 86_400 < lives[b"walk-in"] <= 30 * 86_400
        assert lives[b"c1"] == -1
