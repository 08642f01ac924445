"""Limits of deployments and of providers: which deployment serves while one is exhausted, and what
a caller is told when all are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import Desk, admission, chat, refusal
from tests.make import DOLLAR, limit_set, settlement

from tollgate.core.answers.arithmetic import why_it_did_not_fit
from tollgate.core.answers.wording import Preset
from tollgate.core.callers.rules import Upstream
from tollgate.core.entities import LimitSet, Team
from tollgate.core.limits.accounts import Enforcement, Meter, Scope, ScopeKind
from tollgate.core.limits.limit import Bucket, InFlight, Limit, Recurring
from tollgate.core.limits.shares import Shares
from tollgate.core.models.deployment import Deployment

RPM = Bucket(60)
CAPACITIES = [
    Limit(Meter.REQUESTS, 2, RPM),
    Limit(Meter.TOKENS, 50, RPM),
    Limit(Meter.TOKENS, 50, Recurring("1d")),
    Limit(Meter.CALLS, 2, InFlight()),
    Limit(Meter.USD, 1_000, Recurring("1d")),
]


def pool(*identities: str, provider: str = "openai", **fields: Any) -> tuple[Deployment, ...]:
    return tuple(
        Deployment(each, "gpt-4o", provider, "gpt-4o", "http://mock-llm/v1", **fields)
        for each in identities
    )


def of_deployment(identity: str, *limits: Limit) -> Upstream:
    return ((Scope(ScopeKind.DEPLOYMENT, identity), LimitSet(limits)),)


def desk(deployments: tuple[Deployment, ...], upstreams: dict[str, Upstream], **terms: Any) -> Desk:
    found = Desk(deployments=deployments)
    found.terms = replace(found.with_policy(upstreams=upstreams), **terms)
    return found


async def served(at: Desk, times: int, **asked: Any) -> list[str]:
    """Which deployments serve so many calls, and what refuses the others."""
    found = []
    for _ in range(times):
        decision = await at.ask(chat(**asked))
        if hasattr(decision, "deployment"):
            found.append(admission(decision).deployment)
        else:
            found.append(f"{refusal(decision)[0]}")
    return found


@pytest.mark.parametrize("limit", CAPACITIES, ids=lambda each: f"{each.meter}-{each.window}")
async def test_calls_go_to_another_deployment_while_one_is_exhausted(limit: Limit) -> None:
    """Whatever the limit counts; the other one takes all that the first does not."""
    at = desk(
        pool("small", weight=1) + pool("large", weight=0), {"small": of_deployment("small", limit)}
    )
    told = await served(at, 20, max_tokens=20)
    first = told.index("large")
    assert 0 < first < 20
    assert set(told[:first]) == {"small"}
    assert set(told[first:]) == {"large"}


async def test_exhausted_deployments_refuse_with_429_that_names_one() -> None:
    """With the time after which it takes calls again."""
    one = Limit(Meter.REQUESTS, 1, RPM)
    at = desk(pool("a", "b"), {name: of_deployment(name, one) for name in "ab"})
    assert sorted(await served(at, 2)) == ["a", "b"]
    status, body, headers = refusal(await at.ask())
    assert status == 429
    assert "deployment" in body["error"]["message"]
    assert 0 < int(headers["retry-after"]) <= 60
    assert body["error"]["code"] == "rate_limit_exceeded"


async def test_the_refusal_names_the_deployment_that_has_room_first() -> None:
    """One is full for a day, the other for a minute."""
    limits = {
        "day": of_deployment("day", Limit(Meter.REQUESTS, 1, Bucket(86_400))),
        "minute": of_deployment("minute", Limit(Meter.REQUESTS, 1, RPM)),
    }
    at = desk(pool("day", "minute"), limits)
    await served(at, 2)
    for _ in range(4):
        _, body, headers = refusal(await at.ask())
        assert "minute" in body["error"]["message"]
        assert int(headers["retry-after"]) <= 60


@pytest.mark.parametrize("preset", list(Preset))
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_dollars_of_a_deployment_are_no_budget_of_the_callers(
    preset: Preset, path: str
) -> None:
    """Their login is good and their money is not spent: 429, never 401, 402 or 422."""
    spent = Limit(Meter.USD, 0, Recurring("1d"))
    provider = "openai" if "chat" in path else "anthropic"
    at = desk(pool("a", provider=provider), {"a": of_deployment("a", spent)}, errors=preset)
    status, body, _ = refusal(await at.ask(chat(max_tokens=5), path))
    assert status == 429
    assert "deployment a" in str(body)
    assert "Max Budget" not in str(body)


async def test_a_providers_limit_is_shared_by_its_deployments() -> None:
    """Both are exhausted together, and another provider's serves."""
    both = ((Scope(ScopeKind.PROVIDER, "azure"), LimitSet((Limit(Meter.REQUESTS, 3, RPM),))),)
    deployments = pool("x", "y", provider="azure") + pool("z", weight=0)
    at = desk(deployments, {"x": both, "y": both})
    told = await served(at, 6)
    assert set(told[:3]) <= {"x", "y"}
    assert told[3:] == ["z", "z", "z"]


