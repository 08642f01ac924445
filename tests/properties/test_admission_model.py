"""The admitted set equals that of a straightforward model of the rules of admission, for random
people, limits and traffic.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.desk import Desk, chat
from tests.make import limit_set
from tests.properties.admission_rules import LENGTHS_US, Amounts, Asked, Model

from tollgate.core.callers.dimensions import SESSION, TAG
from tollgate.core.callers.rules import Policy
from tollgate.core.calls.decision import Admission
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import (
    NO_LIMITS,
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
from tollgate.core.limits.accounts import ENFORCED, Enforcement, Meter
from tollgate.core.limits.limit import (
    METERS,
    Bucket,
    Forever,
    InFlight,
    Limit,
    Raise,
    Recurring,
    Window,
)
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates

LIMITED, OTHER = MODELS = ("gpt-4o", "fast")
# One nano-dollar for each token, so that budgets can be read as tokens.
PRICE = Price("test", (Rates(10**6, 10**6, 10**6, 10**6, 10**6),))
START_US = 1_800_000_000_000_000
MOST_OUTPUT = 80
SINCE_US = START_US - 1_000_000


@dataclass(frozen=True)
class Call:
    """A request, what it will have used, and how many later requests come before it ends."""

    wait_ms: int
    model: str
    customer: str | None
    max_tokens: int | None
    used: int
    ends_after: int
    tags: tuple[str, ...] = ()
    session: bool = False


@dataclass(frozen=True)
class World:
    """Everybody's limits; `narrowed` and `narrowed_member` those of a key and a member for calls of
    one model.
    """

    proxy: LimitSet
    team: LimitSet
    member: LimitSet
    user: LimitSet
    customer: LimitSet
    stranger: LimitSet
    key: LimitSet
    narrowed: LimitSet
    narrowed_member: LimitSet
    organization: LimitSet
    employee: LimitSet
    tag: LimitSet
    gold: LimitSet
    session: LimitSet
    session_of_key: LimitSet


SCOPES = [each.name for each in fields(World)]
NARROWED = ("narrowed", "narrowed_member")
RATES = [meter for meter in Meter if meter not in (Meter.CALLS, Meter.USD)]
PERIODS = [Recurring(each) for each in LENGTHS_US]
KINDS: list[tuple[Meter, Window]] = [
    *((meter, Bucket(seconds)) for meter in RATES for seconds in (5, 60, 7200)),
    *((meter, window) for meter in (*RATES, Meter.USD) for window in (*PERIODS, Forever())),
    (Meter.CALLS, InFlight()),
]
# What a limit may do instead of a refusal; one that its kind does not know is enforced.
HOW = [
    ENFORCED,
    ENFORCED,
    Enforcement(shadow=True),
    Enforcement(strict=True),
    Enforcement(strict=True, shadow=True),
    Enforcement(throttle_percent=2),
    Enforcement(throttle_percent=50),
    *[Enforcement(fallback_model=OTHER)] * 2,
]
RAISES = [None, None, *(Raise(each, START_US + each * 1_000_000) for each in (10, 40, 90))]
ROLLOVERS = [None, 0, 30, 1000]


@dataclass(frozen=True)
class Said:
    """One limit of a scope; its budget where `budget` says so."""

    scope: str
    kind: tuple[Meter, Window]
    amount: int
    how: Enforcement
    increase: Raise | None
    rollover: int | None
    budget: bool

    @property
    def limit(self) -> Limit:
        meter, window = self.kind
        how, rollover = self.how, self.rollover
        if how.strict and not (METERS[meter].tokens or meter is Meter.USD):
            how = ENFORCED
        if how.throttle_percent and not isinstance(window, Bucket | Recurring):
            how = ENFORCED
        if how.fallback_model and self.scope not in NARROWED:
            how = ENFORCED
        rollover = rollover if isinstance(window, Recurring) else None
        amount = self.amount % 9 if meter in (Meter.REQUESTS, Meter.CALLS) else self.amount
        return Limit(meter, amount, window, how, self.increase, rollover)


def limits_of(said: list[Said], shadow: bool) -> LimitSet:
    """What was said of one scope; of two limits that share a counter the first."""
    found = {each.limit.counter: each.limit for each in reversed(said) if not each.budget}
    budget = next((each for each in said if each.budget), None)
    if budget is None:
        return limit_set(*found.values(), budget_since_us=SINCE_US, shadow=shadow)
    _, window = budget.kind
    return limit_set(
        *found.values(),
        max_budget_nanousd=budget.amount,
        budget_duration=window.duration if isinstance(window, Recurring) else None,
        budget_since_us=SINCE_US,
        budget_increase=budget.increase,
        budget_shadow=budget.how.shadow,
        shadow=shadow,
    )


def worlds() -> st.SearchStrategy[World]:
    """A few limits, wherever they belong: more would leave nobody anything to do."""
    said = st.builds(
        Said,
        st.sampled_from([*SCOPES, *NARROWED, *NARROWED]),
        st.sampled_from(KINDS),
        st.one_of(st.integers(0, 40), st.integers(0, 400)),
        st.sampled_from(HOW),
        st.sampled_from(RAISES),
        st.sampled_from(ROLLOVERS),
        st.sampled_from([False, False, False, True]),
    )
    return st.builds(
        lambda found, shadow: World(
            *[
                limits_of([each for each in found if each.scope == scope], scope == shadow)
                for scope in SCOPES
            ]
        ),
        st.lists(said, min_size=1, max_size=7),
        st.sampled_from([None, *SCOPES]),
    )


def calls() -> st.SearchStrategy[list[Call]]:
    call = st.builds(
        Call,
        wait_ms=st.integers(0, 9000),
        model=st.sampled_from(MODELS),
        customer=st.sampled_from([None, "known", "stranger"]),
        max_tokens=st.one_of(st.none(), st.integers(0, 90)),
        used=st.integers(0, 150),
        ends_after=st.integers(0, 4),
        tags=st.sampled_from([(), (), ("gold",), ("iron", "gold"), ("iron",)]),
        session=st.booleans(),
    )
    return st.lists(call, min_size=6, max_size=25)


def desk_of(world: World) -> Desk:
    desk = Desk(
        deployments=tuple(
            Deployment(name, name, "openai", "gpt-4o", "http://mock-llm/v1") for name in MODELS
        ),
        price=PRICE,
    )
    desk.limit_outputs([(["gpt-4o"], MOST_OUTPUT)])
    desk.clock.us = START_US
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
    narrowed_member = (ModelLimits(LIMITED, world.narrowed_member),)
    desk.people.members["t/u"] = Member("t", "u", limits=world.member, model_limits=narrowed_member)
    desk.people.users["u"] = Person("u", limits=world.user)
    desk.people.tags["gold"] = Tag("gold", limits=world.gold)
    desk.people.customers["known"] = Customer("known", limits=world.customer)
    desk.key(
        team_id="t",
        user_id="u",
        limits=world.key,
        session_limits=world.session_of_key,
        model_limits=(ModelLimits(LIMITED, world.narrowed),),
    )
    return desk


def model_of(world: World) -> Model:
    limits = dict(vars(world))
    # A customer without a limit of its own has that of customers in general.
    limits["customer"] = world.customer.or_else(world.stranger)
    # So has a tag, and a session that of its key before that of sessions in general.
    limits["gold"] = world.gold.or_else(world.tag)
    limits["iron"] = NO_LIMITS.or_else(limits.pop("tag"))
    session = NO_LIMITS.or_else(limits.pop("session_of_key"))
    limits["session"] = session.or_else(world.session)
    return Model(limits)


def scopes_of(call: Call, model: str) -> list[str]:
    """The scopes that a call belongs to, in the order in which a refusal names them."""
    narrowed = model == LIMITED
    found = ["proxy", "organization", "employee", "team", "member"]
    found += [*(["narrowed_member"] if narrowed else []), "user"]
    if call.customer is not None:
        found.append("customer" if call.customer == "known" else "stranger")
    found += [*call.tags, *(["session"] if call.session else []), "key"]
    return [*found, *(["narrowed"] if narrowed else [])]


def body_of(call: Call) -> dict[str, object]:
    return chat(
        model=call.model,
        **({} if call.max_tokens is None else {"max_tokens": call.max_tokens}),
        **({"user": call.customer} if call.customer else {}),
        metadata={"tags": list(call.tags), **({"trace_id": "s"} if call.session else {})},
    )


def asked_of(desk: Desk, call: Call, body: dict[str, object]) -> Asked:
    """What a call is estimated at; at most, each byte of its prompt is a token."""
    prompt, output = desk.prompt_tokens(body), call.max_tokens
    guessed = output is None
    if output is None:
        output = MOST_OUTPUT
    most = max(prompt, min(len(json.dumps(body["messages"])), 6 * prompt))
    return Asked(
        Amounts(prompt, output, max(1, prompt + output)),
        Amounts(most, output, max(1, most + output)),
        guessed,
    )


def decide(model: Model, call: Call, number: int, asked: Asked, now_us: int) -> object:
    """What the rules say: None for a refusal, or else how many limits in shadow mode the call does
    not fit, and the model that was asked for where another one serves it.
    """
    verdict = model.ask(scopes_of(call, call.model), number, asked, now_us)
    if verdict.refused_by is None:
        return verdict.spared, ""
    if (other := verdict.refused_by.how.fallback_model) is None:
        return None
    instead = model.ask(scopes_of(call, other), number, asked, now_us)
    return (instead.spared, call.model) if instead.refused_by is None else None


async def walk(world: World, traffic: list[Call]) -> None:
    desk, model = desk_of(world), model_of(world)
    running: list[tuple[int, Call, Reservation]] = []
    for number, call in enumerate(traffic):
        desk.clock.us += call.wait_ms * 1000
        for each in [each for each in running if each[0] + each[1].ends_after < number]:
            running.remove(each)
            used = Amounts(each[1].used, each[1].used // 3, each[1].used)
            usage = Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens)
            await desk.counters.settle(each[2], Settlement(usage, used.nanousd, 200, "test"))
            model.settle(each[0], used, desk.clock.us)
        body = body_of(call)
        decision = await desk.ask(body)
        expected = decide(model, call, number, asked_of(desk, call, body), desk.clock.us)
        told: object = None
        if isinstance(decision, Admission):
            held = decision.reservation
            assert held is not None
            told = len(held.shadow.split(", ")) if held.shadow else 0, held.instead_of
            running.append((number, call, held))
        assert told == expected, (number, decision)


@settings(max_examples=250, deadline=None)
@given(world=worlds(), traffic=calls())
def test_the_admitted_set_is_that_of_the_rules(world: World, traffic: list[Call]) -> None:
    """Whoever passes by the rules passes, and nobody else; limits in shadow mode say what they
    would have refused, and another model serves where a limit names one.
    """
    asyncio.run(walk(world, traffic))
