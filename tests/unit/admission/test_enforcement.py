"""What becomes of a call that a limit does not fit, where that limit does not just refuse it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import Desk, admission, chat, refusal
from tests.make import DOLLAR, limit_set, settlement

from tollgate.core.callers.rules import Policy
from tollgate.core.calls.decision import Admission, Decision
from tollgate.core.entities import LimitSet, ModelLimits
from tollgate.core.limits.accounts import Enforcement, Meter
from tollgate.core.limits.limit import Bucket, Forever, InFlight, Limit, Raise, Recurring

SHADOW = Enforcement(shadow=True)
RPM = Bucket(60)


def headers(decision: Decision) -> dict[str, str]:
    return {each.name: each.value for each in admission(decision).headers}


def limited(*limits: Limit, **fields: Any) -> Desk:
    desk = Desk()
    desk.key(limits=limit_set(*limits, **fields))
    return desk


def requests(amount: int, **how: Any) -> Limit:
    return Limit(Meter.REQUESTS, amount, RPM, Enforcement(**how))


# Shadow ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        (Limit(Meter.REQUESTS, 0, RPM, SHADOW), "key requests per min (RPM)"),
        (Limit(Meter.TOKENS, 0, Recurring("1d"), SHADOW), "key tokens per day"),
        (Limit(Meter.CALLS, 0, InFlight(), SHADOW), "key parallel calls"),
        (Limit(Meter.USD, 0, Forever(), SHADOW), "key dollars"),
    ],
)
async def test_a_call_that_only_a_shadow_limit_refuses_passes(limit: Limit, named: str) -> None:
    """A header names the scope and the limit; the ledger will, too."""
    decision = await limited(limit).ask()
    assert headers(decision)["x-tollgate-shadow"] == named
    held = admission(decision).reservation
    assert held is not None
    assert held.shadow == named


async def test_a_shadow_limit_counts_what_it_would_have_let_pass() -> None:
    """Of four calls two fit; when one more fits, one more does, as if it had been enforced."""
    desk = limited(requests(2, shadow=True))
    told = [headers(await desk.ask()).get("x-tollgate-shadow") for _ in range(4)]
    assert [each is None for each in told] == [True, True, False, False]
    desk.clock.us += 30_000_000
    told = [headers(await desk.ask()).get("x-tollgate-shadow") for _ in range(2)]
    assert [each is None for each in told] == [True, False]


async def test_other_limits_decide_as_if_the_shadow_limit_were_not_there() -> None:
    """A limit behind it refuses; one that fits admits, and holds what it would have held."""
    desk = limited(requests(0, shadow=True), Limit(Meter.TOKENS, 60, RPM))
    assert isinstance(await desk.ask(chat(max_tokens=20)), Admission)
    assert isinstance(await desk.ask(chat(max_tokens=20)), Admission)
    status, _, told = refusal(await desk.ask(chat(max_tokens=20)))
    assert (status, "x-tollgate-shadow" in told) == (429, False)


async def test_two_shadow_limits_are_both_named() -> None:
    """Each that would have refused, in the order in which they are checked."""
    desk = limited(requests(0, shadow=True), Limit(Meter.TOKENS, 0, RPM, SHADOW))
    told = headers(await desk.ask())["x-tollgate-shadow"]
    assert told == "key requests per min (RPM), key tokens per min (TPM)"


async def test_a_scope_in_shadow_mode_enforces_none_of_its_limits() -> None:
    """Its budget neither, and not before its body is read."""
    desk = limited(rpm=0, max_budget_nanousd=0, shadow=True)
    assert await desk.ask_head() is None
    told = headers(await desk.ask())["x-tollgate-shadow"]
    assert told == "key requests per min (RPM), key dollars"


async def test_nothing_is_enforced_where_the_configuration_says_so() -> None:
    """`enforce: false` is the shadow mode of all limits of all scopes."""
    desk = limited(rpm=0)
    desk.terms = replace(desk.terms, policy=Policy(proxy=limit_set(rpm=0), enforce=False))
    told = headers(await desk.ask())["x-tollgate-shadow"]
    assert told == "proxy requests per min (RPM), key requests per min (RPM)"


async def test_no_rate_header_tells_of_a_shadow_limit() -> None:
    """An SDK would slow down for a limit that nobody enforces."""
    assert not any(
        name.startswith("x-ratelimit")
        for name in headers(await limited(requests(5, shadow=True)).ask())
    )


# Throttle ----------------------------------------------------------------------------------------


async def test_a_throttled_rate_lets_a_part_of_it_pass() -> None:
    """Of 10 a minute at 20%: two more after the ten, then one each half minute."""
    desk = limited(requests(10, throttle_percent=20))
    passed = [isinstance(await desk.ask(), Admission) for _ in range(13)]
    assert passed == [True] * 12 + [False]
    status, body, told = refusal(await desk.ask())
    assert status == 429
    assert "requests per min, throttled" in body["error"]["message"]
    assert told["retry-after"]


async def test_a_throttled_budget_is_a_trickle_of_dollars() -> None:
    """86.4 dollars a day at 10% are 0.6 cents a minute; what passes is still charged in full."""
    limit = Limit(Meter.USD, 864 * DOLLAR // 10, Recurring("1d"), Enforcement(throttle_percent=10))
    desk = limited(limit)
    first = admission(await desk.ask())
    await desk.counters.settle(first.reservation, settlement(10, 90 * DOLLAR))
    second = admission(await desk.ask())
    await desk.counters.settle(second.reservation, settlement(10, DOLLAR * 6 // 1000 * 3))
    status, body, told = refusal(await desk.ask())
    assert status == 429
    assert "dollars per min, throttled" in body["error"]["message"]
    # Three times the bucket's capacity was used: it is as if untouched after three minutes, and one
    # nano-dollar is there after two.
    assert 119 <= int(told["retry-after"]) <= 180
    desk.clock.us += 180_000_000
    assert isinstance(await desk.ask(), Admission)


async def test_a_trickle_may_be_slower_than_one_in_a_window() -> None:
    """Two a minute at 10% are one in five minutes."""
    desk = limited(requests(2, throttle_percent=10))
    passed = [isinstance(await desk.ask(), Admission) for _ in range(4)]
    assert passed == [True, True, True, False]
    desk.clock.us += 60_000_000
    assert [isinstance(await desk.ask(), Admission) for _ in range(3)] == [True, True, False]


# Another model -----------------------------------------------------------------------------------


def with_fallback(model: str, *others: Limit, amount: int = 0) -> Desk:
    desk = Desk()
    own = LimitSet((Limit(Meter.USD, amount, Forever(), Enforcement(fallback_model=model)),))
    desk.key(limits=limit_set(*others), model_limits=(ModelLimits("gpt-4o", own),))
    return desk


async def test_a_limit_may_let_another_model_serve() -> None:
    """The body is renamed, the call is charged as what it is, and a header names the model."""
    decision = await with_fallback("fast").ask()
    found = admission(decision)
    assert headers(decision)["x-tollgate-model"] == "fast"
    assert found.deployment == "fast"
    assert [each.insert for each in found.edits] == ['"gpt-4o-mini"']
    assert found.reservation is not None
    assert (found.reservation.model, found.reservation.instead_of) == ("fast", "gpt-4o")


async def test_a_shadow_limit_of_both_attempts_is_named_once() -> None:
    """The other model's attempt says what it meets itself."""
    told = headers(await with_fallback("fast", requests(0, shadow=True)).ask())
    assert told["x-tollgate-shadow"] == "key requests per min (RPM)"


