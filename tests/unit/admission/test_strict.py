"""Strict limits: the worst case fits, after the output limit was lowered, or nothing is held."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.desk import Desk, admission, chat, refusal
from tests.edits import edited
from tests.make import limit_set, settlement

from tollgate.core.calls.decision import Admission, Decision
from tollgate.core.entities import LimitSet, ModelLimits
from tollgate.core.limits.accounts import Enforcement, Meter
from tollgate.core.limits.limit import Bucket, Forever, Limit
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates

STRICT = Enforcement(strict=True)
NANO = 10**6
# One nano-dollar a token, and two if a cache is written.
PRICE = Price("test", (Rates(NANO, NANO, NANO, NANO, 2 * NANO),))


def strict(amount: int, meter: Meter = Meter.OUTPUT_TOKENS, **more: Any) -> Desk:
    desk = Desk(price=PRICE)
    desk.limit_outputs([(["*"], 4000)])
    desk.key(limits=limit_set(Limit(meter, amount, Forever(), STRICT), **more))
    return desk


def sent(decision: Decision, body: dict[str, Any]) -> dict[str, Any]:
    """The body that goes to the provider."""
    found: dict[str, Any] = json.loads(edited(json.dumps(body).encode(), admission(decision).edits))
    return found


async def test_a_request_whose_worst_case_fits_goes_as_it_came() -> None:
    """Only its model is named as the provider does."""
    body = chat(max_tokens=100)
    found = sent(await strict(100).ask(body), body)
    assert found == {**body, "model": "gpt-4o"}


async def test_the_output_limit_is_lowered_to_what_fits() -> None:
    """All of it is held, so the next call gets what is left, and the one after that nothing."""
    desk, body = strict(130), chat(max_tokens=100)
    assert sent(await desk.ask(body), body)["max_tokens"] == 100
    assert sent(await desk.ask(body), body)["max_tokens"] == 30
    status, answer, _ = refusal(await desk.ask(body))
    assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_what_was_not_used_can_be_held_again() -> None:
    """The hold is the worst case; the end of the call replaces it by what it used."""
    desk, body = strict(130), chat(max_tokens=100)
    first = admission(await desk.ask(body))
    assert first.reservation is not None
    await desk.counters.settle(first.reservation, settlement())
    assert sent(await desk.ask(body), body)["max_tokens"] == 100


async def test_less_than_a_minimum_is_no_answer() -> None:
    """Nobody is served by a word; who asks for less than the minimum gets that."""
    desk = strict(15)
    assert refusal(await desk.ask(chat(max_tokens=100)))[0] == 429
    assert isinstance(await desk.ask(chat(max_tokens=15)), Admission)


async def test_a_request_without_an_output_limit_gets_one() -> None:
    """A quarter of the limit, so that several fit at once; the field is the provider's."""
    desk, body = strict(2000), chat()
    assert sent(await desk.ask(body), body)["max_completion_tokens"] == 500
    assert admission(await desk.ask(body)).reservation is not None


async def test_a_strict_limit_in_shadow_mode_lowers_no_output_limit() -> None:
    """It changes nothing about the call, and reports that it is used up when it is."""
    desk, body = Desk(price=PRICE), chat(max_tokens=100)
    how = Enforcement(strict=True, shadow=True)
    desk.key(limits=limit_set(Limit(Meter.OUTPUT_TOKENS, 30, Forever(), how)))
    assert sent(await desk.ask(body), body)["max_tokens"] == 100
    found = admission(await desk.ask(body))
    assert found.reservation is not None
    assert found.reservation.shadow == "key output tokens"


async def test_each_choice_gets_its_part() -> None:
    """`n` replies of the output limit are the worst case."""
    body = chat(max_tokens=100, n=4)
    assert sent(await strict(120).ask(body), body)["max_tokens"] == 30


async def test_dollars_are_held_at_the_highest_rate() -> None:
    """The prompt as if each byte were a token that is written to a cache."""
    desk, body = strict(1000, Meter.USD), chat(max_tokens=4000)
    found = admission(await desk.ask(body))
    assert found.reservation is not None
    assert found.reservation.worst is not None
    worst = found.reservation.worst
    limit = sent(found, body)["max_tokens"]
    assert worst.output_tokens == limit
    assert worst.cost_nanousd == 2 * worst.input_tokens + limit == 1000
    assert worst.input_tokens > desk.prompt_tokens(body)


