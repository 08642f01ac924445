"""Beside an Envoy of somebody's own metering is as exact as in the shipped configuration, whatever
its processing mode.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.gateway import Gateway, bearer
from tests.e2e.money_provider import Provider
from tests.e2e.own_envoy import Serving, own_envoy, serving

CONFIG = """
model_list:
  - model_name: local
    litellm_params:
      model: openai/local
      api_base: http://127.0.0.1:{port}/json/v1
      api_key: provider-key
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
  - model_name: streaming
    litellm_params:
      model: openai/local
      api_base: http://127.0.0.1:{port}/sse/v1
      api_key: provider-key
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
general_settings: {{master_key: sk-1234}}
tollgate:
  workers: 1
"""
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
PLAIN = {
    "status": 200,
    "content_type": "application/json",
    "body": {"id": "c1", "choices": [MESSAGE], "usage": USAGE},
}
EVENTS = [
    {"id": "c1", "choices": [{"index": 0, "delta": {"content": "ok"}}]},
    {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c1", "choices": [], "usage": USAGE},
]
SLOW_S = 12
SLOW = {
    "status": 200,
    "content_type": "text/event-stream",
    "chunks": [f"data: {json.dumps(EVENTS[0])}\n\n", SLOW_S, f"data: {json.dumps(EVENTS[2])}\n\n"],
}
STREAM = {
    "status": 200,
    "content_type": "text/event-stream",
    "chunks": [*(f"data: {json.dumps(each)}\n\n" for each in EVENTS), "data: [DONE]\n\n"],
}


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with Provider(replies={"json": PLAIN, "sse": STREAM}).serving() as provider:
        folder = tmp_path_factory.mktemp("own")
        async with serving(folder, CONFIG.format(port=provider.port)) as found:
            yield found


async def charged(gateway: Gateway, model: str) -> tuple[str, dict[str, Any]]:
    """What the client of one call reads, and its record."""
    key = await gateway.key(max_budget=1)
    body = {"model": model, "max_tokens": 3000, "messages": [{"role": "user", "content": "hi"}]}
    url, stream = f"{gateway.url}/v1/chat/completions", model == "streaming"
    reply = await gateway.client.post(url, json=body | {"stream": stream}, headers=bearer(key))
    assert reply.status_code == 200, reply.text
    await gateway.spend(key)
    (record,) = await gateway.records(api_key=key)
    return reply.text, record


SEND = {"request_header_mode": "SEND"}
HANDED = {
    "request_header_mode": "SEND",
    "request_body_mode": "BUFFERED",
    "request_trailer_mode": "SEND",
}
DUPLEX = {"response_body_mode": "FULL_DUPLEX_STREAMED", "response_trailer_mode": "SEND"}
BOTH_DUPLEX = {
    **DUPLEX,
    **SEND,
    "request_body_mode": "FULL_DUPLEX_STREAMED",
    "request_trailer_mode": "SEND",
}


@pytest.mark.parametrize(
    ("mode", "override"),
    [
        (SEND, True),
        (SEND, False),
        (HANDED, True),
        (SEND | {"request_body_mode": "STREAMED"}, True),
        ({"response_body_mode": "STREAMED"}, False),
        ({"response_body_mode": "BUFFERED"}, False),
        ({"response_body_mode": "BUFFERED_PARTIAL"}, False),
        ({"response_body_mode": "BUFFERED"}, True),
        ({"response_body_mode": "STREAMED", "response_trailer_mode": "SEND"}, False),
        (DUPLEX, False),
        (DUPLEX, True),
        (BOTH_DUPLEX, False),
    ],
    ids=str,
)
async def test_any_processing_mode_is_metered(
    served: Serving, mode: dict[str, str], override: bool
) -> None:
    """A reply is charged by its usage, and its client reads all of it but what only Tollgate had
    asked for.
    """
    shown = mode.get("response_body_mode", "NONE") != "NONE" or override

    def change(filters: dict[str, Any]) -> None:
        filters["ext_proc"]["processing_mode"] |= mode
        filters["ext_proc"]["allow_mode_override"] = override

    async with own_envoy(served, change) as gateway:
        for model in ("local", "streaming"):
            text, record = await charged(gateway, model)
            if model == "local":
                assert json.loads(text) == PLAIN["body"]
            else:
                assert text.endswith("data: [DONE]\n\n")
                assert ("prompt_tokens" in text) is not shown
            if shown:
                assert (record["usage"], record["spend"]) == ("exact", 0.002), (model, record)
            else:
                assert record["usage"] == "estimated", (model, record)
    if not shown:
        assert await served.has_said("response_body_mode: STREAMED")


async def test_a_body_that_comes_as_text_is_read(served: Serving) -> None:
    """`pack_as_bytes: false` is what ext_authz does unless it is told otherwise."""

    def change(filters: dict[str, Any]) -> None:
        del filters["ext_authz"]["with_request_body"]["pack_as_bytes"]

    async with own_envoy(served, change) as gateway:
        _, record = await charged(gateway, "local")
    assert (record["usage"], record["spend"]) == ("exact", 0.002)


@asynccontextmanager
async def slow_call(folder: Path) -> AsyncIterator[tuple[Serving, asyncio.Task[httpx.Response]]]:
    """`tollgate serve` while a stream of 12 seconds is under way."""
    async with (
        Provider(replies={"json": PLAIN, "sse": SLOW}).serving() as provider,
        serving(folder, CONFIG.format(port=provider.port)) as served,
        own_envoy(served, lambda _: None) as gateway,
    ):
        key, body = await gateway.key(), {"model": "streaming", "stream": True, "messages": []}
        call = asyncio.create_task(
            gateway.client.post(
                f"{gateway.url}/v1/chat/completions", json=body, headers=bearer(key)
            )
        )
        for _ in range(200):
            await asyncio.sleep(0.05)
            if provider.arrived["sse"]:
                break
        yield served, call


async def test_serve_lets_calls_under_way_end(tmp_path: Path) -> None:
    """It ends after the stream does, in order."""
    async with slow_call(tmp_path) as (served, call):
        served.process.send_signal(signal.SIGTERM)
        reply = await call
        running = served.process.poll()
        code = await asyncio.to_thread(served.process.wait, 30)
    assert (reply.status_code, running, code) == (200, None, 0)


async def test_a_second_signal_cuts_what_serve_lets_end(tmp_path: Path) -> None:
    """It ends in order while the stream is still under way, which Envoy carries on."""
    async with slow_call(tmp_path) as (served, call):
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(served.process.wait, 30)
        under_way = not call.done()
        await call
    assert (code, under_way) == (0, True)
