"""Why a request cost what it did, from the ledger's own arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from msgspec import structs
from tests.make import DOLLAR, KEY, TEAM, budget, reservation, tokens
from tests.unit.core.usage.usage_case import PRICE
from tests.unit.management_fixtures import Api, World, error_of

from tollgate.commands.reports.explain import explained
from tollgate.core.calls.passed_limits import levels_before
from tollgate.core.calls.records import find_begin_us, request_id
from tollgate.core.calls.usage import Pass, Usage
from tollgate.core.limits.accounts import Account
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.metering.metering import Ended, Metering

NOW_US = 1_800_000_000_000_000
ID = request_id(NOW_US, 7)
USED = Usage(
    100,
    50,
    cache_read_tokens=40,
    reasoning_tokens=20,
    searches=1,
    reply_model="m-1",
    service_tier="priority",
)


async def settled(world: World, usage: Usage, price: Price | None, *accounts: Account) -> int:
    """Admit and settle a call as a worker does; what it cost."""
    prices = {} if price is None else {"gpt-4o": price}
    held = reservation(ID, *(accounts or (budget(None, KEY),)))
    standing = await world.counters.reserve(held)
    held = structs.replace(held, levels=levels_before(standing))
    meter = Metering(world.counters, Catalog.of((), prices), None, InputEstimates())
    await meter.settle(Ended(held, usage, 200, "test"))
    return world.counters.ledger[-1].cost_nanousd


async def explanation(api: Api, identity: str = ID) -> dict[str, Any]:
    answer = await api.get("/spend/explain", request_id=identity)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_arithmetic_comes_to_what_was_charged(api: Api, world: World) -> None:
    """Each line is units times rate; their sum, rounded half up, is the cost that every budget was
    charged.
    """
    cost = await settled(world, USED, PRICE)
    answer = await explanation(api)
    assert answer["price"] == {
        "source": "test",
        "as_of": None,
        "above_input_tokens": 0,
        "service_tier": "priority",
        "geography": None,
    }
    assert [
        (line["units"], line["kind"], line["nanousd_each"], line["nanousd"])
        for line in answer["lines"]
    ] == [
        (60, "input", "300", "18000"),
        (40, "cache_read", "30", "1200"),
        (30, "output", "1500", "45000"),
        (20, "reasoning", "2100", "42000"),
        (1, "search", "30000000", "30000000"),
    ]
    assert (answer["sum_nanousd"], answer["cost_nanousd"], cost) == (
        "30106200",
        30_106_200,
        30_106_200,
    )


async def test_a_fraction_of_a_nano_dollar_is_shown_and_rounded_once(
    api: Api, world: World
) -> None:
    """Three tokens at half a nano-dollar are 1.5, charged as 2."""
    await settled(world, Usage(3), Price("half", (Rates(500_000, 0, 0, 0, 0),)))
    answer = await explanation(api)
    assert (answer["lines"][0]["nanousd_each"], answer["sum_nanousd"], answer["cost_nanousd"]) == (
        "0.5",
        "1.5",
        2,
    )
    assert sum(Fraction(line["nanousd"]) for line in answer["lines"]) == Fraction(
        answer["sum_nanousd"]
    )


async def test_tokens_are_told_by_kind_and_what_the_reply_said_of_itself(
    api: Api, world: World
) -> None:
    """The ledger keeps both."""
    await settled(world, USED, PRICE)
    answer = await explanation(api)
    assert {name: count for name, count in answer["tokens"].items() if count} == {
        "input_tokens": 100,
        "output_tokens": 50,
        "cache_read_tokens": 40,
        "reasoning_tokens": 20,
        "searches": 1,
    }
    assert (answer["reply_model"], answer["reply_service_tier"], answer["usage"]) == (
        "m-1",
        "priority",
        "exact",
    )


async def test_passes_and_what_the_reply_told_beside_counts(api: Api, world: World) -> None:
    """Each run of a model is told with its own counts, under the provider's word for it."""
    passes = (
        Pass(10, 2, kind="compaction"),
        Pass(5, 1, searches=1, model="advisor", kind="advisor_message"),
    )
    usage = Usage(
        15, 3, searches=1, passes=passes, geography="us", told_nanousd=77, search_context="low"
    )
    await settled(world, usage, None)
    answer = await explanation(api)
    told = [{name: value for name, value in each.items() if value} for each in answer["passes"]]
    assert told == [
        {"input_tokens": 10, "output_tokens": 2, "kind": "compaction"},
        {
            "input_tokens": 5,
            "output_tokens": 1,
            "searches": 1,
            "kind": "advisor_message",
            "model": "advisor",
        },
    ]
    assert (answer["geography"], answer["told_nanousd"], answer["search_context"]) == (
        "us",
        77,
        "low",
    )
    assert answer["provisioned"] is False
    lines = "\n".join(explained(answer))
    assert "told cost  77 nano-dollars" in lines
    assert (
        "pass       advisor_message by advisor: input_tokens 5, output_tokens 1, searches 1"
        in lines
    )


