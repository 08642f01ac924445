"""What may pass, and what a client reads when it may not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.desk import MASTER, SECRET, Desk, admission, chat, refusal
from tests.edits import edited
from tests.fakes import FixedClock, MemoryCounters
from tests.make import DOLLAR, limit_set

from tollgate.core.callers.rules import Policy
from tollgate.core.calls.decision import Refusal
from tollgate.core.entities import LimitSet
from tollgate.core.errors import StoreSilent, StoreUnavailable
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.stream_usage import StreamUsage


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"authorization": f"Bearer {SECRET}"}, "/v1/chat/completions"),
        ({"authorization": f"bearer  {SECRET}"}, "/v1/chat/completions"),
        ({"x-api-key": SECRET}, "/v1/chat/completions"),
        ({"api-key": SECRET}, "/v1/chat/completions"),
        ({"x-goog-api-key": SECRET}, "/v1/chat/completions"),
        ({"ocp-apim-subscription-key": SECRET}, "/v1/chat/completions"),
        ({"x-litellm-api-key": SECRET}, "/v1/chat/completions"),
        (
            {"x-litellm-api-key": f"Bearer {SECRET}", "authorization": "Bearer other"},
            "/v1/chat/completions",
        ),
        ({}, f"/v1/chat/completions?a=b&key={SECRET}"),
    ],
)
async def test_a_key_is_found_in_each_place_where_sdks_put_it(
    headers: dict[str, str], path: str
) -> None:
    """Our own header before all others, the query after them."""
    assert admission(await Desk().ask(headers=headers, path=path)).deployment == "gpt-4o"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "No api key passed in"),
        ({"autherization": f"Bearer {SECRET}"}, "No api key passed in"),
        ({"authorization": SECRET}, "Ensure Key has `Bearer ` prefix"),
        ({"authorization": "Bearer sk-unknown"}, "Invalid API key provided"),
    ],
)
async def test_who_is_not_known_may_not_pass(headers: dict[str, str], message: str) -> None:
    """401, in words that say what is wrong with the key."""
    status, body, _ = refusal(await Desk().ask(headers=headers))
    assert status == 401
    assert message in body["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"blocked": True}, "Key is blocked"), ({"expires_us": 1_800_000_000_000_000}, "Expired Key")],
)
async def test_a_blocked_or_expired_key_may_not_pass(changes: dict[str, Any], message: str) -> None:
    """A key's own state is checked before anything is held."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=1), **changes)
    status, body, _ = refusal(await desk.ask())
    assert (status, message in body["error"]["message"]) == (401, True)
    desk.key(limits=limit_set(rpm=1))
    admission(await desk.ask())


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"asked": b"nope"}, 400, None),
        ({"asked": {"messages": []}}, 400, None),
        ({"asked": chat(model="gpt-5")}, 404, "model_not_found"),
        ({"asked": chat(model="claude")}, 400, None),
        ({"path": "/v1/nothing"}, 404, "unknown_url"),
        ({"method": "GET"}, 405, "method_not_allowed"),
        ({"headers": {"authorization": f"Bearer {SECRET}", "content-encoding": "gzip"}}, 400, None),
    ],
)
async def test_bad_requests_are_refused_and_charged_nothing(
    asked: dict[str, Any], status: int, code: str | None
) -> None:
    """Each gets its status in OpenAI's shape, and the next good request finds its limit
    untouched.
    """
    desk = Desk()
    desk.key(limits=limit_set(rpm=1))
    found, body, _ = refusal(await desk.ask(**asked))
    assert (found, body["error"]["code"]) == (status, code)
    assert set(body["error"]) == {"message", "type", "param", "code"}
    admission(await desk.ask())


async def test_anthropic_paths_are_refused_in_anthropics_shape() -> None:
    """The dialect of an error is that of the path."""
    status, body, _ = refusal(await Desk().ask(chat(model="gpt-4o"), path="/v1/messages"))
    assert status == 400
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert "/v1/chat/completions" in body["error"]["message"]


async def test_a_model_that_a_key_may_not_use_is_refused_by_name() -> None:
    """403, saying whose list it is that does not allow it."""
    desk = Desk()
    desk.key(models=("fast",))
    status, body, _ = refusal(await desk.ask())
    assert (status, body["error"]["code"]) == (403, "key_model_access_denied")
    admission(await desk.ask(chat(model="fast")))


async def test_the_public_name_is_replaced_by_the_deployments() -> None:
    """A splice renames the model where the two names differ; elsewhere nothing is edited."""
    desk = Desk()
    (edit,) = admission(await desk.ask(chat(model="fast"))).edits
    assert edit.insert == '"gpt-4o-mini"'
    assert admission(await desk.ask()).edits == ()


async def test_usage_is_asked_for_and_hidden_unless_the_client_asked() -> None:
    """include_usage is added to a stream that lacks it, and the client will not see what it did not
    ask for.
    """
    desk = Desk()
    for members, hidden in (({}, True), ({"stream_options": {"include_usage": True}}, False)):
        passed = admission(await desk.ask(chat(stream=True, **members)))
        assert passed.reservation is not None
        assert (passed.reservation.hide_usage, len(passed.edits)) == (hidden, int(hidden))
    plain = admission(await desk.ask())
    assert plain.reservation is not None
    assert not plain.reservation.hide_usage


