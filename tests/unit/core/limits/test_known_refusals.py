"""Refusals from memory: exactly those that the store would give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.desk import Desk, People, admission, refusal
from tests.fakes import FixedClock, MemoryCounters
from tests.make import limit_set

from tollgate.core.calls.decision import Admission, Refusal
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import Customer, LimitSet, ModelLimits, Team, User
from tollgate.core.limits.accounts import Standing
from tollgate.core.money.pricing import Price, Rates


class _Counting(MemoryCounters):
    asked = 0

    async def reserve(self, reservation: Reservation) -> Standing:
        self.asked += 1
        return await super().reserve(reservation)


def desk_of(limits: LimitSet) -> tuple[Desk, _Counting]:
    clock = FixedClock()
    counters = _Counting(clock)
    desk = Desk(People(generation=1), clock=clock, counters=counters)
    desk.key(limits=limits)
    return desk, counters


async def test_a_caller_without_requests_left_is_refused_without_asking_the_store() -> None:
    """Until the first refill, which the store decides about again; the words and the wait are those
    that it would give.
    """
    desk, counters = desk_of(limit_set(rpm=2))
    for _ in range(2):
        admission(await desk.ask())
    _, first, headers = refusal(await desk.ask())
    assert counters.asked == 3
    desk.clock.us += 10_000_000
    _, again, later = refusal(await desk.ask())
    assert counters.asked == 3
    assert (headers["retry-after"], later["retry-after"]) == ("30", "20")
    assert again["error"]["message"] == first["error"]["message"].replace("30s", "20s")
    desk.clock.us += 20_000_000
    admission(await desk.ask())
    assert counters.asked == 4


async def test_a_limit_that_was_raised_counts_at_once() -> None:
    """Who was changed has other accounts."""
    desk, _ = desk_of(limit_set(rpm=1))
    admission(await desk.ask())
    refusal(await desk.ask())
    desk.key(limits=limit_set(rpm=2))
    admission(await desk.ask())


async def test_what_settlements_give_back_is_not_refused_from_memory() -> None:
    """Tokens, calls at once and budgets: another call's end may make room at any moment."""
    for limits in (limit_set(tpm=1), limit_set(parallel=1), LimitSet(max_budget_nanousd=1)):
        desk, counters = desk_of(limits)
        admission(await desk.ask())
        for _ in range(2):
            refusal(await desk.ask())
        assert counters.asked == 3


async def test_a_clock_that_was_set_back_refuses_nobody() -> None:
    """What was remembered says nothing about an earlier time."""
    desk, counters = desk_of(limit_set(rpm=1))
    admission(await desk.ask())
    refusal(await desk.ask())
    desk.clock.us -= 1_000_000
    refusal(await desk.ask())
    assert counters.asked == 3


@given(rpm=st.integers(0, 600), waits_us=st.lists(st.integers(0, 400_000), max_size=60))
async def test_memory_refuses_nobody_whom_the_store_would_let_pass(
    rpm: int, waits_us: list[int]
) -> None:
    """At any pace: the same calls pass as with a worker that remembers nothing."""
    remembering, forgetful = desk_of(limit_set(rpm=rpm))[0], desk_of(limit_set(rpm=rpm))[0]
    for wait_us in waits_us:
        decisions = []
        for desk in (remembering, forgetful):
            desk.clock.us += wait_us
            decisions.append(await desk.ask())
        forgetful.forget()
        assert isinstance(decisions[0], Refusal) == isinstance(decisions[1], Refusal)


async def spend(desk: Desk, nanousd: int) -> None:
    """One call that cost so much."""
    held = admission(await desk.ask()).reservation
    assert held is not None
    await desk.counters.settle(held, Settlement(Usage(1, 1), nanousd, 200, "test"))


BODIES = (b"", b"{", b'{"model":"gpt-4o","user":"u","messages":[]}', b'{"model":"none"}')


async def test_a_spent_budget_is_refused_until_its_period_ends_whatever_the_body() -> None:
    """Once the store has said so, by its clock; the words are the same, but for what is told of the
    model.
    """
    desk, counters = desk_of(LimitSet(max_budget_nanousd=1_000, budget_duration="1h"))
    desk.clock.us -= desk.clock.us % 3_600_000_000
    await spend(desk, 1_000)
    told = refusal(await desk.ask())
    assert counters.asked == 2
    for raw in BODIES:
        assert refusal(await desk.ask(raw))[:2] == told[:2]
    assert counters.asked == 2
    desk.clock.us += 3_600_000_000
    assert refusal(await desk.ask(b"{"))[0] == 400
    admission(await desk.ask())


