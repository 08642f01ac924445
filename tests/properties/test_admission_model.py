"""The admitted set equals that of a straightforward model of the rules of admission, for random
people, limits and traffic.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.desk import Desk, admission, chat
from tests.make import limit_set

from tollgate.core.callers.dimensions import SESSION, TAG
from tollgate.core.callers.rules import Policy
from tollgate.core.calls.decision import Admission
from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import (
    Customer,
    LimitSet,
    Member,
    ModelLimits,
    Organization,
    OrganizationMember,
    Tag,
    Team,
)
from tollgate.core.entities import User as Person
from tollgate.core.limits.accounts import MAX_EXACT, Meter
from tollgate.core.limits.limit import Bucket, Forever, InFlight, Limit, Recurring, Window
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
    tags: tuple[str, ...] = ()
    session: bool = False


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
    organization: LimitSet
    employee: LimitSet
    tag: LimitSet
    gold: LimitSet
    session: LimitSet
    session_of_key: LimitSet


SINCE_US = 1_799_999_999_000_000
LENGTHS_US = {"5s": 5_000_000, "1m": 60_000_000}
RATES = [meter for meter in Meter if meter not in (Meter.CALLS, Meter.USD)]


def limit_sets() -> st.SearchStrategy[LimitSet]:
    """The page's limits, mostly none, and up to two of any other kind."""
    few = st.one_of(st.none(), st.none(), st.integers(0, 8))
    many = st.one_of(st.none(), st.none(), st.integers(0, 400))
    amount = st.integers(0, 400)
    period = st.builds(Recurring, st.sampled_from(list(LENGTHS_US)))
    others = st.one_of(
        st.builds(
            Limit, st.sampled_from(RATES), amount, st.builds(Bucket, st.sampled_from([5, 7200]))
        ),
        st.builds(Limit, st.sampled_from([*RATES, Meter.USD]), amount, period),
        st.builds(Limit, st.sampled_from([*RATES, Meter.USD]), amount, st.just(Forever())),
    )
    return st.builds(
        lambda others, **page: limit_set(*others, **page),
        st.lists(others, max_size=2, unique_by=lambda each: each.counter),
        rpm=few,
        tpm=many,
        parallel=few,
        max_budget_nanousd=many,
        budget_duration=st.sampled_from([None, *LENGTHS_US]),
        budget_since_us=st.just(SINCE_US),
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
        tags=st.sampled_from([(), (), ("gold",), ("iron", "gold"), ("iron",)]),
        session=st.booleans(),
    )
    return st.lists(call, max_size=25)


@dataclass(frozen=True)
class Amounts:
    """What a call uses of each meter, or may use."""

    input_tokens: int
    output_tokens: int
    nanousd: int

    def of(self, meter: Meter) -> int:
        return {
            Meter.REQUESTS: 1,
            Meter.CALLS: 1,
            Meter.INPUT_TOKENS: self.input_tokens,
            Meter.OUTPUT_TOKENS: self.output_tokens,
            Meter.USD: self.nanousd,
        }.get(meter, self.input_tokens + self.output_tokens)


@dataclass
class Tally:
    """One limit of one scope of the model: what is settled, a bucket's as an exact fraction, and
    what each call holds. A call is settled in the period that admitted it.
    """

    meter: Meter
    amount: int
    window: Window
    settled: Fraction = Fraction(0)
    held: dict[int, int] = field(default_factory=dict)
    period: int = 0
    admitted_in: dict[int, int] = field(default_factory=dict)

    @property
    def level(self) -> Fraction:
        return self.settled + sum(self.held.values())

    def pass_time(self, ms: int, now_us: int) -> None:
        if isinstance(self.window, Bucket):
            tick_ms = 1 if self.window.seconds <= 3600 else 1000
            ticks = now_us // 1000 // tick_ms - (now_us // 1000 - ms) // tick_ms
            drained = Fraction(ticks * tick_ms * self.amount, self.window.seconds * 1000)
            # What is held is a part of what drains.
            self.settled = max(Fraction(0), self.level - drained) - sum(self.held.values())
        elif isinstance(self.window, Recurring):
            period = (now_us - SINCE_US) // LENGTHS_US[self.window.duration]
            if period != self.period:
                self.period, self.settled = period, Fraction(0)

    def asked(self, estimate: Amounts) -> int:
        return max(1, min(estimate.of(self.meter), self.amount))

    def admits(self, estimate: Amounts) -> bool:
        if isinstance(self.window, Bucket):
            return self.level + self.asked(estimate) <= self.amount
        return self.level < self.amount

    def admit(self, number: int, estimate: Amounts, holds: dict[Meter, int]) -> None:
        hold = (
            self.asked(estimate)
            if isinstance(self.window, Bucket | InFlight)
            else holds[self.meter]
        )
        if self.meter is Meter.REQUESTS:
            self.settled += hold
        else:
            self.held[number] = hold
            self.admitted_in[number] = self.period

    def settle(self, number: int, used: Amounts) -> None:
        if self.meter is Meter.REQUESTS:
            return
        level = self.level
        hold = self.held.pop(number)
        if self.meter is Meter.CALLS:
            return
        if isinstance(self.window, Bucket):
            left = max(Fraction(0), level + used.of(self.meter) - hold)
            self.settled = left - sum(self.held.values())
        elif self.admitted_in[number] == self.period:
            self.settled += used.of(self.meter)


