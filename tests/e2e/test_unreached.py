"""What a call costs that got no answer: nothing if no provider got it, which frees what it held at
once, and what the provider may bill for it where that is not known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.envoy_lab import Gate, free_port, lab, running_envoy
from tests.e2e.gateway import CONFIG, Gateway, bearer, gateway
from tests.e2e.money_provider import Provider
from tests.e2e.own_envoy import own_envoy, serving

from tollgate import settings
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.topology import Address, Topology


@dataclass
class Answering:
    """ext_authz over HTTP that answers as the test says, and keeps Envoy's names for
    the requests.
    """

    head: bytes
    names: list[str] = field(default_factory=list)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        name = head.partition("x-tollgate-stream: ")[2].partition("\r\n")[0]
        if name:
            self.names.append(name)
        writer.write((self.head if name else b"HTTP/1.1 204 \r\n") + b"\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def native(folder: Path, head: bytes) -> AsyncIterator[tuple[str, Gate, Answering]]:
    """Envoy in native mode before it."""
    (folder / "file.yaml").write_text(CONFIG, encoding="utf-8")
    loaded = settings.load(folder / "file.yaml")
    loaded = replace(loaded, tollgate=loaded.tollgate.model_copy(update={"mode": "native"}))
    port, gate, answering = free_port(), Gate(), Answering(head)
    topology = Topology(
        Address(host="127.0.0.1", port=port),
        (Address(path=str(folder / "grpc")),),
        Address(path=str(folder / "admin")),
        mock=Address(path=str(folder / "mock")),
        workers_http=(Address(path=str(folder / "http")),),
    )
    (folder / "envoy.json").write_text(json.dumps(bootstrap(loaded, topology)), encoding="utf-8")
    keys = {f"TOLLGATE_PROVIDER_KEY_{number}": "k" for number in range(9)}
    server = await asyncio.start_unix_server(answering.connection, folder / "http")
    async with (
        server,
        gate.serving(folder / "grpc"),
        running_envoy(folder / "envoy.json", port, keys),
    ):
        yield f"http://127.0.0.1:{port}", gate, answering


async def entry(gate: Gate) -> Any:
    """The access log's first entry."""
    for _ in range(200):
        if gate.entries:
            return gate.entries[0]
        await asyncio.sleep(0.05)
    raise AssertionError("Envoy logged nothing")


@pytest.mark.parametrize(
    "line", [b"x litellm: 5\r\n", b"x-tollgate-route: a\x00b\r\n"], ids=["name", "value"]
)
async def test_an_answer_that_envoy_does_not_take_over_http_is_logged_by_the_requests_name(
    tmp_path: Path, line: bytes
) -> None:
    """By which Tollgate finds what it holds: no metadata has come."""
    async with native(tmp_path, b"HTTP/1.1 200 \r\nx-tollgate-route: gpt-4o\r\n" + line) as (
        url,
        gate,
        answering,
    ):
        async with httpx.AsyncClient() as client:
            reply = await client.post(
                f"{url}/v1/chat/completions", json={"model": "gpt-4o"}, headers=bearer("sk-any")
            )
        assert reply.status_code == 503
        told = await entry(gate)
        assert [told.request.request_headers["x-tollgate-stream"]] == answering.names
        assert told.common_properties.time_to_last_upstream_tx_byte is None


async def test_an_answer_that_envoy_does_not_take_over_grpc_is_logged() -> None:
    """With what it holds, or by the request's name."""
    async with lab() as found, httpx.AsyncClient() as client:
        reply = await client.post(
            f"{found.url}/v1/x", json={}, headers={"test-do": "break", **bearer("sk-any")}
        )
        assert reply.status_code == 500
        (told,) = await found.entries("/v1/x")
        assert (
            told.request.request_headers["x-tollgate-stream"]
            == found.gate.checks[0]["x-tollgate-stream"]
        )
        assert told.common_properties.time_to_last_upstream_tx_byte is None


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_call_that_reaches_nobody_gives_back_its_slot(tmp_path: Path, mode: str) -> None:
    """Nobody listens there: six calls in a row each get the only slot, and cost nothing."""
    async with gateway(tmp_path, CONFIG, "--mode", mode) as running:
        key = await running.key(max_parallel_requests=1, max_budget=1)
        body = {
            "model": "nowhere",
            "max_tokens": 100_000,
            "messages": [{"role": "user", "content": "hi"}],
        }
        for _ in range(6):
            reply = await running.client.post(
                f"{running.url}/v1/chat/completions", json=body, headers=bearer(key)
            )
            assert reply.status_code == 503, reply.text
        await running.settled()
        assert {each["usage"] for each in await running.records(api_key=key)} == {"none"}
        assert (await running.info(key))["spend"] == 0