async def test_a_deployment_that_takes_no_stream_options_gets_none() -> None:
    """Its events are not hidden; a dropped option of the client's own is left out, beside the
    model's new name.
    """
    dropping = StreamUsage.of("openai", ["stream_options"])
    desk = Desk(
        deployments=(
            Deployment(
                "gpt-4o",
                "gpt-4o",
                "mistral",
                "gpt-4o",
                "http://h",
                stream_usage=StreamUsage.of("mistral"),
            ),
            Deployment("fast", "fast", "openai", "other", "http://h", stream_usage=dropping),
        )
    )
    passed = admission(await desk.ask(chat(stream=True)))
    assert passed.reservation is not None
    assert (passed.edits, passed.reservation.hide_usage) == ((), False)
    asked = chat(model="fast", stream=True, stream_options={"include_usage": True})
    passed = admission(await desk.ask(asked))
    assert passed.reservation is not None
    assert not passed.reservation.hide_usage
    changed = json.loads(edited(json.dumps(asked).encode(), passed.edits))
    assert changed == {**chat(model="other"), "stream": True}


async def test_a_provider_that_tells_running_counts_is_asked_for_them() -> None:
    """vLLM's continuous_usage_stats: a stream that breaks off is charged by what it has told."""
    desk = Desk(
        deployments=(
            Deployment(
                "gpt-4o",
                "gpt-4o",
                "hosted_vllm",
                "gpt-4o",
                "http://h",
                stream_usage=StreamUsage.of("hosted_vllm"),
            ),
        )
    )
    passed = admission(await desk.ask(chat(stream=True)))
    assert "continuous_usage_stats" in passed.edits[0].insert


async def test_the_master_key_has_no_limits_of_its_own_but_the_proxys_and_customers_hold() -> None:
    """Proxy and customer limits apply to the master key's calls too."""
    desk = Desk()
    desk.terms = replace(desk.terms, policy=Policy(customer=LimitSet(max_budget_nanousd=0)))
    admission(await desk.ask(secret=MASTER))
    _, body, _ = refusal(await desk.ask(chat(user="ishaan3"), secret=MASTER))
    assert "User ishaan3 has exceeded" in body["error"]["message"]


async def test_a_model_without_a_price_is_refused_where_a_budget_applies() -> None:
    """And passes where none does: nothing could be missed."""
    desk = Desk()
    admission(await desk.ask(chat(model="unpriced")))
    desk.key(limits=LimitSet(max_budget_nanousd=DOLLAR))
    status, body, _ = refusal(await desk.ask(chat(model="unpriced")))
    assert (status, "has no price" in body["error"]["message"]) == (400, True)


@pytest.mark.parametrize("policy", ["free", "default_price"])
async def test_unpriced_models_follow_the_setting(policy: str) -> None:
    """`free` lets them pass a spent budget, `default_price` holds for them."""
    desk = Desk()
    desk.terms = replace(desk.terms, unpriced_models=policy)  # type: ignore[arg-type]
    desk.key(limits=LimitSet(max_budget_nanousd=1))
    admission(await desk.ask(chat(model="unpriced")))
    again = await desk.ask(chat(model="unpriced"))
    assert isinstance(again, Refusal) == (policy == "default_price")


async def test_the_hold_follows_the_greatest_output_limit_times_choices() -> None:
    """Output is held at n times the limit, at most the model's own maximum."""
    desk = Desk(
        deployments=(
            Deployment(
                "gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm/v1", max_output_tokens=50
            ),
        )
    )
    passed = admission(await desk.ask(chat(max_tokens=1, max_completion_tokens=9000, n=3)))
    assert passed.reservation is not None
    assert passed.reservation.output_tokens == 150


class _NoStore(MemoryCounters):
    async def reserve(self, reservation: object) -> Any:
        raise StoreUnavailable("down")


class _SilentStore(MemoryCounters):
    async def reserve(self, reservation: Any) -> Any:
        await super().reserve(reservation)
        raise StoreSilent("no answer")


@pytest.mark.parametrize("choice", ["refuse", "allow"])
async def test_what_a_silent_store_may_hold_is_undone(choice: str) -> None:
    """It was asked, and holds without our knowing. One that could not be asked holds nothing."""
    asked, not_asked = (
        Desk(counters=_SilentStore(FixedClock())),
        Desk(counters=_NoStore(FixedClock())),
    )
    for desk in (asked, not_asked):
        desk.terms = replace(desk.terms, on_store_error=choice)  # type: ignore[arg-type]
        await desk.ask()
    assert ([each.id for each in asked.undone], not_asked.undone) == ([f"{1:024x}"], [])


@pytest.mark.parametrize("choice", ["refuse", "allow"])
async def test_a_store_that_is_down_follows_the_setting(choice: str) -> None:
    """`refuse`: 503 worth retrying. `allow`: passes, with nothing held."""
    desk = Desk(counters=_NoStore(FixedClock()))
    desk.terms = replace(desk.terms, on_store_error=choice)  # type: ignore[arg-type]
    decision = await desk.ask()
    if choice == "allow":
        assert admission(decision).reservation is None
    else:
        status, body, headers = refusal(decision)
        assert (status, body["error"]["code"], headers["retry-after"]) == (
            503,
            "limits_unavailable",
            "1",
        )
