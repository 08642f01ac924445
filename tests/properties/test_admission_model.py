"""The admitted set equals that of a straightforward model of the rules of admission, for random
people, limits and traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.desk import Desk, admission, chat

from tollgate.core.callers.rules import Policy
from tollgate.core.calls.decision import Admission
from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import Customer, LimitSet, Member, ModelLimits, Team
from tollgate.core.entities import User as Person
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates

MODELS = ("gpt-4o", "fast")
# One nano-dollar for each token, so that budgets can be read as tokens.
PRICE = Price("test", (Rates(10**6, 10**6, 10**6, 10**6, 10**6),))


@dataclass(frozen=True)
class Call:
    """A request, what it will have used, and how many later requests come before it ends."""

    wait_ms: int
    model: str
    customer: str | None
    max_tokens: int
    used: int
    ends_after: int


@dataclass(frozen=True)
class World:
    """Everybody's limits."""

    proxy: LimitSet
    team: LimitSet
    member: LimitSet
    user: LimitSet
    customer: LimitSet
    stranger: LimitSet
    key: LimitSet
    narrowed: LimitSet


def limit_sets() -> st.SearchStrategy[LimitSet]:
    few = st.one_of(st.none(), st.none(), st.integers(0, 8))
    many = st.one_of(st.none(), st.none(), st.integers(0, 400))
    return st.builds(
        LimitSet,
        rpm=few,
        tpm=many,
        parallel=few,
        max_budget_nanousd=many,
        budget_duration=st.sampled_from([None, "5s", "1m"]),
        budget_since_us=st.just(1_799_999_999_000_000),
    )


def calls() -> st.SearchStrategy[list[Call]]:
    call = st.builds(
        Call,
        wait_ms=st.integers(0, 9000),
        model=st.sampled_from(MODELS),
        customer=st.sampled_from([None, "known", "stranger"]),
        max_tokens=st.integers(0, 90),
        used=st.integers(0, 150),
        ends_after=st.integers(0, 4),
    )
    return st.lists(call, max_size=25)


@dataclass
class Tally:
    """One scope of the model: its level of requests and tokens as exact fractions, its money, and
    who is inside.
    """

    limits: LimitSet
    requests: Fraction = Fraction(0)
    tokens: Fraction = Fraction(0)
    inside: set[int] = field(default_factory=set)
    spent: int = 0
    held: dict[int, int] = field(default_factory=dict)
    period: int = 0
    token_holds: dict[int, int] = field(default_factory=dict)

    def pass_time(self, ms: int, now_us: int) -> None:
        self.requests = max(
            Fraction(0), self.requests - Fraction(ms * (self.limits.rpm or 0), 60_000)
        )
        self.tokens = max(Fraction(0), self.tokens - Fraction(ms * (self.limits.tpm or 0), 60_000))
        if self.limits.budget_duration is not None:
            length = {"5s": 5_000_000, "1m": 60_000_000}[self.limits.budget_duration]
            period = (now_us - self.limits.budget_since_us) // length
            if period != self.period:
                self.period, self.spent = period, 0

    def hold_of_tokens(self, estimate: int) -> int:
        return max(1, min(estimate, self.limits.tpm or 0))

    def admits(self, estimate: int) -> bool:
        limits = self.limits
        return (
            (limits.rpm is None or self.requests + 1 <= limits.rpm)
            and (limits.tpm is None or self.tokens + self.hold_of_tokens(estimate) <= limits.tpm)
            and (limits.parallel is None or len(self.inside) < limits.parallel)
            and (
                limits.max_budget_nanousd is None
                or self.spent + sum(self.held.values()) < limits.max_budget_nanousd
            )
        )

    def left(self) -> int:
        """What is left of the budget."""
        return (self.limits.max_budget_nanousd or 0) - self.spent - sum(self.held.values())

    def admit(self, number: int, estimate: int, hold: int) -> None:
        self.requests += 1
        self.token_holds[number] = self.hold_of_tokens(estimate)
        self.tokens += self.token_holds[number]
        self.inside.add(number)
        if self.limits.max_budget_nanousd is not None:
            self.held[number] = hold

    def settle(self, number: int, used: int) -> None:
        self.tokens = max(Fraction(0), self.tokens + used - self.token_holds.pop(number))
        self.inside.discard(number)
        self.held.pop(number, None)
        self.spent += used