def tallies(limits: LimitSet) -> list[Tally]:
    found = [Tally(each.meter, each.amount, each.window) for each in limits.limits]
    if limits.max_budget_nanousd is not None:
        duration = limits.budget_duration
        window = Forever() if duration is None else Recurring(duration)
        found.append(Tally(Meter.USD, limits.max_budget_nanousd, window))
    return found


class Model:
    """The rules of admission, section by section, with nothing clever."""

    def __init__(self, world: World) -> None:
        limits = dict(vars(world))
        # A customer without a limit of its own has that of customers in general.
        limits["customer"] = world.customer.or_else(world.stranger)
        # So has a tag, and a session that of its key before that of sessions in general.
        limits["gold"] = world.gold.or_else(world.tag)
        limits["iron"] = limits.pop("tag")
        limits["session"] = limits.pop("session_of_key").or_else(world.session)
        self.scopes = {name: tallies(each) for name, each in limits.items()}

    def of(self, call: Call) -> list[Tally]:
        names = ["proxy", "organization", "employee", "team", "member", "user", "key"]
        if call.customer is not None:
            names.append("customer" if call.customer == "known" else "stranger")
        names += [*call.tags, *(["session"] if call.session else [])]
        if call.model == MODELS[0]:
            names.append("narrowed")
        return [tally for name in names for tally in self.scopes[name]]

    def pass_time(self, ms: int, now_us: int) -> None:
        for scope in self.scopes.values():
            for tally in scope:
                tally.pass_time(ms, now_us)

    def ask(self, call: Call, number: int, estimate: Amounts) -> bool:
        limits = self.of(call)
        if not all(each.admits(estimate) for each in limits):
            return False
        holds: dict[Meter, int] = {}
        for each in limits:
            if not isinstance(each.window, Bucket | InFlight):
                left = int(each.amount - each.level)
                holds[each.meter] = min(
                    holds.get(each.meter, MAX_EXACT), estimate.of(each.meter), left
                )
        for each in limits:
            each.admit(number, estimate, holds)
        return True


def desk_of(world: World) -> Desk:
    desk = Desk(
        deployments=tuple(
            Deployment(name, name, "openai", "gpt-4o", "http://mock-llm/v1") for name in MODELS
        ),
        price=PRICE,
    )
    desk.clock.us = 1_800_000_000_000_000
    desk.terms = replace(
        desk.terms,
        policy=Policy(
            proxy=world.proxy,
            customer=world.stranger,
            dimensions=(
                structs.replace(TAG, limits=world.tag),
                structs.replace(SESSION, limits=world.session),
            ),
        ),
    )
    desk.people.organizations["o"] = Organization("o", limits=world.organization)
    desk.people.organization_members["o/u"] = OrganizationMember("o", "u", limits=world.employee)
    desk.people.teams["t"] = Team("t", organization="o", limits=world.team)
    desk.people.members["t/u"] = Member("t", "u", limits=world.member)
    desk.people.users["u"] = Person("u", limits=world.user)
    desk.people.tags["gold"] = Tag("gold", limits=world.gold)
    desk.people.customers["known"] = Customer("known", limits=world.customer)
    desk.key(
        team_id="t",
        user_id="u",
        limits=world.key,
        session_limits=world.session_of_key,
        model_limits=(ModelLimits(MODELS[0], world.narrowed),),
    )
    return desk


async def walk(world: World, traffic: list[Call]) -> None:
    desk, model = desk_of(world), Model(world)
    running: list[tuple[int, Call, Admission]] = []
    for number, call in enumerate(traffic):
        desk.clock.us += call.wait_ms * 1000
        model.pass_time(call.wait_ms, desk.clock.us)
        for each in [each for each in running if each[0] + each[1].ends_after < number]:
            running.remove(each)
            assert each[2].reservation is not None
            used = Amounts(each[1].used, each[1].used // 3, each[1].used)
            usage = Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens)
            await desk.counters.settle(
                each[2].reservation, Settlement(usage, used.nanousd, 200, "test")
            )
            for tally in model.of(each[1]):
                tally.settle(each[0], used)
        body = chat(
            model=call.model,
            max_tokens=call.max_tokens,
            **({"user": call.customer} if call.customer else {}),
            metadata={"tags": list(call.tags), **({"trace_id": "s"} if call.session else {})},
        )
        decision = await desk.ask(body)
        prompt_tokens = desk.prompt_tokens(body)
        cost = max(1, prompt_tokens + call.max_tokens)
        estimate = Amounts(prompt_tokens, call.max_tokens, cost)
        assert isinstance(decision, Admission) == model.ask(call, number, estimate), (
            number,
            decision,
        )
        if isinstance(decision, Admission):
            running.append((number, call, admission(decision)))


@settings(max_examples=200, deadline=None)
@given(world=st.builds(World, *([limit_sets()] * len(fields(World)))), traffic=calls())
def test_the_admitted_set_is_that_of_the_rules(world: World, traffic: list[Call]) -> None:
    """Whoever passes by the rules passes, and nobody else."""
    asyncio.run(walk(world, traffic))