async def test_another_model_is_subject_to_all_limits() -> None:
    """A fallback never escapes a limit; what refused first is what the client reads."""
    status, body, _ = refusal(await with_fallback("fast", requests(0)).ask())
    assert (status, "requests per min" in body["error"]["message"]) == (429, True)


@pytest.mark.parametrize("model", ["unknown", "gpt-4o", "claude"])
async def test_a_model_that_cannot_serve_leaves_the_refusal(model: str) -> None:
    """One that is not there, the limit's own, or one of another API."""
    status, body, _ = refusal(await with_fallback(model).ask())
    assert status == 401
    assert "Budget has been exceeded" in body["error"]["message"]


async def test_a_key_is_not_served_by_a_model_that_it_may_not_use() -> None:
    """Lists of models hold for the other model, too."""
    desk = with_fallback("fast")
    key = next(iter(desk.people.keys.values()))
    desk.key(models=("gpt-4o",), model_limits=key.model_limits)
    assert refusal(await desk.ask())[0] == 401


async def test_models_that_stand_in_for_each_other_end() -> None:
    """A circle is tried once."""
    desk = Desk()
    desk.key(
        model_limits=tuple(
            ModelLimits(
                model,
                LimitSet((Limit(Meter.USD, 0, Forever(), Enforcement(fallback_model=other)),)),
            )
            for model, other in (("gpt-4o", "fast"), ("fast", "gpt-4o"))
        )
    )
    assert refusal(await desk.ask())[0] == 401


# Raises ------------------------------------------------------------------------------------------


async def test_a_raise_is_in_force_until_it_ends() -> None:
    """Admission knows a caller's accounts for as long as they hold, and not beyond."""
    desk = Desk()
    until_us = desk.clock.us + 60_000_000
    desk.key(limits=LimitSet(budget_increase=Raise(DOLLAR, until_us), max_budget_nanousd=0))
    told = headers(await desk.ask())
    assert told["x-litellm-key-max-budget"] == "1.0"
    desk.clock.us = until_us
    assert refusal(await desk.ask())[0] == 401


async def test_any_limit_can_be_raised() -> None:
    """By an amount of its meter."""
    desk = Desk()
    raised = Limit(Meter.REQUESTS, 1, RPM, increase=Raise(2, desk.clock.us + 1))
    desk.key(limits=limit_set(raised))
    passed = [isinstance(await desk.ask(), Admission) for _ in range(4)]
    assert passed == [True, True, True, False]