async def test_a_refusal_by_the_callers_own_limit_tries_no_other_deployment() -> None:
    """And changes no deployment's counters: limits of who asks come first."""
    at = desk(pool("a", "b"), {name: of_deployment(name, CAPACITIES[0]) for name in "ab"})
    at.key(limits=limit_set(rpm=0))
    status, body, _ = refusal(await at.ask())
    assert status == 429
    assert "key" in body["error"]["message"]
    at.key(limits=limit_set())
    assert sorted(await served(at, 4)) == ["a", "a", "b", "b"]


async def test_callers_are_not_told_of_limits_of_deployments() -> None:
    """Their headers tell of their own limits; the next call may go elsewhere."""
    at = desk(pool("a"), {"a": of_deployment("a", Limit(Meter.REQUESTS, 2, RPM))})
    at.terms = replace(at.terms, ietf_headers=True)
    at.key(limits=limit_set(rpm=10))
    told = {each.name: each.value for each in admission(await at.ask()).headers}
    assert told["x-ratelimit-limit-requests"] == "10"
    assert "deployment" not in told["ratelimit"]


async def test_a_deployment_is_charged_what_its_calls_cost() -> None:
    """Whoever made them."""
    limit = Limit(Meter.USD, DOLLAR, Recurring("1d"))
    at = desk(pool("a", "b"), {"a": of_deployment("a", limit)})
    cost = 0
    for number in range(6):
        held = admission(await at.ask()).reservation
        assert held is not None
        await at.counters.settle(held, settlement(cost=7))
        cost += 7 * (held.deployment == "a")
        at.key(organization=f"org-{number}")
    assert cost > 0
    assert await at.spent("any", Scope(ScopeKind.DEPLOYMENT, "a")) == cost


async def test_a_deployments_limit_in_shadow_mode_refuses_nothing() -> None:
    """It is reported."""
    limit = Limit(Meter.REQUESTS, 1, RPM, Enforcement(shadow=True))
    at = desk(pool("a"), {"a": of_deployment("a", limit)})
    await at.ask()
    told = {each.name: each.value for each in admission(await at.ask()).headers}
    assert told["x-tollgate-shadow"] == "deployment requests per min (RPM)"


async def test_a_model_whose_deployments_are_exhausted_is_served_by_its_fallback() -> None:
    """The reply says so, and the reservation is of the model that serves."""
    at = desk(
        (*pool("a"), Deployment("m", "mini", "openai", "gpt-4o-mini", "http://mock-llm/v1")),
        {"a": of_deployment("a", Limit(Meter.REQUESTS, 1, RPM))},
        fallbacks={"gpt-4o": ("nowhere", "mini")},
    )
    assert await served(at, 3) == ["a", "m", "m"]
    last = admission(await at.ask())
    assert last.reservation is not None
    assert (last.reservation.model, last.reservation.instead_of) == ("mini", "gpt-4o")
    assert {each.name: each.value for each in last.headers}["x-tollgate-model"] == "mini"


async def test_a_fallback_never_escapes_the_callers_limits() -> None:
    """A model that the key may not use, or whose own limit is reached, does not serve."""
    fallback = Deployment("m", "mini", "openai", "gpt-4o-mini", "http://mock-llm/v1")
    upstreams = {"a": of_deployment("a", Limit(Meter.REQUESTS, 0, RPM))}
    at = desk((*pool("a"), fallback), upstreams, fallbacks={"*": ("mini",)})
    at.key(models=("gpt-4o",))
    assert await served(at, 1) == ["429"]
    at.key(limits=LimitSet(max_budget_nanousd=1))
    held = admission(await at.ask()).reservation
    assert held is not None
    await at.counters.settle(held, settlement(cost=1))
    assert await served(at, 1) == ["401"]


async def test_fallbacks_that_name_each_other_end() -> None:
    """Each model is decided for once."""
    other = Deployment("m", "mini", "openai", "gpt-4o-mini", "http://mock-llm/v1")
    none = Limit(Meter.REQUESTS, 0, RPM)
    at = desk(
        (*pool("a"), other),
        {name: of_deployment(name, none) for name in "am"},
        fallbacks={"gpt-4o": ("mini",), "mini": ("gpt-4o",)},
    )
    status, body, _ = refusal(await at.ask())
    assert status == 429
    assert "deployment a" in body["error"]["message"]


MINI = Deployment("m", "mini", "openai", "gpt-4o-mini", "http://mock-llm/v1")


