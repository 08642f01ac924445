"""One key, its limits and its budget, through real Envoy: the issue's own examples and what a
careful user would try next.
"""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from tests.e2e.gateway import MASTER, Gateway, bearer


async def test_the_third_call_of_two_is_refused_and_says_why(tollgate: Gateway) -> None:
    """rpm_limit: 2 passes two calls; the third is a 429 with retry-after, naming the limit, in
    OpenAI's shape.
    """
    key = await tollgate.key(rpm_limit=2, max_budget=0.01)
    replies = []
    for _ in range(3):
        replies.append(await tollgate.chat(key))
        await tollgate.settled()
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "2"
    assert replies[0].headers["x-litellm-key-remaining-requests-gpt-4o"] == "1"
    error = replies[2].json()["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert "on requests per min (RPM): Limit 2" in error["message"]
    assert 0 < int(replies[2].headers["retry-after"]) <= 30
    assert replies[2].headers["content-type"] == "application/json"


async def test_a_json_reply_tells_what_it_cost_after_it_was_settled(tollgate: Gateway) -> None:
    """gpt-4o at $2.50 and $10 a million: 1 token in and 20 out cost $0.0002025, and the headers say
    so.
    """
    key = await tollgate.key(max_budget=0.01, tpm_limit=1000)
    reply = await tollgate.chat(key)
    usage = reply.json()["usage"]
    cost = (usage["prompt_tokens"] * 2.5 + usage["completion_tokens"] * 10) / 1_000_000
    assert reply.headers["x-litellm-key-max-budget"] == "0.01"
    if tollgate.native:  # its headers tell how things stood when the request was admitted
        assert "x-litellm-response-cost" not in reply.headers
        assert float(reply.headers["x-litellm-key-spend"]) == 0
        assert int(reply.headers["x-ratelimit-remaining-tokens"]) < 1000 - usage["total_tokens"]
    else:
        assert float(reply.headers["x-litellm-response-cost"]) == pytest.approx(cost)
        assert float(reply.headers["x-litellm-key-spend"]) == pytest.approx(cost)
        assert reply.headers["x-ratelimit-remaining-tokens"] == str(1000 - usage["total_tokens"])
    await tollgate.settled()
    info = await tollgate.info(key)
    assert info["spend"] == pytest.approx(cost)
    assert info["model_spend"] == {"gpt-4o": pytest.approx(cost)}


async def test_ten_of_fifty_at_once_pass_a_limit_of_ten(tollgate: Gateway) -> None:
    """No over-admission, over two workers."""
    key = await tollgate.key(rpm_limit=10)
    replies = await asyncio.gather(*(tollgate.chat(key) for _ in range(50)))
    assert sorted(reply.status_code for reply in replies) == [200] * 10 + [429] * 40


async def test_ten_of_fifty_at_once_pass_a_budget_that_fits_ten(tollgate: Gateway) -> None:
    """Each call holds 5 cents of 50: exactly ten fit, and exactly ten are charged.

    A call that is late, on a busy machine, meets a budget that is spent, no more held: a 401.
    """
    key = await tollgate.key(max_budget=0.5)
    headers = {"x-mock-latency-ms": "1000"}
    replies = await asyncio.gather(
        *(tollgate.chat(key, headers, model="cent", max_tokens=5) for _ in range(50))
    )
    statuses = [reply.status_code for reply in replies]
    assert (statuses.count(200), set(statuses) - {401}) == (10, {200, 429})
    await tollgate.settled()
    assert (await tollgate.info(key))["spend"] == pytest.approx(0.5)
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["retry-after-ms"] == "1000"
    spent = await tollgate.chat(key, model="cent")
    assert spent.json()["detail"].startswith(
        "Authentication Error, ExceededTokenBudget: Current spend for token: 0.5"
    )
    assert (spent.status_code, spent.headers["x-should-retry"]) == (401, "false")


async def test_a_caller_with_a_cent_left_is_served_once(tollgate: Gateway) -> None:
    """A budget is overshot by at most one call."""
    key = await tollgate.key(max_budget=0.01)
    assert (await tollgate.chat(key, model="cent", max_tokens=50)).status_code == 200
    await tollgate.settled()
    assert (await tollgate.info(key))["spend"] == pytest.approx(0.2)
    assert (await tollgate.chat(key, model="cent")).status_code == 401


async def test_parallel_calls_are_limited_and_freed(tollgate: Gateway) -> None:
    """max_parallel_requests: 2 refuses the third while two run, and none afterwards."""
    key = await tollgate.key(max_parallel_requests=2)
    slow = {"x-mock-latency-ms": "600"}
    replies = await asyncio.gather(*(tollgate.chat(key, slow) for _ in range(3)))
    assert sorted(reply.status_code for reply in replies) == [200, 200, 429]
    await tollgate.settled()
    assert (await tollgate.chat(key)).status_code == 200


async def test_a_tpm_limit_of_five_serves_one_call(tollgate: Gateway) -> None:
    """However small the limit, a lone request passes; the next waits until the debt has drained."""
    key = await tollgate.key(tpm_limit=5)
    assert (await tollgate.chat(key)).status_code == 200
    await tollgate.settled()
    refused = await tollgate.chat(key)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "tokens"
    assert int(refused.headers["retry-after"]) > 60


async def test_the_provider_gets_its_own_key_and_never_the_clients(tollgate: Gateway) -> None:
    """Envoy injects the provider's credential; the client's stays at the gateway, wherever it was
    put.
    """
    key = await tollgate.key()
    body = {"model": "gpt-4o", "messages": []}
    url = f"{tollgate.url}/v1/chat/completions"
    for headers, query in (
        (bearer(key), ""),
        ({"x-api-key": key}, ""),
        ({"api-key": key}, ""),
        ({"x-goog-api-key": key}, ""),
        ({}, f"?a=1&key={key}"),
    ):
        reply = await tollgate.client.post(url + query, json=body, headers=headers)
        assert reply.headers["x-mock-authorization"] == "Bearer provider-key"
        assert key not in reply.headers["x-mock-path"]


async def test_only_the_model_changes_in_a_body(tollgate: Gateway) -> None:
    """The public name becomes the deployment's; every other byte arrives as it was sent."""
    key = await tollgate.key()
    sent = (
        '{ "seed":9007199254740993, "messages":[{"role":"user","content":"\\u00e9é"}],\n"model" :'
        ' "fast"}'.encode()
    )
    reply = await tollgate.client.post(
        f"{tollgate.url}/v1/chat/completions", content=sent, headers=bearer(key)
    )
    assert reply.status_code == 200
    assert (
        reply.headers["x-mock-body-sha256"]
        == hashlib.sha256(sent.replace(b'"fast"', b'"gpt-4o-mini"')).hexdigest()
    )


async def test_a_providers_own_limits_come_through_under_another_name(tollgate: Gateway) -> None:
    """x-ratelimit-* is ours to say; the provider's stands under llm_provider-."""
    reply = await tollgate.chat(await tollgate.key())
    assert reply.headers["llm_provider-x-ratelimit-remaining-requests"] == "9999"
    assert "x-ratelimit-remaining-requests" not in reply.headers


async def test_tollgates_own_headers_cannot_be_sent_by_a_client(tollgate: Gateway) -> None:
    """x-tollgate-route of a client neither routes nor gets around admission."""
    reply = await tollgate.client.post(
        f"{tollgate.url}/v1/chat/completions",
        json={"model": "gpt-4o"},
        headers={"x-tollgate-route": "gpt-4o"},
    )
    assert reply.status_code == 401


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
async def test_embeddings_cost_their_input(tollgate: Gateway, path: str) -> None:
    """text-embedding-3-small at $0.02 a million."""
    key = await tollgate.key()
    reply = await tollgate.client.post(
        tollgate.url + path,
        json={"model": "embed", "input": "some words to embed"},
        headers=bearer(key),
    )
    assert reply.status_code == 200
    cost = reply.json()["usage"]["prompt_tokens"] * 0.02 / 1_000_000
    assert await tollgate.spend(key) == pytest.approx(cost)
    assert tollgate.native or float(reply.headers["x-litellm-response-cost"]) == pytest.approx(cost)


async def test_a_blocked_key_stops_and_an_unblocked_one_goes_on(tollgate: Gateway) -> None:
    """Within a second, on every worker."""
    key = await tollgate.key()
    assert (await tollgate.chat(key)).status_code == 200
    await tollgate.manage("/key/block", key=key)
    await asyncio.sleep(1)
    assert {(await tollgate.chat(key)).status_code for _ in range(8)} == {401}
    await tollgate.manage("/key/unblock", key=key)
    await asyncio.sleep(1)
    assert {(await tollgate.chat(key)).status_code for _ in range(8)} == {200}


async def test_a_limit_that_is_changed_holds_at_once(tollgate: Gateway) -> None:
    """A raised limit gives room; null takes the limit away."""
    key = await tollgate.key(rpm_limit=1)
    assert [(await tollgate.chat(key)).status_code for _ in range(2)] == [200, 429]
    await tollgate.manage("/key/update", key=key, rpm_limit=2)
    await asyncio.sleep(1)
    assert [(await tollgate.chat(key)).status_code for _ in range(2)] == [200, 429]
    await tollgate.manage("/key/update", key=key, rpm_limit=None)
    await asyncio.sleep(1)
    assert {(await tollgate.chat(key)).status_code for _ in range(5)} == {200}


async def test_models_that_a_key_loses_are_refused_and_come_back(tollgate: Gateway) -> None:
    """Within a second, on every worker, though each has served the model to the key before."""
    key = await tollgate.key()
    assert {(await tollgate.chat(key)).status_code for _ in range(8)} == {200}
    for models, status in ((["another"], 403), ([], 200)):
        await tollgate.manage("/key/update", key=key, models=models)
        await asyncio.sleep(1)
        assert {(await tollgate.chat(key)).status_code for _ in range(8)} == {status}


async def test_a_deleted_key_is_unknown(tollgate: Gateway) -> None:
    """And its calls are refused within a second."""
    key = await tollgate.key()
    assert (await tollgate.manage("/key/delete", keys=[key]))["deleted_keys"] == [key]
    await asyncio.sleep(1)
    assert (await tollgate.chat(key)).status_code == 401


async def test_the_master_key_may_call_models(tollgate: Gateway) -> None:
    """It is admin, and has no limits of its own."""
    assert (await tollgate.chat(MASTER)).status_code == 200


async def test_metrics_and_documentation_are_there(tollgate: Gateway) -> None:
    """Prometheus text over all workers; Swagger; health."""
    await tollgate.chat(await tollgate.key())
    metrics = await tollgate.metrics('tollgate_tokens_total{direction="output",model="gpt-4o"}')
    assert "tollgate_requests_admitted_total" in metrics
    for path in ("/health/liveliness", "/health/readiness", "/docs", "/openapi.json"):
        assert (await tollgate.client.get(tollgate.url + path)).status_code == 200


async def test_a_reply_of_unknown_length_is_settled_before_it_is_answered(
    tollgate: Gateway,
) -> None:
    """Providers send JSON in chunks; its headers tell the settled truth all the same."""
    key = await tollgate.key(max_budget=1)
    reply = await tollgate.chat(key, {"x-mock-chunked": "1"})
    assert json.loads(reply.content)["usage"]["completion_tokens"] == 20
    assert tollgate.native or float(reply.headers["x-litellm-key-spend"]) > 0
    assert await tollgate.spend(key) > 0


async def test_a_long_reply_passes_and_is_settled_all_the_same(tollgate: Gateway) -> None:
    """Beyond 256 KB a reply is not held back; its usage is found at its end."""
    key = await tollgate.key()
    reply = await tollgate.chat(key, {"x-mock-size": "600000"}, model="cent")
    assert len(reply.content) > 600_000
    assert await tollgate.spend(key) == pytest.approx(0.2)


async def test_a_reply_longer_than_envoys_buffer_arrives_whole_and_is_charged(
    tollgate: Gateway,
) -> None:
    """Of unknown length and three megabytes long: held as far as the buffer goes, then passed on,
    and never free.
    """
    key = await tollgate.key()
    reply = await tollgate.chat(
        key, {"x-mock-size": "3000000", "x-mock-chunked": "1"}, model="cent"
    )
    assert reply.json()["usage"]["completion_tokens"] == 20
    assert await tollgate.spend(key) > 0
