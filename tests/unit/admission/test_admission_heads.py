"""What is decided by the head of a request alone, and by what a refusal can be found again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.desk import SECRET, Desk, People, admission, refusal
from tests.fakes import FixedClock, MemoryCounters
from tests.make import limit_set, settlement

from tollgate.core.entities import LimitSet
from tollgate.core.errors import StoreUnavailable

BEARER = {"authorization": f"Bearer {SECRET}"}


async def test_a_good_key_may_send_its_body() -> None:
    """And nothing is held for it yet: the next request finds its limit of one untouched."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=1))
    assert await desk.ask_head() is None
    assert await desk.ask_head() is None


@pytest.mark.parametrize(
    ("changes", "asked", "status", "code"),
    [
        ({}, {"headers": {}}, 401, "invalid_api_key"),
        ({}, {"headers": {"authorization": "Bearer sk-wrong"}}, 401, "invalid_api_key"),
        ({"blocked": True}, {}, 401, "key_blocked"),
        ({"expires_us": 1}, {}, 401, "key_expired"),
        ({}, {"path": "/v1/nothing"}, 404, "unknown_url"),
        ({}, {"method": "PUT"}, 405, "method_not_allowed"),
        ({"limits": limit_set(rpm=0)}, {}, 429, "rate_limit_exceeded"),
    ],
)
async def test_what_the_body_cannot_mend_is_refused_before_it_comes(
    changes: dict[str, Any], asked: dict[str, Any], status: int, code: str
) -> None:
    """As it would be with its body."""
    desk = Desk()
    desk.key(**changes)
    refused = await desk.ask_head(**asked)
    assert refused is not None
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (status, code)


async def test_each_refusal_has_an_id_of_its_own() -> None:
    """Of the head and of the whole request."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=0))
    head = await desk.ask_head()
    assert head is not None
    found = [refusal(head), refusal(await desk.ask()), refusal(await desk.ask(b"{"))]
    ids = [headers["x-tollgate-request-id"] for _, _, headers in found]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(("headers", "asks"), [({}, True), (BEARER, False)])
async def test_only_a_401_asks_who_it_is(headers: dict[str, str], asks: bool) -> None:
    """RFC 9110, 11.6.1."""
    _, _, told = refusal(await Desk().ask(b"{", headers=headers))
    assert ("www-authenticate" in told) == asks


LONG_AND_BAD = b"[" + b" " * 200_000 + b"]"


class _NoStore(MemoryCounters):
    async def peek(self, organization: str, accounts: Any) -> Any:
        raise StoreUnavailable("down")


@pytest.mark.parametrize("limits", [limit_set(max_budget_nanousd=10), limit_set(rpm=1)])
async def test_a_long_body_that_is_refused_shows_that_its_caller_has_nothing_left(
    limits: LimitSet,
) -> None:
    """It is refused before any limit is looked at; the next one is not taken, also by a worker that
    did not see the limit being reached.
    """
    other = Desk()
    other.key(limits=limits)
    held = admission(await other.ask()).reservation
    assert held is not None
    await other.counters.settle(held, settlement(cost=10))
    desk = Desk(People(generation=1), clock=other.clock, counters=other.counters)
    desk.key(limits=limits)
    assert await desk.ask_head() is None
    assert refusal(await desk.ask(LONG_AND_BAD))[0] == 400
    assert await desk.ask_head() is not None


async def test_a_long_body_that_is_refused_says_nothing_of_who_has_something_left() -> None:
    """Nor does a short one ask the store."""
    desk = Desk()
    desk.key(limits=limit_set(rpm=2, max_budget_nanousd=1_000_000_000))
    for body in (LONG_AND_BAD, b"[]"):
        assert refusal(await desk.ask(body))[0] == 400
        assert await desk.ask_head() is None


async def test_a_store_that_is_down_is_no_reason_to_refuse_a_long_body_otherwise() -> None:
    """The client reads what is wrong with it."""
    clock = FixedClock()
    desk = Desk(clock=clock, counters=_NoStore(clock))
    desk.key(limits=limit_set(rpm=1))
    assert refusal(await desk.ask(LONG_AND_BAD))[0] == 400
    assert await desk.ask_head() is None