async def test_a_deployment_that_cools_down_gets_no_calls_while_another_serves() -> None:
    """A stand-by too; afterwards its weight counts again."""
    at = desk(pool("a") + pool("b", weight=0), {})
    assert await served(at, 2) == ["a", "a"]
    at.cooling.add("a")
    assert await served(at, 2) == ["b", "b"]
    at.cooling.clear()
    assert await served(at, 2) == ["a", "a"]


async def test_an_exhausted_group_prefers_what_does_not_cool_down() -> None:
    """Of two deployments with room, the one that works."""
    upstreams = {"a": of_deployment("a", Limit(Meter.REQUESTS, 0, RPM))}
    at = desk(pool("a", weight=9) + pool("b", weight=9) + pool("c", weight=0), upstreams)
    at.cooling.add("b")
    assert set(await served(at, 6)) == {"c"}


async def test_a_model_that_cools_down_is_served_by_the_first_fallback_that_does_not() -> None:
    """The caller's limits are those for the fallback."""
    other = replace(MINI, id="o", model_name="other")
    at = desk((*pool("a"), MINI, other), {}, fallbacks={"gpt-4o": ("mini", "other")})
    at.cooling.update("am")
    decision = admission(await at.ask())
    assert decision.deployment == "o"
    assert decision.reservation is not None
    assert (decision.reservation.model, decision.reservation.instead_of) == ("other", "gpt-4o")
    at.key(limits=LimitSet(max_budget_nanousd=0))
    assert await served(at, 1) == ["401"]


async def test_a_model_without_a_way_out_is_served_though_it_may_fail() -> None:
    """No fallback, one that is not allowed, or one that cools down too."""
    at = desk((*pool("a"), MINI), {}, fallbacks={"gpt-4o": ("mini",)})
    at.cooling.update("am")
    assert await served(at, 1) == ["a"]
    at.cooling.discard("m")
    at.key(models=("gpt-4o",))
    assert await served(at, 1) == ["a"]


async def test_another_api_is_no_fallback() -> None:
    """Nothing is translated: a model that serves other paths only is passed over."""
    claude = Deployment("c", "claude", "anthropic", "claude-sonnet-4-5", "http://mock-llm")
    at = desk((*pool("a"), claude, MINI), {}, fallbacks={"*": ("claude", "mini")})
    at.cooling.add("a")
    assert await served(at, 1) == ["m"]


HALVES = Shares((("t", 500),), 500)


def shared_by_a_team(meter: Meter, amount: int, **more: Any) -> Desk:
    """A deployment half of whose limit is the share of a team that the key is not in."""
    limit = Limit(meter, amount, RPM, shares=HALVES, **more)
    at = desk(pool("a"), {"a": of_deployment("a", limit)})
    at.people.teams["t"] = Team("t")
    return at


async def test_the_refusal_names_the_share() -> None:
    """Ten requests a minute, five of them common, and the others the team's."""
    at = shared_by_a_team(Meter.REQUESTS, 20)
    assert await served(at, 11) == ["a"] * 10 + ["429"]
    status, body, headers = refusal(await at.ask())
    assert body["error"]["message"] == (
        "Rate limit reached for deployment a on requests per min (RPM), without a share. Please try"
        " again in 3s."
    )
    assert (status, headers["retry-after"]) == (429, "3")
    at.key(team_id="t")
    assert await served(at, 6) == ["a"] * 5 + ["429"]
    _, body, _ = refusal(await at.ask())
    assert body["error"]["message"] == (
        "Rate limit reached for deployment a on requests per min (RPM), share of t: Limit 5 at once"
        " (10 per 1m), Used 5, Requested 1. Please try again in 6s."
    )
    hit = (await at.recorded())[-1].hit
    assert hit is not None
    assert why_it_did_not_fit(hit) == "used 5 = 5 requests at once, share of t: nothing is left"


async def test_a_share_in_shadow_mode_refuses_nothing_and_is_named() -> None:
    """The whole limit, too, once it is used up."""
    at = shared_by_a_team(Meter.REQUESTS, 4, enforcement=Enforcement(shadow=True))
    told = [admission(await at.ask()).reservation for _ in range(6)]
    assert [each and each.shadow.partition("(RPM)")[2] for each in told[:2]] == ["", ""]
    assert [each and each.shadow for each in told[2:]] == [
        *["deployment requests per min (RPM), without a share"] * 2,
        *["deployment requests per min (RPM)"] * 2,
    ]


async def test_calls_that_a_share_refuses_go_to_another_deployment() -> None:
    """As those that the whole limit refuses."""
    limit = Limit(Meter.REQUESTS, 4, RPM, shares=HALVES)
    at = desk(
        pool("small", weight=1) + pool("large", weight=0), {"small": of_deployment("small", limit)}
    )
    assert await served(at, 4) == ["small", "small", "large", "large"]
