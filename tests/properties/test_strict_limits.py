"""No traffic exceeds a strict limit, whatever the calls ask for and use, and however they end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from enum import StrEnum

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.desk import Desk, chat
from tests.edits import edited
from tests.make import limit_set

from tollgate.core.calls.decision import Admission
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import NO_USAGE, Certainty, Usage
from tollgate.core.limits.accounts import Enforcement, Meter
from tollgate.core.limits.limit import METERS, Bucket, Forever, Limit
from tollgate.core.money.pricing import Price, Rates

STRICT = Enforcement(strict=True)
NANO = 10**6
PRICE = Price("test", (Rates(3 * NANO, 5 * NANO, NANO, 4 * NANO, 6 * NANO),))
METERED = [meter for meter in Meter if METERS[meter].tokens] + [Meter.USD]
MOST_OUTPUT = 300


class End(StrEnum):
    """How a call ends: the provider tells its usage, or does not, or never answers."""

    TOLD = "told"
    CUT = "cut"
    UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Call:
    """A request, the part of its worst case that it will use, and how many come before it ends."""

    prompt: str
    max_tokens: int | None
    choices: int
    used: float
    ends_after: int
    end: End


CALLS = st.lists(
    st.builds(
        Call,
        st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40),
        st.one_of(st.none(), st.integers(0, 400)),
        st.integers(1, 3),
        st.sampled_from([0.0, 0.3, 1.0]),
        st.integers(0, 5),
        st.sampled_from(End),
    ),
    max_size=25,
)
LIMITS = st.lists(
    st.builds(
        Limit,
        st.sampled_from(METERED),
        st.integers(0, 3000),
        st.sampled_from([Forever(), Bucket(60)]),
        st.just(STRICT),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each.counter,
)


@dataclass(frozen=True)
class Ending:
    """When a call ends, what it is charged, and what the provider really billed."""

    after: int
    reservation: Reservation
    charged: Settlement
    billed: Settlement


def used_by(call: Call, body: dict[str, object], admission: Admission) -> Settlement:
    """What a call uses: its prompt as if each byte were a token, and all that it may write."""
    sent = json.loads(edited(json.dumps(body).encode(), admission.edits))
    limit = sent.get("max_tokens", sent.get("max_completion_tokens", MOST_OUTPUT))
    output = int(min(limit, MOST_OUTPUT) * call.choices * call.used)
    text = json.dumps(body["messages"], ensure_ascii=False)
    prompt = int(len(text.encode()) * call.used)
    return Settlement(Usage(prompt, output), 6 * prompt + 5 * output, 200, "test")


def charged_for(end: End, billed: Settlement) -> Settlement:
    """What Tollgate believes of a call: less than the provider bills where it tells nothing."""
    if end is End.UNANSWERED:
        return Settlement(NO_USAGE, 0, 503, "test", unanswered=True)
    if end is End.CUT:
        return Settlement(Usage(1, 0, certainty=Certainty.PARTIAL), 6, 200, "test")
    return billed


def billed_of(meter: Meter, billed: Settlement) -> int:
    return billed.cost_nanousd if meter is Meter.USD else METERS[meter].used(billed.usage)


async def walk(limits: list[Limit], traffic: list[Call]) -> None:
    desk = Desk(price=PRICE)
    desk.limit_outputs([(["*"], MOST_OUTPUT)])
    desk.key(limits=limit_set(*limits))
    running: list[Ending] = []
    ended: list[Ending] = []
    for number, call in enumerate(traffic):
        for each in [each for each in running if each.after <= number]:
            running.remove(each)
            ended.append(each)
            await desk.counters.settle(each.reservation, each.charged)
        messages = [{"role": "user", "content": call.prompt}]
        members = {} if call.max_tokens is None else {"max_tokens": call.max_tokens}
        body = chat(messages=messages, n=call.choices, **members)
        decision = await desk.ask(body)
        if isinstance(decision, Admission):
            assert decision.reservation is not None
            billed = used_by(call, body, decision)
            after, charged = number + call.ends_after, charged_for(call.end, billed)
            running.append(Ending(after, decision.reservation, charged, billed))
    for each in running:
        ended.append(each)
        await desk.counters.settle(each.reservation, each.charged)
    if ended:
        (key, *_) = ended[0].reservation.accounts
        (balance,) = (await desk.counters.peek("default", (key,))).balances
        for quota, used in zip(key.limits, balance.used, strict=True):
            whole = used // (60_000 if quota.seconds else 1)
            assert whole <= quota.amount, (quota, whole)
            # No time passes, so a bucket refills nothing.
            billed = sum(billed_of(quota.meter, each.billed) for each in ended)
            assert billed <= quota.amount, (quota, billed)


@settings(max_examples=150, deadline=None)
@given(limits=LIMITS, traffic=CALLS)
def test_a_strict_limit_is_never_exceeded(limits: list[Limit], traffic: list[Call]) -> None:
    """Each call uses up to its worst case, many run at a time, and the provider bills also what it
    never told.
    """
    asyncio.run(walk(limits, traffic))
