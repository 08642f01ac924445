"""What a call costs, and the models that a caller may use, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.management_fixtures import Api, error_of, ok


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        # The test's gpt-4o costs $2 a million tokens in, $8 out, $1 from the cache.
        (
            {
                "completion_response": {
                    "model": "gpt-4o",
                    "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
                }
            },
            0.0028,
        ),
        (
            {
                "model": "gpt-4o",
                "completion_response": {"usage": {"input_tokens": 1000, "output_tokens": 0}},
            },
            0.002,
        ),
        (
            {
                "model": "gpt-4o",
                "completion_response": {
                    "usage": {
                        "prompt_tokens": 1000,
                        "prompt_tokens_details": {"cached_tokens": 1000},
                    }
                },
            },
            0.001,
        ),
        ({"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 30}]}, 2e-05),
    ],
)
async def test_a_cost_is_calculated(api: Api, body: dict[str, Any], cost: float) -> None:
    """Of a reply by its own count, of messages by an estimate."""
    assert await ok(api.post("/spend/calculate", body)) == {"cost": cost}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "gpt-4o"},
        {"model": "none", "messages": []},
        {"model": "unpriced", "messages": []},
        {"model": "gpt-4o", "completion_response": {"usage": {"prompt_tokens": -1}}},
        {"model": "gpt-4o", "completion_response": {"usage": 7}},
    ],
)
async def test_a_cost_that_nobody_knows_is_400(api: Api, body: dict[str, Any]) -> None:
    """No model, no price, no sensible count."""
    answer = await api.post("/spend/calculate", body)
    assert answer.status_code == 400
    error_of(answer)


async def test_models_are_those_that_the_caller_may_use(api: Api) -> None:
    """All for an administrator; for a key what key, team and user lists allow, groups
    among them.
    """
    await api.post("/team/new", {"team_id": "t", "models": ["gpt-*"]})
    by_group, by_team = await api.made(models=["beta-models"]), await api.made(team_id="t")
    found = [await ok(api.get("/v1/models", by=key)) for key in (by_group["key"], by_team["key"])]
    assert [[each["id"] for each in one["data"]] for one in found] == [["unpriced"], ["gpt-4o"]]
    whole = await ok(api.get("/models"))
    assert whole == {
        "data": [
            {"id": "gpt-4o", "object": "model", "created": 1677610602, "owned_by": "openai"},
            {"id": "unpriced", "object": "model", "created": 1677610602, "owned_by": "openai"},
        ],
        "object": "list",
    }


async def test_a_members_models_are_those_of_the_membership_too(api: Api) -> None:
    """What admission would refuse is not listed."""
    await ok(api.post("/team/new", {"team_id": "t"}))
    member = {"role": "user", "user_id": "u"}
    await ok(
        api.post(
            "/team/member_add",
            {"team_id": "t", "member": member, "allowed_models": ["beta-models"]},
        )
    )
    made = await ok(api.post("/key/generate", {"team_id": "t", "user_id": "u"}))
    listed = await ok(api.get("/v1/models", by=made["key"]))
    assert [each["id"] for each in listed["data"]] == ["unpriced"]


async def test_deployments_are_told_with_their_prices(api: Api) -> None:
    """And without any provider's key."""
    first, second = (await ok(api.get("/model/info")))["data"]
    assert first == {
        "model_name": "gpt-4o",
        "litellm_params": {"model": "openai/gpt-4o", "api_base": "http://mock-llm/v1"},
        "model_info": {
            "id": "gpt-4o",
            "mode": "chat",
            "access_groups": [],
            "db_model": False,
            "litellm_provider": "openai",
            "max_tokens": 16384,
            "max_input_tokens": None,
            "max_output_tokens": 16384,
            "input_cost_per_token": 2e-06,
            "output_cost_per_token": 8e-06,
            "output_cost_per_image": None,
            "price_source": "test",
            "price_as_of": None,
        },
    }
    assert second["model_info"]["input_cost_per_token"] is None
    assert second["model_info"]["access_groups"] == ["beta-models"]
    assert (await ok(api.get("/model/info", litellm_model_id="unpriced")))["data"] == [second]
    assert (await api.get("/model/info", litellm_model_id="none")).status_code == 404


@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info", "/model_group/info"])
async def test_a_key_is_told_of_its_own_models_and_of_no_address(api: Api, path: str) -> None:
    """By lists and groups; neither where a provider is reached nor with what."""
    made = await api.made(models=["gpt-4o"])
    answer = await api.get(path, by=made["key"])
    assert answer.status_code == 200
    (only,) = answer.json()["data"]
    assert only.get("model_name", only.get("model_group")) == "gpt-4o"
    assert "api_base" not in answer.text
    assert "mock-llm" not in answer.text
    assert (await api.get(path, by="sk-nobody-0123456789")).status_code == 401


async def test_a_model_is_told_by_its_public_name(api: Api) -> None:
    """As LiteLLM sums its deployments up; one that the key may not use is not there."""
    (group,) = (await ok(api.get("/model_group/info", model_group="gpt-4o")))["data"]
    assert group == {
        "model_group": "gpt-4o",
        "providers": ["openai"],
        "mode": "chat",
        "max_input_tokens": None,
        "max_output_tokens": 16384,
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 8e-06,
        "price_source": "test",
        "price_as_of": None,
        "tpm": None,
        "rpm": None,
    }
    made = await api.made(models=["gpt-4o"])
    answer = await api.get("/model_group/info", by=made["key"], model_group="unpriced")
    assert answer.status_code == 404