BREAKER = """
model_list:
  - model_name: slow
    litellm_params:
      model: openai/slow
      api_base: http://127.0.0.1:{port}/slow/v1
      api_key: provider-key
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
general_settings: {{master_key: sk-1234}}
tollgate:
"""
SLOW = {
    "status": 200,
    "content_type": "application/json",
    "body": {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    "delay_ms": 3000,
}


def one_call_at_once(clusters: dict[str, Any]) -> None:
    """Somebody's own circuit breaker before the provider."""
    for name, cluster in clusters.items():
        if name.startswith("deployment/"):
            cluster["circuit_breakers"] = {
                "thresholds": [{"max_connections": 1, "max_pending_requests": 1}]
            }


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_call_that_a_full_breaker_refuses_costs_nothing(tmp_path: Path, mode: str) -> None:
    """Its slot and its budget are free at once: the next call of its key has both."""
    async with (
        Provider(replies={"slow": SLOW}).serving() as provider,
        serving(tmp_path, BREAKER.format(port=provider.port)) as served,
        own_envoy(served, lambda _: None, mode, one_call_at_once) as running,
    ):
        other = await running.key()
        key = await running.key(max_parallel_requests=1, max_budget=0.001)
        body = {
            "model": "slow",
            "max_tokens": 100_000,
            "messages": [{"role": "user", "content": "hi"}],
        }

        async def call(key: str) -> int:
            url = f"{running.url}/v1/chat/completions"
            return (await running.client.post(url, json=body, headers=bearer(key))).status_code

        # One on the only connection, and then one that waits for it: two at once would both wait
        # for the connection to be made, and only one may.
        others = [asyncio.create_task(call(other))]
        for _ in range(100):
            await asyncio.sleep(0.05)
            if provider.arrived["slow"]:
                break
        others.append(asyncio.create_task(call(other)))
        await asyncio.sleep(0.5)
        refused = [await call(key) for _ in range(3)]
        passed = [await each for each in others]
        then = await call(key)
        await running.settled()
        records = await running.records(api_key=key)
        assert (refused, passed, then) == ([503] * 3, [200, 200], 200)
        assert sorted(each["usage"] for each in records) == ["exact", "none", "none", "none"]
        assert (await running.info(key))["spend"] == 0.000003


UNANSWERED = """
model_list:
  - model_name: hangs-up
    litellm_params: &priced
      model: openai/hangs-up
      api_base: http://127.0.0.1:{port}/hangs-up/v1
      api_key: provider-key
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
  - model_name: silent
    litellm_params:
      <<: *priced
      model: openai/silent
      api_base: http://127.0.0.1:{port}/silent/v1
      timeout: 1
general_settings: {{master_key: sk-1234}}
"""


async def record_of(running: Gateway, key: str) -> dict[str, Any]:
    """The record of a key's only call, which the access log settles in both modes."""
    for _ in range(200):
        if found := await running.records(api_key=key):
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError("the call was never settled")


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_call_that_was_never_answered_is_kept_by_strict_limits(
    tmp_path: Path, mode: str
) -> None:
    """The provider may bill what it read before it hung up. Other limits count nothing then; where
    Envoy waited no longer, all of them count what a client's leaving costs.
    """
    replies = {"hangs-up": {**SLOW, "delay_ms": 50, "hangs_up": True}, "silent": SLOW}
    strict = {"meter": "usd", "amount": 1, "strict": True}
    spent, kept, told = {}, {}, {}
    async with (
        Provider(replies=replies).serving() as provider,
        gateway(tmp_path, UNANSWERED.format(port=provider.port), "--mode", mode) as running,
    ):
        for model in replies:
            key = await running.key(max_budget=1, limits=[strict])
            body = {
                "model": model,
                "max_tokens": 100,
                "messages": [{"role": "user", "content": "hi"}],
            }
            reply = await running.client.post(
                f"{running.url}/v1/chat/completions", json=body, headers=bearer(key)
            )
            record = await record_of(running, key)
            told[model] = reply.status_code, record["usage"], record["status"]
            spent[model] = (await running.info(key))["spend"]
            limits = (
                await running.client.get(f"{running.url}/v1/usage", headers=bearer(key))
            ).json()["limits"]
            kept[model] = next(each["used"] for each in limits if each["strict"])
    assert provider.arrived == {"hangs-up": 1, "silent": 1}
    assert told == {"hangs-up": (503, "none", 503), "silent": (504, "partial", 504)}
    assert spent["hangs-up"] == 0
    assert 0.0002 < spent["silent"] < kept["silent"]
    assert kept["hangs-up"] == kept["silent"]