class Model:
    """The rules of admission, section by section, with nothing clever."""

    def __init__(self, world: World) -> None:
        self.tallies = {name: Tally(limits) for name, limits in vars(world).items()}
        # A customer without a limit of its own has that of customers in general.
        self.tallies["customer"] = Tally(world.customer.or_else(world.stranger))

    def scopes(self, call: Call) -> Iterator[Tally]:
        yield from (self.tallies[name] for name in ("proxy", "team", "member", "user"))
        if call.customer is not None:
            yield self.tallies["customer" if call.customer == "known" else "stranger"]
        yield self.tallies["key"]
        if call.model == MODELS[0]:
            yield self.tallies["narrowed"]

    def ask(self, call: Call, number: int, estimate: int) -> bool:
        scopes = list(self.scopes(call))
        if not all(scope.admits(estimate) for scope in scopes):
            return False
        budgets = [scope.left() for scope in scopes if scope.limits.max_budget_nanousd is not None]
        hold = min([max(1, estimate), *budgets])
        for scope in scopes:
            scope.admit(number, estimate, hold)
        return True


def desk_of(world: World) -> Desk:
    desk = Desk(
        deployments=tuple(
            Deployment(name, name, "openai", "gpt-4o", "http://mock-llm/v1") for name in MODELS
        ),
        price=PRICE,
    )
    desk.clock.us = 1_800_000_000_000_000
    desk.terms = replace(desk.terms, policy=Policy(proxy=world.proxy, customer=world.stranger))
    desk.people.teams["t"] = Team("t", limits=world.team)
    desk.people.members["t/u"] = Member("t", "u", limits=world.member)
    desk.people.users["u"] = Person("u", limits=world.user)
    desk.people.customers["known"] = Customer("known", limits=world.customer)
    desk.key(
        team_id="t",
        user_id="u",
        limits=world.key,
        model_limits=(ModelLimits(MODELS[0], world.narrowed),),
    )
    return desk


async def walk(world: World, traffic: list[Call]) -> None:
    desk, model = desk_of(world), Model(world)
    running: list[tuple[int, Call, Admission]] = []
    for number, call in enumerate(traffic):
        desk.clock.us += call.wait_ms * 1000
        for tally in model.tallies.values():
            tally.pass_time(call.wait_ms, desk.clock.us)
        for each in [each for each in running if each[0] + each[1].ends_after < number]:
            running.remove(each)
            assert each[2].reservation is not None
            settlement = Settlement(Usage(input_tokens=each[1].used), each[1].used, 200, "test")
            await desk.counters.settle(each[2].reservation, settlement)
            for tally in model.scopes(each[1]):
                tally.settle(each[0], each[1].used)
        body = chat(
            model=call.model,
            max_tokens=call.max_tokens,
            **({"user": call.customer} if call.customer else {}),
        )
        decision = await desk.ask(body)
        estimate = desk.prompt_tokens(body) + call.max_tokens
        assert isinstance(decision, Admission) == model.ask(call, number, estimate), (
            number,
            decision,
        )
        if isinstance(decision, Admission):
            running.append((number, call, admission(decision)))


@settings(max_examples=200, deadline=None)
@given(world=st.builds(World, *([limit_sets()] * 8)), traffic=calls())
def test_the_admitted_set_is_that_of_the_rules(world: World, traffic: list[Call]) -> None:
    """Whoever passes by the rules passes, and nobody else."""
    asyncio.run(walk(world, traffic))
