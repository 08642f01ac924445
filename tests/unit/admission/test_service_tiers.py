"""What is held for a call on a service tier that it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.desk import Desk, admission

from tollgate.core.calls.reservation import Reservation
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates


def rates(nanousd: int) -> Rates:
    """Rates of so many nano-dollars a token of input, output costs nothing."""
    return Rates(nanousd * 10**6, 0, 0, 0, 0)


TIERS = Price("test", (rates(100),), {"priority": (rates(200),), "flex": (rates(50),)})
DEPLOYMENTS = (
    Deployment("m", "m", "openai", "m", "http://mock-llm/v1"),
    Deployment("b", "b", "bedrock", "b", "http://mock-llm"),
)


async def held(path: str, body: Any, price: Price = TIERS) -> Reservation:
    desk = Desk(deployments=DEPLOYMENTS, price=price)
    found = admission(await desk.ask(body, path=path)).reservation
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "tier", "nanousd"),
    [
        ({}, "", 100),
        ({"service_tier": None}, "", 100),
        ({"service_tier": "auto"}, "", 100),
        ({"service_tier": "Priority"}, "priority", 200),
        ({"service_tier": "flex"}, "flex", 50),
        # one that has no prices of its own, and what is no tier at all
        ({"service_tier": "scale"}, "", 100),
        ({"service_tier": 5}, "", 100),
        ({"service_tier": ["flex"]}, "", 100),
        ({"service_tier": {"type": 7}}, "", 100),
    ],
)
async def test_a_call_holds_the_price_of_the_service_tier_that_it_asks_for(
    asked: dict[str, object], tier: str, nanousd: int
) -> None:
    """So that no call costs more than it held, if nobody sees its end."""
    messages = {"messages": [{"role": "user", "content": "hi"}]}
    found = await held("/v1/chat/completions", {"model": "m", **messages, **asked})
    assert found.service_tier == tier
    assert found.cost_nanousd == found.input_tokens * nanousd


async def test_converse_names_the_tier_in_an_object() -> None:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html"""
    body = {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "serviceTier": {"type": "priority"},
    }
    assert (await held("/model/b/converse", body)).service_tier == "priority"


async def test_a_model_without_tiers_holds_what_it_costs() -> None:
    """Nobody looks what is asked for."""
    body = {"model": "m", "input": "hi", "service_tier": "priority"}
    found = await held("/v1/responses", body, Price("test", (rates(100),)))
    assert (found.service_tier, found.cost_nanousd) == ("", found.input_tokens * 100)
