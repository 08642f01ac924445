"""Every kind of limit at every scope, through real Envoy; headers and errors that a setting asks
for.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, MASTER, Gateway, bearer, gateway
from typer.testing import CliRunner

from tollgate.commands.main import app

DOCUMENTATION = [Path(__file__).parents[2] / "docs" / name for name in ("limits.md", "scopes.md")]
SCOPES = (
    "key",
    "key+model",
    "user",
    "user+model",
    "team",
    "team+model",
    "member",
    "member+model",
    "organization",
    "organization+model",
    "organization_member",
    "organization_member+model",
    "tag",
    "tag+model",
    "customer",
    "customer+model",
    "budget",
)
LIMITS: dict[str, dict[str, Any]] = {
    "rpm_limit": {"rpm_limit": 1},
    "tpm_limit": {"tpm_limit": 10},
    "max_parallel_requests": {"max_parallel_requests": 1},
    "max_budget": {"max_budget": 0.01},
}


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def ours(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway with the settings that this file is about."""
    mini = "model_list:\n  - {model_name: gpt-4o-mini, litellm_params: {model: openai/gpt-4o-mini,"
    mini += " api_base: http://mock-llm/v1, api_key: k}}\n"
    config = CONFIG.replace("model_list:\n", mini) + "  ietf_headers: true\n  errors: openai\n"
    config += "  dimensions: {tag: true, session: true, project: {from: [{header: x-project}],"
    config += " limits: [{meter: requests, amount: 1, per: 1h}]}}\n"
    async with gateway(
        tmp_path_factory.mktemp("limits"), config, "--mode", request.param
    ) as running:
        yield running


def narrowed(limits: dict[str, Any]) -> dict[str, Any]:
    """The same limits, for the model alone, or for a group of models that it is one of."""
    ((name, value),) = limits.items()
    if name in ("rpm_limit", "tpm_limit"):
        return {f"model_{name}": {"ce*": value}}
    return {"model_max_budget": {"cent": {name: value}}}


async def caller(
    gateway: Gateway, scope: str, limits: dict[str, Any]
) -> tuple[list[str], str | None]:
    """Two keys (or one twice) and a customer, with limits at one scope that both share."""
    noun, _, model = scope.partition("+")
    fields, name = narrowed(limits) if model else limits, str(uuid4())
    if noun == "key":
        key = await gateway.key(**fields)
        return [key, key], None
    if noun == "user":
        await gateway.manage("/user/new", user_id=name, auto_create_key=False, **fields)
        return [await gateway.key(user_id=name) for _ in range(2)], None
    if noun == "team":
        await gateway.manage("/team/new", team_id=name, **fields)
        return [await gateway.key(team_id=name) for _ in range(2)], None
    if noun == "member":
        await gateway.manage("/team/new", team_id=name)
        member = {"role": "user", "user_id": name}
        await gateway.manage("/team/member_add", team_id=name, member=member, **fields)
        return [await gateway.key(team_id=name, user_id=name) for _ in range(2)], None
    if noun in ("organization", "organization_member"):
        given = fields if noun == "organization" else {}
        await gateway.manage("/organization/new", organization_id=name, **given)
        if noun == "organization_member":
            member = {"organization_id": name, "member": {"user_id": name}, **fields}
            await gateway.manage("/organization/member_add", **member)
            keys = [
                await gateway.key(organization_id=name, user_id=name),
                await gateway.key(organization_id=name, user_id=name),
            ]
            return keys, None
        await gateway.manage("/team/new", team_id=name, organization_id=name)
        return [await gateway.key(team_id=name), await gateway.key(organization_id=name)], None
    if noun == "tag":
        await gateway.manage("/tag/new", name=name, **fields)
        return [await gateway.key() for _ in range(2)], name
    if noun == "budget":
        await gateway.manage("/budget/new", budget_id=name, **fields)
        await gateway.manage("/customer/new", user_id=name, budget_id=name)
    else:
        await gateway.manage("/customer/new", user_id=name, **fields)
    return [await gateway.key() for _ in range(2)], name


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("scope", SCOPES)
async def test_each_kind_of_limit_holds_at_each_scope(
    ours: Gateway, scope: str, limit: str
) -> None:
    """One call fits; the next, with another key of the same scope, is refused for that kind of
    limit, and says of whom.
    """
    (one, other), customer = await caller(ours, scope, LIMITS[limit])
    members: dict[str, Any] = {"model": "cent", "max_tokens": 2}
    if customer is not None:
        tagged = scope.startswith("tag")
        members |= {"metadata": {"tags": [customer]}} if tagged else {"user": customer}
    if limit == "max_parallel_requests":
        slow = asyncio.create_task(ours.chat(one, {"x-mock-latency-ms": "800"}, **members))
        await asyncio.sleep(0.4)
        refused = await ours.chat(other, **members)
        first = await slow
    else:
        first, refused = await ours.chat(one, **members), await ours.chat(other, **members)
    if limit == "tpm_limit" and refused.status_code == 200:
        refused = await ours.chat(
            other, **members
        )  # three tokens of ten were used, and a call holds up to ten
    assert (first.status_code, refused.status_code) == (200, 429), refused.text
    error = refused.json()["error"]
    noun = scope.partition("+")[0].replace("budget", "customer").replace("_", " ")
    assert f"{noun} " in error["message"]
    kinds = {"rpm_limit": "requests", "tpm_limit": "tokens", "max_parallel_requests": "requests"}
    assert error["type"] == kinds.get(limit, "insufficient_quota")
    assert (" for model ce" in error["message"]) == ("+model" in scope)


