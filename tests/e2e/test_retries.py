"""How often a real Envoy repeats a call, where, and how long it waits for a provider, as
`router_settings` say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import Lab, Server, lab

_FILE = """
model_list:
  - model_name: pool
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:FIRST/one/v1",
        api_key: os.environ/K_ONE}}
  - model_name: pool
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:FIRST/two/v1",
        api_key: os.environ/K_TWO}}
  - model_name: alone
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:FIRST/v1",
        api_key: os.environ/K_THREE}}
  - model_name: patient
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{provider}/v1",
        api_key: os.environ/K_K}}
  - model_name: hasty
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{provider}/v1",
        api_key: os.environ/K_K, timeout: 1}}
router_settings: {{num_retries: 3, retry_policy: {{RateLimitErrorRetries: 0}}}}
general_settings: {{master_key: sk-1234}}
"""

_KEYS = {"K_ONE": "one", "K_TWO": "two", "K_THREE": "three", "K_K": "k"}


@pytest_asyncio.fixture(scope="module")
async def running() -> AsyncIterator[tuple[Lab, Server]]:
    unsteady = Server()
    async with (
        unsteady.serving() as port,
        lab(_FILE.replace("FIRST", str(port)), _KEYS) as each,
    ):
        yield each, unsteady


@pytest.fixture
def unsteady(running: tuple[Lab, Server]) -> Server:
    """The provider, with nothing seen yet."""
    running[1].seen.clear()
    running[1].statuses.clear()
    return running[1]


async def send(running: tuple[Lab, Server], route: str, path: str = "/v1/x") -> httpx.Response:
    headers = {"test-route": route, "authorization": "Bearer sk-virtual"}
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(running[0].url + path, content=b"{}", headers=headers)


async def test_a_call_goes_round_the_deployments_as_often_as_it_is_repeated(
    running: tuple[Lab, Server], unsteady: Server
) -> None:
    """Each attempt has its deployment's own path and credential; the client sees the last reply."""
    unsteady.statuses = [503, 500, 503, 200]
    reply = await send(running, "pool")
    assert reply.status_code == 200
    assert [(each.path, each.headers["authorization"]) for each in unsteady.seen] == [
        ("/one/v1/x", "Bearer one"),
        ("/two/v1/x", "Bearer two"),
        ("/one/v1/x", "Bearer one"),
        ("/two/v1/x", "Bearer two"),
    ]


async def test_a_call_of_a_single_deployment_is_repeated_there(
    running: tuple[Lab, Server], unsteady: Server
) -> None:
    """With its whole body, and no oftener than the file says."""
    unsteady.statuses = [503, 200]
    assert (await send(running, "alone")).status_code == 200
    assert [(each.path, each.body) for each in unsteady.seen] == [("/v1/x", b"{}")] * 2
    unsteady.statuses = [503] * 9
    assert (await send(running, "alone")).status_code == 503
    assert len(unsteady.seen) == 2 + 4


@pytest.mark.parametrize("status", [400, 401, 429])
async def test_what_a_policy_does_not_repeat_is_answered_at_once(
    running: tuple[Lab, Server], unsteady: Server, status: int
) -> None:
    """Rate limits have a number of their own in the file: none."""
    unsteady.statuses = [status]
    assert (await send(running, "pool")).status_code == status
    assert len(unsteady.seen) == 1


async def test_a_deployment_that_is_silent_for_too_long_is_given_up(
    running: tuple[Lab, Server],
) -> None:
    """The one whose entry says how long; another may take its time."""
    with pytest.raises(httpx.RemoteProtocolError):
        await send(running, "hasty", "/v1/slow")
    assert (await send(running, "patient", "/v1/slow")).text == "abcd"
