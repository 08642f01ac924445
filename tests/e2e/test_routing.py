"""Which deployment serves a call, through real Envoy: limits of deployments and providers,
cooldowns and fallbacks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, MASTER, Gateway, bearer, gateway

MORE = """
  - model_name: pool
    litellm_params: {model: openai/gpt-4o, api_base: http://mock-llm/v1, api_key: k, rpm: 3}
    model_info: {id: pool-small}
  - model_name: pool
    litellm_params: {model: azure/gpt-4o, api_base: http://mock-llm, api_key: k, rpm: 5}
    model_info: {id: pool-large, base_model: gpt-4o}
  - model_name: cheap
    litellm_params: {model: groq/llama-3.1-8b-instant, api_base: http://mock-llm/v1, api_key: k,
        input_cost_per_token: 1, output_cost_per_token: 1}
  - model_name: shaky
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9/v1", api_key: k}
  - model_name: shaky
    litellm_params: {model: azure/gpt-4o, api_base: http://mock-llm, api_key: k, weight: 0}
    model_info: {id: shaky-good, base_model: gpt-4o}
  - model_name: shared
    litellm_params: {model: openai/gpt-4o, api_base: http://mock-llm/v1, api_key: k,
        limits: [{meter: requests, amount: 20, per: 1h, shares: {team-a: 0.5}}]}
  - model_name: contended
    litellm_params: {model: openai/gpt-4o, api_base: http://mock-llm/v1, api_key: k,
        limits: [{meter: requests, amount: 40, per: 1h, shares: {team-b: 0.5}}]}
  - model_name: down
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9/v1", api_key: k}
router_settings:
  allowed_fails: 0
  cooldown_time: 60
  fallbacks: [{down: [no-model, gpt-4o]}]
  provider_budget_config: {groq: {budget_limit: 1, time_period: 1d}}
general_settings:"""


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def ours(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway whose deployments have limits, and two workers."""
    config = CONFIG.replace("\ngeneral_settings:", MORE)
    folder = tmp_path_factory.mktemp("routing")
    async with gateway(folder, config, "--mode", request.param) as running:
        yield running


def message(reply: httpx.Response) -> str:
    return str(reply.json()["error"]["message"])


async def test_a_group_takes_what_its_deployments_take_together(ours: Gateway) -> None:
    """Of twenty calls at once eight are served, three by one deployment and five by the other,
    whichever worker decides; the others are told which has room first, and when.
    """
    key = await ours.key(key_alias="crowd")
    replies = await asyncio.gather(*(ours.chat(key, model="pool") for _ in range(20)))
    await ours.settled()
    assert Counter(each.status_code for each in replies) == {200: 8, 429: 12}
    refused = next(each for each in replies if each.status_code == 429)
    assert "deployment pool-" in message(refused)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    served = await ours.records(model="pool", limit=100)
    assert Counter(each["model_id"] for each in served) == {"pool-small": 3, "pool-large": 5}


async def test_a_team_has_its_share_of_a_saturated_deployment(ours: Gateway) -> None:
    """Half of the limit is common, whoever takes it; of the rest half is the team's. Whoever is
    refused is told of the share, and so is who looks a key up.
    """
    greedy = await ours.key(key_alias="greedy")
    replies = await asyncio.gather(*(ours.chat(greedy, model="shared") for _ in range(20)))
    assert Counter(each.status_code for each in replies) == {200: 10, 429: 10}
    await ours.manage("/team/new", team_id="team-a")
    entitled = await ours.key(team_id="team-a", models=["shared"])
    replies = await asyncio.gather(*(ours.chat(entitled, model="shared") for _ in range(20)))
    assert Counter(each.status_code for each in replies) == {200: 5, 429: 15}
    await ours.settled()
    refused = await ours.chat(entitled, model="shared")
    assert "share of team-a: Limit 5 at once (10 per 1h), Used 5" in message(refused)
    usage = await ours.client.get(
        f"{ours.url}/v1/usage", params={"key": entitled}, headers=bearer(MASTER)
    )
    whole, share = [each for each in usage.json()["limits"] if each["scope"] == "deployment"]
    assert (whole["words"], whole["amount"], whole["used"]) == ("requests per hour", 20, 15)
    assert (share["words"], share["left"]) == ("requests per hour, share of team-a", 0)
    (record, *_) = await ours.records(model="shared", limit=1)
    assert "deployment:shared" in record["counted_in"]


async def test_a_share_comes_back_at_once_while_others_go_on(ours: Gateway) -> None:
    """Its owner comes when the common part is used up and others still call, through both workers:
    none of the owner's first calls waits for a refill, and all together get no more than there is.
    """
    greedy = await ours.key(key_alias="greedy-again")
    replies = await asyncio.gather(*(ours.chat(greedy, model="contended") for _ in range(30)))
    assert Counter(each.status_code for each in replies) == {200: 20, 429: 10}
    await ours.manage("/team/new", team_id="team-b")
    owner = await ours.key(team_id="team-b", models=["contended"])
    pairs = [(owner, greedy)] * 15
    replies = await asyncio.gather(
        *(ours.chat(key, model="contended") for pair in pairs for key in pair)
    )
    told = [each.status_code for each in replies]
    assert Counter(told[::2]) == {200: 10, 429: 5}
    assert Counter(told[1::2]) == {429: 15}


async def test_a_providers_budget_is_told_as_429(ours: Gateway) -> None:
    """The caller has money, so it is no spent budget to an SDK."""
    key = await ours.key(max_budget=1000)
    assert (await ours.chat(key, model="cheap")).status_code == 200
    refused = await ours.chat(key, model="cheap")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert message(refused).startswith("The budget of provider groq is spent; it resets at ")
    assert refused.headers["x-should-retry"] == "false"


async def settled_down(ours: Gateway, key: str, model: str) -> list[httpx.Response]:
    """Replies of a model from the first on, until ten in a row are good: workers tell each other of
    failures.
    """
    replies: list[httpx.Response] = []
    while len(replies) < 300 and {each.status_code for each in replies[-10:]} != {200}:
        replies.append(await ours.chat(key, model=model))
        await asyncio.sleep(0.02)
    return replies


async def test_calls_leave_a_deployment_that_fails_for_another(ours: Gateway) -> None:
    """Once it has failed, in every worker; a stand-by too."""
    key = await ours.key()
    replies = await settled_down(ours, key, "shaky")
    assert replies[0].status_code == 503
    assert {each.status_code for each in replies[-10:]} == {200}
    (last, *_) = await ours.records(model="shaky", limit=1)
    assert last["model_id"] == "shaky-good"


async def test_a_model_that_fails_is_served_by_its_fallback_within_the_budget(
    ours: Gateway,
) -> None:
    """Charged as what served, which the reply names; a key that may not use that model gets the
    error.
    """
    replies = await settled_down(ours, await ours.key(), "down")
    assert replies[0].status_code == 503
    assert {(each.status_code, each.headers.get("x-tollgate-model")) for each in replies[-10:]} == {
        (200, "gpt-4o")
    }
    confined = await ours.key(models=["down"])
    assert (await ours.chat(confined, model="down")).status_code == 503
    poor = await ours.key(max_budget=0)
    assert (await ours.chat(poor, model="down")).status_code == 401
