"""Beside an Envoy of somebody's own metering is as exact as in the shipped configuration, whatever
its processing mode.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

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
