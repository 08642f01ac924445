"""Streams: what the client sees of them, and what they are charged however they end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.gateway import CONFIG, Gateway, bearer, gateway

CENT = {"model": "cent", "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def events(
    gateway: Gateway, key: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> tuple[httpx.Response, list[Any]]:
    """A streamed chat, as its headers and its events."""
    url = f"{gateway.url}/v1/chat/completions"
    async with gateway.client.stream(
        "POST", url, json=body, headers={**bearer(key), **(headers or {})}
    ) as reply:
        lines = [line async for line in reply.aiter_lines()]
    return reply, [
        json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")
    ]


async def test_a_stream_is_charged_though_the_client_did_not_ask_for_usage(
    tollgate: Gateway,
) -> None:
    """include_usage is added on the way in, and the event that it brings is taken out on the way
    back.
    """
    key = await tollgate.key(max_budget=10, rpm_limit=5)
    reply, found = await events(tollgate, key, CENT)
    assert reply.status_code == 200
    assert all(event["choices"] for event in found)
    assert reply.headers["x-ratelimit-remaining-requests"] == "4"
    assert reply.headers["x-litellm-key-max-budget"] == "10.0"
    assert await tollgate.spend(key) == pytest.approx(0.2)


async def test_a_client_that_asked_for_usage_gets_it(tollgate: Gateway) -> None:
    """Nothing is hidden that was asked for."""
    key = await tollgate.key()
    _, found = await events(tollgate, key, {**CENT, "stream_options": {"include_usage": True}})
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] == 20
    assert await tollgate.spend(key) == pytest.approx(0.2)


@pytest.mark.parametrize("split", [1, 7, 64])
async def test_events_may_be_split_anywhere(tollgate: Gateway, split: int) -> None:
    """Pieces that respect no event boundary change neither what the client sees nor
    what it pays.
    """
    key = await tollgate.key()
    _, found = await events(tollgate, key, CENT, {"x-mock-split": str(split), "x-mock-chunks": "5"})
    assert (
        "".join(event["choices"][0]["delta"].get("content", "") for event in found)
        == "tollgate " * 5
    )
    assert all(event["choices"] for event in found)
    assert await tollgate.spend(key) == pytest.approx(0.05)


async def test_a_client_that_leaves_early_pays_for_what_it_saw(tollgate: Gateway) -> None:
    """Abort in mid-stream: the output seen so far, marked partial, and the slot is free again."""
    key = await tollgate.key(max_parallel_requests=1)
    url = f"{tollgate.url}/v1/chat/completions"
    headers = {**bearer(key), "x-mock-chunk-ms": "20", "x-mock-chunks": "500"}
    async with tollgate.client.stream("POST", url, json=CENT, headers=headers) as reply:
        seen = 0
        async for line in reply.aiter_lines():
            seen += line.startswith("data: ")
            if seen == 10:
                break
    spend = await tollgate.spend(key)
    assert 0.05 <= spend <= 0.5
    assert (await tollgate.chat(key)).status_code == 200


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_stream_that_is_longer_than_its_lease_keeps_its_slot_and_is_settled_once(
    tmp_path: Path, mode: str
) -> None:
    """The periodic entries of the access log renew its lease: nothing is charged as expired, and
    the count is exact.
    """
    async with gateway(tmp_path, CONFIG + "  lease_seconds: 5\n", "--mode", mode) as running:
        key = await running.key(max_parallel_requests=1, max_budget=10)
        slow = {"x-mock-chunk-ms": "500", "x-mock-chunks": "27"}
        stream = asyncio.create_task(events(running, key, {**CENT, "max_tokens": 500}, slow))
        # By then the lease would have run out, and the reaper, who comes every five seconds, would
        # have charged 500 tokens.
        await asyncio.sleep(12)
        assert (await running.chat(key)).status_code == 429
        _, found = await stream
        assert (
            "".join(event["choices"][0]["delta"].get("content", "") for event in found).count(
                "tollgate"
            )
            == 27
        )
        assert await running.spend(key) == pytest.approx(0.27)
        (record,) = await running.records(api_key=key)
        assert (record["usage"], record["completion_tokens"]) == ("exact", 27)
        assert (await running.chat(key)).status_code == 200


async def test_a_stream_that_the_provider_cuts_pays_for_what_came(tollgate: Gateway) -> None:
    """The provider's connection dies after five words: about those are charged (counted by their
    letters), not the estimate.
    """
    key = await tollgate.key(max_parallel_requests=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await events(tollgate, key, CENT, {"x-mock-cut": "5", "x-mock-chunk-ms": "5"})
    assert 0.05 <= await tollgate.spend(key) <= 0.12
    assert (await tollgate.chat(key)).status_code == 200


async def test_a_client_that_leaves_before_the_reply_frees_its_slot(tollgate: Gateway) -> None:
    """Nobody sees a reply; the access log settles, and charges the input."""
    key = await tollgate.key(max_parallel_requests=1, max_budget=1)
    url = f"{tollgate.url}/v1/chat/completions"
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi " * 3000}]}
    with pytest.raises(httpx.ReadTimeout):
        await tollgate.client.post(
            url, json=body, headers={**bearer(key), "x-mock-latency-ms": "20000"}, timeout=0.5
        )
    assert await tollgate.spend(key) == pytest.approx(3000 * 2.5 / 1_000_000, rel=0.3)
    assert (await tollgate.chat(key)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "model", "status"),
    [
        ({"x-mock-status": "500"}, "gpt-4o", 500),
        ({"x-mock-status": "429"}, "gpt-4o", 429),
        ({"x-mock-reset": "1"}, "gpt-4o", 503),
        ({}, "nowhere", 503),
    ],
)
async def test_a_call_that_failed_costs_nothing_but_its_request(
    tollgate: Gateway, headers: dict[str, str], model: str, status: int
) -> None:
    """Errors of the provider, resets and a provider that is not there: hold and slot are given
    back, the request stays counted.
    """
    key = await tollgate.key(max_parallel_requests=1, max_budget=1, tpm_limit=1000, rpm_limit=10)
    failed = await tollgate.chat(key, headers, model=model)
    assert failed.status_code == status
    assert "error" in failed.json()
    await tollgate.settled()
    for _ in range(100):
        good = await tollgate.chat(key)
        if good.status_code == 200:
            break
        await asyncio.sleep(0.05)
    assert good.status_code == 200
    if tollgate.native:  # nothing but what this call itself holds
        held = (await tollgate.chat(await tollgate.key(tpm_limit=1000))).headers[
            "x-ratelimit-remaining-tokens"
        ]
        assert int(good.headers["x-ratelimit-remaining-tokens"]) == pytest.approx(int(held), abs=10)
        assert float(good.headers["x-litellm-key-spend"]) == 0
    else:
        assert (
            int(good.headers["x-ratelimit-remaining-tokens"])
            == 1000 - good.json()["usage"]["total_tokens"]
        )
        assert good.headers["x-litellm-key-spend"] == good.headers["x-litellm-response-cost"]


async def test_a_reply_without_usage_is_charged_by_the_estimate(tollgate: Gateway) -> None:
    """Never silently zero: the output limit that was held."""
    key = await tollgate.key()
    reply = await tollgate.chat(key, {"x-mock-usage": "none"}, model="cent", max_tokens=30)
    assert reply.status_code == 200
    assert await tollgate.spend(key) > 0


async def test_anthropic_messages_are_metered_in_json_and_in_streams(tollgate: Gateway) -> None:
    """claude-sonnet-4-5 at $3 and $15 a million; start and delta are merged."""
    body = {
        "model": "claude",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "how are you today"}],
    }
    url = f"{tollgate.url}/v1/messages"
    key = await tollgate.key(rpm_limit=60)
    reply = await tollgate.client.post(url, json=body, headers={"x-api-key": key})
    assert reply.status_code == 200
    assert reply.headers["x-mock-authorization"] == "anthropic-key"
    assert reply.headers["anthropic-ratelimit-requests-remaining"] == "59"
    usage = reply.json()["usage"]
    cost = (usage["input_tokens"] * 3 + usage["output_tokens"] * 15) / 1_000_000
    assert tollgate.native or float(reply.headers["x-litellm-response-cost"]) == pytest.approx(cost)
    async with tollgate.client.stream(
        "POST", url, json={**body, "stream": True}, headers={"x-api-key": key}
    ) as stream:
        kinds = [
            line.removeprefix("event: ")
            async for line in stream.aiter_lines()
            if line.startswith("event: ")
        ]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert await tollgate.spend(key, at_least=1.99 * cost) == pytest.approx(2 * cost)
