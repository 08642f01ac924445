"""Whole gateways over a cluster, and over a primary that sentinels watch and that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, MASTER, Gateway, bearer, gateway
from tests.many_servers import Cluster, cluster

LIMITED = CONFIG.replace("workers: 2", "workers: 2\n  proxy_rpm_limit: 100000")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest_asyncio.fixture(scope="module")
async def clustered(
    servers: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    async with gateway(folder, LIMITED, "--redis-url", servers.url) as running:
        yield running


async def test_limits_are_exact_over_a_cluster(clustered: Gateway) -> None:
    """Of a key, of its user and of all, by two workers; a refusal names the limit that refuses."""
    await clustered.manage("/user/new", user_id="u1", rpm_limit=7)
    keys = [await clustered.key(rpm_limit=5, user_id="u1") for _ in range(2)]
    replies = await asyncio.gather(*(clustered.chat(keys[n % 2]) for n in range(40)))
    passed = [sum(each.status_code == 200 for each in replies[n::2]) for n in range(2)]
    assert sum(passed) == 7
    # One key may have reached its own limit; the other one then is refused for the user alone.
    refused = await clustered.chat(keys[passed.index(min(passed))])
    assert refused.status_code == 429
    assert "user" in refused.json()["error"]["message"]


async def test_what_was_spent_over_a_cluster_adds_up(clustered: Gateway) -> None:
    """Key, customer and the proxy; the records; the reports; a deleted key leaves nothing."""
    key = await clustered.key(max_budget=1)
    body = {"model": "cent", "user": "walk-in", "max_tokens": 3}
    spent = sum([await _cost(clustered, key, body) for _ in range(4)])
    assert await clustered.spend(key, at_least=spent) == pytest.approx(spent)
    records = await clustered.records(api_key=key)
    assert sum(each["spend"] for each in records) == pytest.approx(spent)
    whole = await clustered.client.get(f"{clustered.url}/global/spend", headers=bearer(MASTER))
    assert whole.json()["spend"] >= spent
    customer = await clustered.client.get(
        f"{clustered.url}/customer/info",
        params={"end_user_id": "walk-in"},
        headers=bearer(MASTER),
    )
    assert customer.json().get("spend", spent) == pytest.approx(spent)
    await clustered.manage("/key/delete", keys=[key])
    assert (await clustered.chat(key)).status_code == 401


async def _cost(running: Gateway, key: str, body: dict[str, object]) -> float:
    reply = await running.chat(key, **body)
    assert reply.status_code == 200, reply.text
    return float(reply.headers["x-litellm-response-cost"])