async def test_a_spend_that_was_corrected_counts_at_once() -> None:
    """Whoever corrects it says that something has changed."""
    desk, counters = desk_of(LimitSet(max_budget_nanousd=1_000))
    await spend(desk, 1_000)
    for _ in range(2):
        refusal(await desk.ask())
    assert counters.asked == 2
    desk.people.generation = 2
    refusal(await desk.ask())
    assert counters.asked == 3


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (limit_set(rpm=0), "RPM"),
        (limit_set(tpm=0), "TPM"),
        (limit_set(parallel=0), "parallel"),
        (LimitSet(max_budget_nanousd=0), "Budget"),
    ],
)
@pytest.mark.parametrize("raw", BODIES)
async def test_a_limit_of_nothing_is_refused_before_the_body_is_read(
    limits: LimitSet, named: str, raw: bytes
) -> None:
    """Also the first time, and the store holds nothing for it."""
    desk, counters = desk_of(limits)
    for _ in range(2):
        status, body, _ = refusal(await desk.ask(raw))
        assert status in (401, 429)
        assert named in str(body)
    assert counters.asked == 0


async def test_a_call_that_costs_nothing_needs_no_budget() -> None:
    """Tokens are counted for free; and where a model is free the body has to say which it is."""
    desk, _ = desk_of(limit_set(max_budget_nanousd=0, tpm=0))
    desk.people.generation = None
    counted = {"model": "claude", "messages": []}
    admission(await desk.ask(counted, "/v1/messages/count_tokens"))
    free, _ = desk_of(LimitSet(max_budget_nanousd=0))
    free.price = Price("free", (Rates(0, 0, 0, 0, 0),))
    admission(await free.ask())
    assert refusal(await free.ask(b"{"))[0] == 400


async def test_a_limit_for_one_model_or_customer_refuses_no_other() -> None:
    """What the body says decides there."""
    desk, _ = desk_of(LimitSet())
    desk.key(model_limits=(ModelLimits("gpt-4o", limit_set(rpm=0)),))
    for _ in range(2):
        assert refusal(await desk.ask())[0] == 429
        admission(await desk.ask({"model": "fast", "messages": []}))
    desk.key()
    desk.people.customers["c"] = Customer("c", limits=limit_set(rpm=0))
    for _ in range(2):
        assert refusal(await desk.ask({"model": "fast", "messages": [], "user": "c"}))[0] == 429
        admission(await desk.ask({"model": "fast", "messages": []}))
        headers = {"authorization": "Bearer sk-test", "x-litellm-customer-id": "c"}
        assert refusal(await desk.ask(b"{", headers=headers))[0] == 429


@pytest.mark.parametrize("kind", ["team", "user"])
async def test_who_belongs_to_somebody_blocked_is_refused_before_the_body_is_read(
    kind: str,
) -> None:
    """As one whose own key is blocked."""
    desk, _ = desk_of(LimitSet())
    desk.people.teams["t"] = Team("t", blocked=kind == "team")
    desk.people.users["u"] = User("u", blocked=kind == "user")
    desk.key(team_id="t", user_id="u")
    status, body, _ = refusal(await desk.ask(b"{"))
    assert (status, "is blocked" in str(body)) == (401, True)


calls = st.tuples(
    st.integers(0, 1_200_000_000), st.integers(0, 400), st.sampled_from(["gpt-4o", "fast"])
)


@given(
    budget=st.integers(0, 600), rpm=st.sampled_from([None, 0, 3]), made=st.lists(calls, max_size=40)
)
async def test_memory_of_budgets_refuses_nobody_whom_the_store_would_let_pass(
    budget: int, rpm: int | None, made: list[tuple[int, int, str]]
) -> None:
    """At any pace, over the ends of periods, and whatever calls cost."""
    limits = limit_set(rpm=rpm, max_budget_nanousd=budget, budget_duration="1h")
    desks = [desk_of(limits)[0] for _ in range(2)]
    for wait_us, cost, model in made:
        decisions = []
        for desk in desks:
            desk.clock.us += wait_us
            decision = await desk.ask({"model": model, "messages": []})
            decisions.append(isinstance(decision, Refusal))
            if isinstance(decision, Admission) and decision.reservation is not None:
                await desk.counters.settle(
                    decision.reservation, Settlement(Usage(1, 1), cost, 200, "test")
                )
        desks[1].forget()
        assert decisions[0] == decisions[1]
