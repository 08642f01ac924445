"""A client that calls one after the other is never refused by its own last call, whoever settles
that and when.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, Gateway, bearer, gateway

PRICED = """
  - model_name: priced # a call that may use 1,000 tokens holds $0.002
    litellm_params:
      model: openai/priced
      api_base: http://mock-llm/v1
      api_key: provider-key
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
general_settings:"""
LIMITS: dict[str, dict[str, Any]] = {
    "parallel": {"max_parallel_requests": 1},
    "tokens": {"tpm_limit": 1500},
    "budget": {"max_budget": 0.003},
    "all": {"max_parallel_requests": 1, "tpm_limit": 1500, "max_budget": 0.003, "rpm_limit": 1000},
}


@pytest_asyncio.fixture(scope="module", params=["grpc-1", "grpc-2", "native-1", "native-2"])
async def ours(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway in each mode with one and with two workers.

    A machine that tests share is slow: it may wait longer.
    """
    mode, _, workers = request.param.partition("-")
    config = CONFIG.replace("\ngeneral_settings:", PRICED).replace(
        "workers: 2", f"workers: {workers}"
    )
    async with gateway(
        tmp_path_factory.mktemp("turn"), config + "  hold_wait_ms: 5000\n", "--mode", mode
    ) as running:
        yield running


async def ask(
    running: Gateway, key: str, headers: dict[str, str] | None = None, **members: Any
) -> httpx.Response:
    """A chat, read whole; nobody waits for its settlement."""
    body = {
        "model": "priced",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "hi"}],
        **members,
    }
    return await running.client.post(
        f"{running.url}/v1/chat/completions",
        json=body,
        headers={**bearer(key), **(headers or {})},
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", LIMITS)
async def test_calls_in_turn_are_all_served(ours: Gateway, limit: str, stream: bool) -> None:
    """Who has its reply has its slot, its held tokens and its held budget back."""
    key = await ours.key(**LIMITS[limit])
    replies = [await ask(ours, key, stream=stream) for _ in range(15)]
    assert Counter(each.status_code for each in replies) == {200: 15}, replies[-1].text


async def test_a_provider_that_cannot_be_reached_keeps_no_slot(ours: Gateway) -> None:
    """Envoy's own answers too end the call that they answer."""
    key = await ours.key(max_parallel_requests=1)
    statuses = [(await ask(ours, key, model="nowhere")).status_code for _ in range(5)]
    assert statuses == [503] * 5


async def test_several_clients_take_turns_at_fewer_slots(ours: Gateway) -> None:
    """Three in turn each, two slots: whoever finds none waits for one."""
    key = await ours.key(max_parallel_requests=2)

    async def client() -> list[int]:
        return [(await ask(ours, key)).status_code for _ in range(10)]

    assert await asyncio.gather(client(), client(), client()) == [[200] * 10] * 3


async def test_a_client_that_gives_up_waiting_holds_nothing(ours: Gateway) -> None:
    """Neither while it waits nor after it has left."""
    key = await ours.key(max_parallel_requests=1)
    slow = asyncio.create_task(ask(ours, key, {"x-mock-latency-ms": "1500"}))
    await asyncio.sleep(0.5)
    with pytest.raises(httpx.ReadTimeout):
        await ours.client.post(
            f"{ours.url}/v1/chat/completions",
            json={"model": "priced", "messages": [{"role": "user", "content": "hi"}]},
            headers=bearer(key),
            timeout=0.3,
        )
    assert (await slow).status_code == 200
    assert [(await ask(ours, key)).status_code for _ in range(3)] == [200] * 3
