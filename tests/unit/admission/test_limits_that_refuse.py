"""What a limit that refuses says, until when, and whether to try again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import Desk, admission, chat, refusal
from tests.make import limit_set, settlement

from tollgate.core.answers.wording import WHAT_HELPS, Preset
from tollgate.core.callers.rules import Policy
from tollgate.core.calls.decision import LimitName, Refusal
from tollgate.core.entities import LimitSet, Member, Team, User


async def test_a_spent_request_limit_says_which_and_when() -> None:
    """429 in OpenAI's shape, with the true wait."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=2))
    admission(await desk.ask())
    admission(await desk.ask())
    status, body, headers = refusal(await desk.ask())
    assert status == 429
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["error"]["type"] == "requests"
    assert (
        "key sk-...test on requests per min (RPM): Limit 2, Used 2, Requested 1. Please try again"
        " in 30s." in body["error"]["message"]
    )
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("30", "30000")
    assert "x-should-retry" not in headers
    assert headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_limit_of_zero_is_never_worth_retrying() -> None:
    """rpm_limit: 0 allows nothing, ever."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=0))
    status, _, headers = refusal(await desk.ask())
    assert (status, headers["x-should-retry"], "retry-after" in headers) == (429, "false", False)


async def test_a_budget_held_by_calls_in_flight_is_worth_retrying_shortly() -> None:
    """The refusal says that it is for holds alone."""
    desk = Desk()
    desk.key(limits=LimitSet(max_budget_nanousd=10))
    admission(await desk.ask())
    status, body, headers = refusal(await desk.ask())
    assert (status, headers["retry-after"], headers["retry-after-ms"]) == (429, "1", "1000")
    assert body["error"]["type"] == "requests"
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["error"]["message"].endswith("Please try again in 1s.")
    assert "x-should-retry" not in headers


async def test_tokens_held_by_calls_in_flight_are_worth_retrying_as_soon_as_one_may_end() -> None:
    """Sooner than their bucket refills; tokens that were used take that long."""
    desk = Desk()
    desk.key(limits=limit_set(tpm=60))
    held = admission(await desk.ask(chat(max_tokens=50))).reservation
    assert held is not None
    _, body, headers = refusal(await desk.ask(chat(max_tokens=50)))
    assert headers["retry-after-ms"] == "1000"
    assert "Please try again in 1s." in body["error"]["message"]
    await desk.counters.settle(held, settlement(tokens=60))
    _, body, headers = refusal(await desk.ask(chat(max_tokens=50)))
    assert int(headers["retry-after-ms"]) > 50_000
    assert (
        f"Please try again in {int(headers['retry-after-ms']) / 1000:g}s."
        in body["error"]["message"]
    )


async def test_calls_in_flight_are_worth_retrying_shortly_unless_none_may_be() -> None:
    """A limit of 0 never lets one in."""
    desk = Desk()
    desk.key(limits=limit_set(parallel=1))
    admission(await desk.ask())
    _, body, headers = refusal(await desk.ask())
    assert headers["retry-after-ms"] == "1000"
    assert body["error"]["message"].endswith("Limit 1, In flight 1. Please try again in 1s.")
    desk.key(limits=limit_set(parallel=0))
    _, body, headers = refusal(await desk.ask())
    assert headers["x-should-retry"] == "false"
    assert body["error"]["message"].endswith(f"The limit allows none. {WHAT_HELPS}")


async def test_a_spent_budget_says_until_when_and_that_retrying_will_not_help() -> None:
    """Scope, spend, limit and reset time, and x-should-retry: false."""
    desk = Desk()
    desk.key(
        limits=LimitSet(
            max_budget_nanousd=0, budget_duration="30s", budget_since_us=desk.clock.us - 10_000_000
        )
    )
    status, body, headers = refusal(await desk.ask())
    assert status == 401
    assert body == {
        "detail": (
            "Authentication Error, ExceededTokenBudget: Current spend for token: 0.0; Max Budget"
            " for Token: 0.0. Key sk-...test, reset at 2027-01-15T08:00:20Z. GET /v1/usage lists"
            " every limit of your key; an administrator can raise one."
        ),
        "error": {
            "message": body["detail"],
            "type": "budget_exceeded",
            "param": None,
            "code": "budget_exceeded",
        },
    }
    assert (headers["retry-after"], headers["x-should-retry"]) == ("20", "false")


@pytest.mark.parametrize(
    ("preset", "status", "error"),
    [
        (
            Preset.PAGE,
            401,
            {
                "message": (
                    "Budget has been exceeded: User ishaan3 has exceeded their budget. "
                    "Current spend: 0.0; Max Budget: 0.0; never reset. GET /v1/usage lists every"
                    " limit of your key; an administrator can raise one."
                ),
                "type": "auth_error",
                "param": "None",
                "code": 401,
            },
        ),
        (
            Preset.OPENAI,
            429,
            {
                "message": (
                    "The budget of customer ishaan3 is spent; it never resets. Current spend: 0.0;"
                    " Max Budget: 0.0. GET /v1/usage lists every limit of your key; an"
                    " administrator can raise one."
                ),
                "type": "insufficient_quota",
                "param": None,
                "code": "insufficient_quota",
            },
        ),
        (
            Preset.LITELLM,
            422,
            {
                "message": (
                    "Budget has been exceeded! End User=ishaan3 Current cost: 0.0, Max budget: 0.0,"
                    " never reset."
                ),
                "type": "budget_exceeded",
                "param": None,
                "code": "422",
            },
        ),
    ],
)
async def test_a_spent_budget_is_worded_as_the_setting_says(
    preset: Preset, status: int, error: dict[str, Any]
) -> None:
    """Each preset has its status, shape and words, and none is worth retrying."""
    desk = Desk()
    desk.terms = replace(
        desk.terms, errors=preset, policy=Policy(customer=LimitSet(max_budget_nanousd=0))
    )
    found, body, headers = refusal(await desk.ask(chat(user="ishaan3")))
    assert (found, body) == (status, {"error": error})
    assert headers["x-should-retry"] == "false"


async def test_a_member_over_budget_reads_the_pages_words() -> None:
    """ExceededBudget: Crossed spend within team."""
    desk = Desk()
    desk.people.members["t/u"] = Member("t", "u", limits=LimitSet(max_budget_nanousd=0))
    desk.key(team_id="t", user_id="u")
    _, body, _ = refusal(await desk.ask())
    assert body["error"]["message"].startswith("ExceededBudget: Crossed spend within team")


async def test_a_refusal_names_its_limit_by_scope_meter_and_window() -> None:
    """As metrics count it; also where the store is not asked again. Others name none."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=1))
    admission(await desk.ask())
    for _ in range(2):
        found = await desk.ask()
        assert isinstance(found, Refusal)
        assert found.limit == LimitName("key", "requests", "1m")
    desk.key()
    found = await desk.ask(chat(model="nowhere"))
    assert isinstance(found, Refusal)
    assert found.limit is None


async def test_the_first_scope_in_order_refuses() -> None:
    """Proxy, team, member, user, customer, key: of several that are full, the first is named."""
    desk = Desk()
    none = limit_set(rpm=0)
    desk.people.teams["t"] = Team("t", limits=none)
    desk.people.users["u"] = User("u", limits=none)
    desk.key(team_id="t", user_id="u", limits=none)
    _, body, _ = refusal(await desk.ask())
    assert "for team t on requests" in body["error"]["message"]
    desk.people.teams["t"] = Team("t")
    desk.people.members["t/u"] = Member("t", "u", limits=none)
    _, body, _ = refusal(await desk.ask())
    assert "for member u in t on requests" in body["error"]["message"]