async def test_a_session_and_a_dimension_of_ones_own_are_told_by_headers(ours: Gateway) -> None:
    """In both modes; limits of each session are its key's, and other values are not concerned."""
    key, name = await ours.key(max_iterations=1), str(uuid4())
    for header, who in (("x-litellm-trace-id", "session"), ("x-project", "project")):
        caller = key if who == "session" else await ours.key()
        answers = [
            await ours.chat(caller, {header: value}, model="cent", max_tokens=2)
            for value in (name, name, f"{name}-2")
        ]
        assert [each.status_code for each in answers] == [200, 429, 200]
        assert f"{who} {name}" in answers[1].json()["error"]["message"]


async def test_the_commands_of_the_documentation_run(
    ours: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of both documents that begins with tollgate, in its order; KEY is some key."""
    monkeypatch.setenv("TOLLGATE_URL", ours.url)
    monkeypatch.setenv("TOLLGATE_MASTER_KEY", MASTER)
    text = "".join(each.read_text(encoding="utf-8") for each in DOCUMENTATION)
    commands = re.findall(r"^    tollgate (.+)$", text, re.M)
    assert commands
    key = await ours.key()
    for command in commands:
        words = shlex.split(command.replace("KEY", key))
        ran = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert ran.exit_code == 0, (command, ran.output)


async def test_a_spent_budget_is_insufficient_quota_with_openais_words(ours: Gateway) -> None:
    """429 as OpenAI says it, and told not to be tried again."""
    key = await ours.key(max_budget=0)
    reply = await ours.chat(key)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "insufficient_quota")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_ietfs_headers_come_when_asked_for(ours: Gateway, stream: bool) -> None:
    """On JSON, on streams and on refusals."""
    key = await ours.key(rpm_limit=1)
    first, refused = await ours.chat(key, stream=stream), await ours.chat(key, stream=stream)
    for reply in (first, refused):
        assert reply.headers["ratelimit-policy"] == '"key-requests";q=1;w=60'
        assert reply.headers["ratelimit"].startswith('"key-requests";r=0;t=')
    assert int(refused.headers["retry-after"]) >= int(
        refused.headers["ratelimit"].rpartition("=")[2]
    )


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"rpd_limit": 1}, "requests", "requests per day (RPD): Limit 1, Used 1, Requested 1"),
        ({"tpd_limit": 4}, "tokens", "tokens per day (TPD): Limit 4"),
        (
            {"limits": [{"meter": "tokens", "amount": 3, "per": "1mo"}]},
            "tokens",
            "tokens per month",
        ),
        ({"limits": [{"meter": "requests", "amount": 1}]}, "requests", "used up"),
        (
            {"limits": [{"meter": "input_tokens", "amount": 1, "per": "1h"}]},
            "tokens",
            "input tokens per hour: Limit 1",
        ),
        (
            {"limits": [{"meter": "usd", "amount": 0.01, "per": "1d", "calendar": "Asia/Tokyo"}]},
            "insufficient_quota",
            "Max Budget: 0.01 per day",
        ),
        (
            {
                "max_budget": 100,
                "budget_limits": [
                    {"budget_duration": "1d", "max_budget": 0.01},
                    {"budget_duration": "30d", "max_budget": 50},
                ],
            },
            "insufficient_quota",
            "Max Budget: 0.01 per day",
        ),
    ],
)
async def test_limits_of_other_meters_and_windows_hold(
    ours: Gateway, fields: dict[str, Any], error: str, said: str
) -> None:
    """The call that uses them up passes, the next one is told what is used up and until when."""
    key = await ours.key(**fields)
    replies = [await ours.chat(key, model="cent", max_tokens=2) for _ in range(3)]
    assert replies[0].status_code == 200, replies[0].text
    refused = replies[-1]
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == error
    assert said in refused.json()["error"]["message"]
    forever = "used up" in said
    assert ("retry-after" in refused.headers) != forever


async def test_the_whole_proxy_has_limits_of_every_kind(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """They hold for the master key too."""
    limits = "  limits: [{meter: tokens, amount: 1000000, per: 1mo}]\n"
    config = CONFIG + "  proxy_rpm_limit: 2\n  proxy_max_parallel_requests: 9\n" + limits
    async with gateway(tmp_path_factory.mktemp("proxy"), config) as running:
        key = await running.key()
        replies = [await running.chat(each) for each in (key, MASTER, key)]
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        assert "the proxy on requests per min" in replies[2].text
        listed = await running.client.get(f"{running.url}/v1/models", headers=bearer(key))
        assert listed.status_code == 200


SHADOW_ENTRY = {"meter": "requests", "amount": 0, "per": "1m", "mode": "shadow"}
SPENT_ENTRY = {
    "meter": "usd",
    "amount": 0,
    "model": "cent",
    "on_exceeded": {"model": "gpt-4o-mini"},
}


async def test_a_reply_names_what_a_limit_did_instead_of_refusing(ours: Gateway) -> None:
    """The limit in shadow mode, and the model that served; the ledger has both."""
    key = await ours.key(limits=[SHADOW_ENTRY, SPENT_ENTRY])
    reply = await ours.chat(key, model="cent")
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-tollgate-shadow"] == "key requests per min (RPM)"
    assert reply.headers["x-tollgate-model"] == "gpt-4o-mini"
    await ours.settled()
    identity = reply.headers["x-tollgate-request-id"]
    (record,) = await ours.records(request_id=identity)
    assert record["model"] == "gpt-4o-mini"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_strict_limit_is_never_exceeded_by_calls_at_once(
    ours: Gateway, stream: bool
) -> None:
    """Twelve at a time ask for 40 tokens each of 200; the provider writes what the limit allows."""
    entry = {"meter": "output_tokens", "amount": 200, "strict": True}
    key = await ours.key(limits=[entry])
    asked = {"max_tokens": 40, "stream": stream, "stream_options": {"include_usage": True}}
    if not stream:
        del asked["stream_options"]
    replies = await asyncio.gather(*(ours.chat(key, **asked) for _ in range(12)))
    assert {each.status_code for each in replies} == {200, 429}
    await ours.settled()
    records = await ours.records(api_key=key)
    assert 0 < sum(each["completion_tokens"] for each in records) <= 200


async def test_a_request_without_an_output_limit_is_served_under_a_strict_one(
    ours: Gateway,
) -> None:
    """One is inserted into the body, beside what a stream asks for; the provider takes both."""
    key = await ours.key(limits=[{"meter": "output_tokens", "amount": 400, "strict": True}])
    for stream in (False, True):
        reply = await ours.chat(key, stream=stream)
        assert reply.status_code == 200, reply.text


async def test_calls_wait_for_room_in_a_limit_that_says_so(ours: Gateway) -> None:
    """Two a second: the third and the fourth of four calls come later, and all are served."""
    entry = {"meter": "requests", "amount": 2, "per": "1s", "max_wait_ms": 4000}
    key = await ours.key(limits=[entry])
    replies = await asyncio.gather(*(ours.chat(key) for _ in range(4)))
    assert [each.status_code for each in replies] == [200] * 4