async def test_a_prompt_that_may_be_too_long_is_refused() -> None:
    """Whatever its output limit."""
    desk = strict(20, Meter.TOKENS)
    body = chat(max_tokens=1, messages=[{"role": "user", "content": "word " * 50}])
    assert refusal(await desk.ask(body))[0] == 429


async def test_a_strict_rate_is_no_exception_for_a_lone_call() -> None:
    """Others let a call pass an untouched bucket however small it is."""
    desk = Desk(price=PRICE)
    desk.key(limits=limit_set(Limit(Meter.OUTPUT_TOKENS, 50, Bucket(60), STRICT)))
    body = chat(max_tokens=100)
    assert sent(await desk.ask(body), body)["max_tokens"] == 50
    desk.key(limits=limit_set(Limit(Meter.OUTPUT_TOKENS, 5, Bucket(60), STRICT)))
    _, _, told = refusal(await desk.ask(body))
    assert (told["x-should-retry"], "retry-after" in told) == ("false", False)


async def test_a_budget_for_thinking_stays_below_the_output_limit() -> None:
    """Anthropic refuses a request where it does not."""
    body = {
        "model": "claude",
        "max_tokens": 3000,
        "messages": [],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    desk = strict(1100)
    assert sent(await desk.ask(body, path="/v1/messages"), body)["max_tokens"] == 1100
    assert refusal(await strict(1024).ask(body, path="/v1/messages"))[0] == 429


GEMINI = "/v1beta/models/gemini:generateContent"
CONVERSE = "/model/nova/converse"


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v1/responses", {"model": "gpt-4o", "input": "hi"}, ("max_output_tokens",)),
        ("/v1/completions", {"model": "gpt-4o", "prompt": "hi"}, ("max_tokens",)),
        ("/v1/messages", {"model": "claude", "messages": []}, ("max_tokens",)),
        (GEMINI, {"contents": []}, ("generationConfig", "maxOutputTokens")),
        (
            GEMINI,
            {"contents": [], "generationConfig": {"temperature": 1}},
            ("generationConfig", "maxOutputTokens"),
        ),
        (
            GEMINI,
            {"contents": [], "generation_config": {"max_output_tokens": 3000}},
            ("generation_config", "max_output_tokens"),
        ),
        (CONVERSE, {"messages": []}, ("inferenceConfig", "maxTokens")),
        (CONVERSE, {"messages": [], "inferenceConfig": {}}, ("inferenceConfig", "maxTokens")),
        ("/v1/chat/completions", chat(max_tokens=None), ("max_tokens",)),
        (
            "/v1/chat/completions",
            chat(max_tokens=3000, max_completion_tokens=20),
            ("max_tokens",),
        ),
    ],
)
async def test_every_api_has_its_place_for_the_output_limit(
    path: str, body: dict[str, Any], place: tuple[str, ...]
) -> None:
    """A member that is there is replaced, whatever it is; all others stay."""
    desk = strict(400)
    desk.deployments = (
        *desk.deployments,
        Deployment("gemini", "gemini", "gemini", "gemini-2.5-pro", "http://mock-llm"),
        Deployment("nova", "nova", "bedrock", "amazon.nova-pro-v1:0", "http://mock-llm"),
    )
    found: Any = sent(await desk.ask(body, path=path), body)
    told = {**found}
    for name in place:
        found = found[name]
    assert found == (400 if "3000" in json.dumps(body) else 100)
    kept = {name: value for name, value in body.items() if name not in (*place, "model")}
    assert kept == {name: told[name] for name in kept}


async def test_the_model_that_serves_instead_is_held_as_strictly() -> None:
    """Its worst case, not that of the model that was asked for."""
    desk = strict(130)
    key = next(iter(desk.people.keys.values()))
    fallback = Limit(Meter.USD, 0, Forever(), Enforcement(fallback_model="fast"))
    desk.key(limits=key.limits, model_limits=(ModelLimits("gpt-4o", LimitSet((fallback,))),))
    body = chat(max_tokens=100)
    assert sent(await desk.ask(body), body)["model"] == "gpt-4o-mini"
    assert sent(await desk.ask(body), body)["max_tokens"] == 30


async def test_whoever_meets_no_strict_limit_is_asked_as_before() -> None:
    """Nothing is inserted, and no worst case travels with the call."""
    desk = strict(2000)
    desk.key(limits=limit_set(tpm=10**6))
    found = admission(await desk.ask())
    assert found.reservation is not None
    assert (found.edits, found.reservation.worst) == ((), None)
