"""The rates of LiteLLM's documentation of budgets, call by call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.e2e import page_commands as page
from tests.e2e.gateway import Gateway, bearer, gateway
from tests.e2e.page_gateway import MODES, main
from tests.e2e.page_shell import (
    CONFIG,
    GROWN_CONFIG,
    curl,
    embed,
    models,
    statuses,
    told,
)

__all__ = ["main"]

# Set Rate Limits


async def test_a_users_rates_persist_across_their_keys(main: Gateway) -> None:
    """tpm_limit 20 serves one call of the user and refuses the next, with whichever key."""
    made = (await curl(main, page.USER_RATES)).json()
    assert list(made) == ["key", "expires", "user_id", "max_budget"]
    assert (made["user_id"], made["expires"]) == ("krrish@berri.ai", None)
    first = await main.chat(made["key"], model="gpt-4")
    assert (first.status_code, first.headers["x-ratelimit-limit-requests"]) == (200, "4")
    refused = await main.chat(await main.key(user_id="krrish@berri.ai"), model="gpt-4")
    assert refused.status_code == 429
    assert told(refused).startswith(
        "Rate limit reached for user krrish@berri.ai on tokens per min (TPM): Limit 20"
    )


async def test_a_keys_rates_are_its_own(main: Gateway) -> None:
    """The answer names a user who was made up for it; each of the three limits refuses
    by itself.
    """
    made = (await curl(main, page.KEY_RATES)).json()
    assert made["key"].startswith("sk-")
    assert made["user_id"] is not None
    assert await statuses(main, made["key"], 2) == [200, 429]
    assert await statuses(main, await main.key(rpm_limit=4), 5) == [200, 200, 200, 200, 429]
    key = await main.key(max_parallel_requests=2)
    slow = {"x-mock-latency-ms": "700"}
    at_once = await asyncio.gather(*(main.chat(key, slow, model="gpt-4") for _ in range(3)))
    assert sorted(reply.status_code for reply in at_once) == [200, 200, 429]


async def test_a_keys_rates_for_one_model(main: Gateway) -> None:
    """The page's headers: 1 request and 179 tokens left after the first call; the third is refused,
    another model is not.
    """
    printed = await curl(main, page.MODEL_RATES)
    assert printed.status_code == 400
    assert "line 1, column 63, near" in told(printed)
    made = (await curl(main, page.MODEL_RATES, ('{"gpt-4":}', '{"gpt-4": 200}'))).json()
    key = ("sk-ulGNRXWtv7M0lFnnsQk0wQ", made["key"])
    # 7 tokens in and 14 out.
    short = ("-H ", '-H "x-mock-chunks: 14" -H ')
    first = await curl(main, page.MODEL_CHAT, key, short)
    assert first.status_code == 200
    assert first.json()["usage"]["total_tokens"] == 21
    assert first.headers["x-litellm-key-remaining-requests-gpt-4"] == "1"
    # The bucket refills 200 a minute: half a second may give one or two back. In native mode more
    # is held than was used.
    assert (
        (0 if main.native else 179)
        <= int(first.headers["x-litellm-key-remaining-tokens-gpt-4"])
        <= 182
    )
    second, third = await curl(main, page.MODEL_CHAT, key), await curl(main, page.MODEL_CHAT, key)
    assert (second.headers["x-litellm-key-remaining-requests-gpt-4"], third.status_code) == (
        "0",
        429,
    )
    assert (await main.chat(made["key"], model="gpt-5")).status_code == 200


async def test_streams_tell_what_is_left_too(main: Gateway) -> None:
    """With their first byte."""
    key = await main.key(model_rpm_limit={"gpt-4": 2}, model_tpm_limit={"gpt-4": 200})
    reply = await main.chat(key, model="gpt-4", stream=True)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-litellm-key-remaining-requests-gpt-4"] == "1"
    assert 0 < int(reply.headers["x-litellm-key-remaining-tokens-gpt-4"]) < 200


# Set rate limits for customers


async def test_a_customer_has_the_rates_of_a_budget(main: Gateway) -> None:
    """tpm_limit 5: however small, the first call passes; the second does not."""
    budget = (await curl(main, page.BUDGET)).json()
    assert (budget["budget_id"], budget["tpm_limit"]) == ("free-tier", 5)
    customer = (await curl(main, page.CUSTOMER)).json()
    assert (customer["user_id"], customer["budget_id"]) == ("palantir", "free-tier")
    first, second = [await curl(main, page.CUSTOMER_RATES_CHAT) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert told(second).startswith(
        "Rate limit reached for customer palantir on tokens per min (TPM): Limit 5"
    )
    assert (await curl(main, page.CUSTOMER_RATES_CHAT, ("palantir", "anduril"))).status_code == 200


# Grant Access to new model


@pytest.mark.parametrize("mode", MODES)
async def test_a_model_that_joins_a_group_reaches_existing_keys_at_once(
    tmp_path: Path, mode: str
) -> None:
    """A group stands in the lists of key, team and user.

    The file is changed, the gateway started again, nothing is lost.
    """
    async with gateway(tmp_path, CONFIG, "--mode", mode) as before:
        printed = await curl(before, page.ACCESS_GROUP)
        assert printed.status_code == 400
        assert "line 1, column 29, near" in told(printed)
        comment = (" # 👈 Model Access Group", "")
        user = (await curl(before, page.ACCESS_GROUP, comment)).json()
        assert (await embed(before, user["key"])).status_code == 401  # max_budget 0
        await before.manage("/user/update", user_id=user["user_id"], max_budget=None)
        await before.manage("/team/new", team_id="beta", models=["beta-models"])
        await asyncio.sleep(1)
        keys = [
            user["key"],
            await before.key(models=["beta-models"]),
            await before.key(team_id="beta"),
        ]
        granted = await curl(before, page.ACCESS_GROUP_KEY)
        assert (granted.json()["models"], granted.json()["user_id"]) == (
            ["azure-models"],
            "krrish@berri.ai",
        )
        for key in keys:
            assert (await embed(before, key)).status_code == 200
            refused = await before.chat(key, model="llama3")
            assert (refused.status_code, refused.json()["error"]["param"]) == (403, "model")
            assert await models(before, key) == ["text-embedding-ada-002"]
        spent = [await before.spend(key) for key in keys]
    async with gateway(tmp_path, GROWN_CONFIG, "--mode", mode) as after:
        assert [(await after.info(key))["spend"] for key in keys] == spent
        for key in keys:
            assert (await after.chat(key, model="llama3")).status_code == 200
            assert await models(after, key) == ["llama3", "text-embedding-ada-002"]


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_each_path_works_with_and_without_its_version(main: Gateway, prefix: str) -> None:
    """Chat completions, completions and embeddings."""
    key = await main.key()
    for path, members in (
        ("/chat/completions", {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]}),
        ("/completions", {"model": "gpt-4", "prompt": "hi"}),
    ):
        reply = await main.client.post(main.url + prefix + path, json=members, headers=bearer(key))
        assert (reply.status_code, "choices" in reply.json()) == (200, True)
    assert (await embed(main, key, prefix + "/embeddings")).status_code == 200