async def test_a_call_of_a_model_without_a_price_says_so(api: Api, world: World) -> None:
    """Under unpriced_models: free."""
    await settled(world, USED, None)
    answer = await explanation(api)
    assert (answer["price"], answer["lines"], answer["cost_nanousd"]) == (None, [], 0)
    assert explained(answer)[-2:] == ["price      none", "charged    0 nano-dollars, $0.000000000"]


async def test_people_read_it_line_by_line(api: Api, world: World) -> None:
    """What `tollgate spend explain` prints."""
    await settled(world, USED, PRICE)
    assert explained(await explanation(api))[1:] == [
        "model      gpt-4o (gpt-4o), the reply says m-1",
        (
            "usage      exact, by test: input_tokens 100, output_tokens 50, cache_read_tokens 40,"
            " reasoning_tokens 20, searches 1"
        ),
        "price      test, service tier priority; in nano-dollars:",
        "  60       input       x 300     = 18000",
        "  40  cache_read        x 30      = 1200",
        "  30      output      x 1500     = 45000",
        "  20   reasoning      x 2100     = 42000",
        "   1      search  x 30000000  = 30000000",
        "sum        30106200",
        "charged    30106200 nano-dollars, $0.030106200",
    ]


async def test_limits_that_the_call_passed_are_told_with_before_and_after(
    api: Api, world: World
) -> None:
    """Dollars as dollars; line by line where people read it."""
    await settled(world, USED, PRICE, budget(5 * DOLLAR, KEY), tokens(1_000, TEAM))
    answer = await explanation(api)
    money, rate = answer["limits"]
    assert money == {
        "scope": "key",
        "scope_id": "k1",
        "model": None,
        "meter": "usd",
        "window": None,
        "amount": 5.0,
        "shadow": False,
        "share": False,
        "before": 0.0,
        "held": 0.00000005,
        "used": 0.0301062,
        "after": 0.0301062,
    }
    assert (rate["before"], rate["held"], rate["used"], rate["window"]) == (0, 30, 150, "1m")
    assert explained(answer)[-2:] == [
        "passed     key k1: 0 + 0.0301062 = 0.0301062 of 5 usd; 0.00000005 was held",
        "passed     team t1: 0 + 150 = 150 of 1000 tokens per 1m; 30 was held",
    ]


@pytest.mark.parametrize("identity", [request_id(NOW_US, 8), "no-id-of-ours", "", "f" * 28])
async def test_an_id_that_the_ledger_lacks_is_not_found(
    api: Api, world: World, identity: str
) -> None:
    """404, naming it."""
    await settled(world, USED, PRICE)
    answer = await api.get("/spend/explain", request_id=identity)
    assert answer.status_code == 404
    assert repr(identity) in error_of(answer)["message"]


def test_an_id_tells_when_its_request_came() -> None:
    """To the millisecond; whatever is no id of ours tells nothing."""
    assert find_begin_us(request_id(NOW_US + 999, 2**64 - 1)) == NOW_US
    assert find_begin_us("x" * 28) is None
