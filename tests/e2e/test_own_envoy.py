"""Beside an Envoy of somebody's own metering is as exact as in the shipped configuration, whatever
its processing mode.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from tests.e2e.documented_commands import DOCS
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
  access_log_metadata: true
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


LOGGED_PAGE = (DOCS / "access-log.md").read_text(encoding="utf-8")
COUNTS = {"input_tokens": 1000, "output_tokens": 500}
COST_NANOUSD = 2_000_000


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


def documented(folder: Path) -> list[dict[str, Any]]:
    """The log that the page has, once as JSON and once as its line of text."""
    match = re.search(r"```yaml\n(.*?)```", LOGGED_PAGE, re.DOTALL)
    assert match is not None
    (as_json,) = yaml.safe_load(match[1])["access_log"]
    (line,) = re.findall(r"^    (%START_TIME.*)$", LOGGED_PAGE, re.MULTILINE)
    as_text = json.loads(json.dumps(as_json))
    as_json["typed_config"]["path"] = str(folder / "json")
    as_text["typed_config"]["path"] = str(folder / "text")
    as_text["typed_config"]["log_format"] = {
        "text_format_source": {"inline_string": line.partition(" ")[2] + "\n"}
    }
    return [as_json, as_text]


async def logged(folder: Path, count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The lines of both logs, once there are as many of each."""
    async with asyncio.timeout(30):
        while True:
            lines, texts = (
                (folder / name).read_text(encoding="utf-8").splitlines()
                for name in ("json", "text")
            )
            if len(lines) >= count and len(texts) >= count:
                return [json.loads(each) for each in lines], texts
            await asyncio.sleep(0.1)


async def call(gateway: Gateway, key: str, model: str) -> str:
    """The id of one call."""
    reply = await gateway.client.post(
        f"{gateway.url}/v1/chat/completions",
        json={"model": model, "max_tokens": 600, "stream": model == "streaming", "messages": []},
        headers=bearer(key),
    )
    return reply.headers["x-tollgate-request-id"]


@pytest.mark.parametrize("mode", ["grpc", "native"])
async def test_a_call_is_logged_with_its_key_its_tokens_and_its_cost(
    served: Serving, mode: str, tmp_path: Path
) -> None:
    """Of a reply and of a stream, in the words of docs/access-log.md; a refusal has none of it."""
    logs = documented(tmp_path)
    async with own_envoy(served, lambda _: None, mode, access_logs=logs) as gateway:
        key = await gateway.key(key_alias=f"Zoë {mode}", max_budget=1)
        await logged(tmp_path, 1)  # the management's own call
        ids = [await call(gateway, key, model) for model in ("local", "streaming")]
        await call(gateway, "sk-nobody", "local")
        _, *lines = (await logged(tmp_path, 4))[0]
        _, *texts = (await logged(tmp_path, 4))[1]
    told = {
        "grpc": {
            "cost_nanousd": str(COST_NANOUSD),
            "certainty": "exact",
            "usage": COUNTS,
            "reported": None,
        },
        "native": {"cost_nanousd": None, "certainty": None, "usage": None},
    }[mode]
    for line, text, model, identity in zip(lines, texts, ("local", "streaming"), ids, strict=False):
        assert line | told == line
        assert (line["status"], line["request_id"], line["model"]) == (200, identity, model)
        assert line["key_alias"] == f"Zo\\u00eb {mode}"
        assert int(line["held_nanousd"]) > 600 * 2000
        if mode == "grpc":
            assert text == f"200 key=Zo\\u00eb {mode} cost={COST_NANOUSD} in=1000 out=500"
        else:
            reported = line["reported"]
            usage = reported.get("usage") or json.dumps(
                {name.removeprefix("usage."): value for name, value in reported.items()}
            )
            assert json.loads(usage) | USAGE == json.loads(usage)
    assert (lines[2]["status"], lines[2]["request_id"], lines[2]["usage"]) == (401, None, None)
    assert texts[2] == "401 key=- cost=- in=- out=-"


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
