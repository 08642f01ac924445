"""What stands in for the reader of the page: the files it tells to write, and a shell that runs its
commands against a gateway.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

import httpx
from tests.e2e.gateway import MASTER, Gateway, bearer

PAGE_ADDRESSES = ("http://0.0.0.0:4000", "http://localhost:4000")

# Prices are ours, chosen so that the customer's first call costs what the page shows: $0.000887.
MODELS = """
model_list:
  - model_name: gpt-3.5-turbo
    litellm_params: {model: openai/gpt-3.5-turbo, api_base: http://mock-llm/v1}
  - model_name: gpt-4
    litellm_params: {model: openai/gpt-4, api_base: http://mock-llm/v1}
  - model_name: gpt4
    litellm_params: {model: openai/gpt-4, api_base: http://mock-llm/v1}
  - model_name: gpt-5
    litellm_params: {model: openai/gpt-5, api_base: http://mock-llm/v1}
  - model_name: llama3
    litellm_params:
      {model: openai/llama3, api_base: http://mock-llm/v1, input_cost_per_token: 1e-6,
          output_cost_per_token: 1e-6}
  - model_name: azure-gpt-3.5
    litellm_params:
      model: openai/gpt-3.5-turbo
      api_base: http://mock-llm/v1
      input_cost_per_token: 0.00002175
      output_cost_per_token: 0.00004
    model_info:
      access_groups: ["azure-models"]
  - model_name: text-embedding-ada-002
    litellm_params: {model: openai/text-embedding-ada-002, api_base: http://mock-llm/v1}
    model_info:
      access_groups: ["beta-models"] # 👈 Model Access Group
"""
WORKERS = """
tollgate:
  workers: 2
"""
GENERAL = """
general_settings:
  master_key: sk-1234
"""
CONFIG = (
    MODELS
    + GENERAL
    + """
  proxy_budget_rescheduler_min_time: 1
  proxy_budget_rescheduler_max_time: 1
"""
    + WORKERS
)
PROXY_CONFIG = (
    MODELS
    + GENERAL
    + """
litellm_settings:
  # other litellm settings
  max_budget: 0 # (float) sets max budget as $0 USD
  budget_duration: 30d # (str) frequency of reset
"""
    + WORKERS
)
CUSTOMER_CONFIG = (
    MODELS
    + GENERAL
    + """
litellm_settings:
  max_end_user_budget: 0.0001 # budget for 'user' passed to /chat/completions
"""
    + WORKERS
)
# The page's "add new ones to it over time".
GROWN_CONFIG = CONFIG.replace(
    "model_name: llama3", "model_name: llama3\n    model_info: {access_groups: [beta-models]}"
)


async def curl(
    gateway: Gateway, command: str, *mends: tuple[str, str], key: str = MASTER
) -> httpx.Response:
    """Run a command of the page as curl would, and wait for the settlement.

    Its text is mended first: each pair is what stands there and what should.

    The page's placeholders are filled in, and its address is the gateway's.
    """
    for wrong, right in mends:
        assert wrong in command
        command = command.replace(wrong, right)
    command = command.replace("<your-master-key>", MASTER).replace("<generated-key>", key)
    words = iter(shlex.split(command.replace("\\\n", " ")))
    assert next(words) == "curl"
    method, url, headers, body = None, "", {}, ""
    for word in words:
        if word in ("--header", "-H"):
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word in ("--data", "--data-raw", "-d"):
            body = next(words)
        elif word == "-X":
            method = next(words)
        elif word not in ("--location", "-i"):
            url = word
    address = next(each for each in PAGE_ADDRESSES if url.startswith(each))
    reply = await gateway.client.request(
        method or "POST", url.replace(address, gateway.url), content=body.encode(), headers=headers
    )
    await gateway.settled()
    return reply


def told(reply: httpx.Response) -> str:
    """The message of an error in the page's shape."""
    body: Any = reply.json()
    assert list(body) == ["error"], body
    return str(body["error"]["message"])


def moment(text: str) -> datetime:
    """A time as the API prints it."""
    parsed = datetime.fromisoformat(text)
    assert parsed.utcoffset() is not None
    return parsed.astimezone(UTC)


async def limited(
    gateway: Gateway, kind: str, limits: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A key whose calls of gpt-4 a scope of that kind limits, and what to say with them."""
    members: dict[str, Any] = {"model": "gpt-4"}
    if kind == "user":
        return (await gateway.manage("/user/new", **limits))["key"], members
    if kind == "team":
        return (
            await gateway.key(team_id=(await gateway.manage("/team/new", **limits))["team_id"]),
            members,
        )
    if kind == "member":
        await gateway.manage("/team/new", team_id="limited")
        member = {"role": "user", "user_id": "limited"}
        own = {**limits, "max_budget_in_team": limits["max_budget"]}
        del own["max_budget"]
        await gateway.manage("/team/member_add", team_id="limited", member=member, **own)
        return await gateway.key(team_id="limited", user_id="limited"), members
    if kind == "customer":
        await gateway.manage("/customer/new", user_id="limited", **limits)
        return await gateway.key(), {**members, "user": "limited"}
    return (
        await gateway.key(
            **({"model_max_budget": {"gpt-4": limits}} if kind == "model" else limits)
        ),
        members,
    )


async def embed(gateway: Gateway, key: str, path: str = "/v1/embeddings") -> httpx.Response:
    """An embedding with the page's model."""
    body = {"model": "text-embedding-ada-002", "input": "some words"}
    reply = await gateway.client.post(gateway.url + path, json=body, headers=bearer(key))
    await gateway.settled()
    return reply


async def models(gateway: Gateway, key: str) -> list[str]:
    """The models that a key may use."""
    listed = await gateway.client.get(f"{gateway.url}/v1/models", headers=bearer(key))
    return [each["id"] for each in listed.json()["data"]]


async def statuses(gateway: Gateway, key: str, count: int, **members: object) -> list[int]:
    """The statuses of some calls, one after the other."""
    return [(await gateway.chat(key, model="gpt-4", **members)).status_code for _ in range(count)]
