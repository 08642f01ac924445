"""What the tests of the mock provider share: a running mock, raw exchanges with it, and readers of
its replies.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tollgate.mock_llm import MockOptions, serve

PROMPT = "Say hello to the gate, please: ünïcode."  # 41 bytes of UTF-8: 11 tokens
PROMPT_TOKENS = 11
CHAT = "/v1/chat/completions"
HI = {"model": "m-1", "messages": [{"role": "user", "content": PROMPT}]}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[str]:
    """A mock for one block; gives its address."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(MockOptions(port=0, on_ready=ready.set_result, **options)))
    await asyncio.wait({server, ready}, return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        await server
    try:
        yield await ready
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


async def exchange(address: str, data: bytes) -> bytes:
    """Send bytes, and read until the server closes the connection."""
    url = httpx.URL(address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def request(path: str, body: Any, *headers: str, close: bool = True) -> bytes:
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: mock", f"content-length: {len(content)}", *headers]
    return (
        "\r\n".join([*lines, *(["connection: close"] if close else []), "", ""]).encode() + content
    )


def sse(text: str) -> list[Any]:
    """The JSON data of every event."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


@dataclass(frozen=True)
class Said:
    """What a client learns of a reply."""

    text: str
    input_tokens: int
    output_tokens: int
    finish: str


def chat_json(reply: Any) -> Said:
    choice, usage = reply["choices"][0], reply["usage"]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    return Said(text, usage["prompt_tokens"], usage["completion_tokens"], choice["finish_reason"])


def chat_stream(text: str) -> Said:
    chunks = sse(text)
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    said = "".join(c["delta"].get("content", "") if "delta" in c else c["text"] for c in choices)
    usage = chunks[-1]["usage"]
    return Said(
        said, usage["prompt_tokens"], usage["completion_tokens"], choices[-1]["finish_reason"]
    )


def message_json(reply: Any) -> Said:
    usage = reply["usage"]
    return Said(
        reply["content"][0]["text"],
        usage["input_tokens"],
        usage["output_tokens"],
        reply["stop_reason"],
    )


def message_stream(text: str) -> Said:
    events = {event["type"]: event for event in sse(text)}
    said = "".join(
        event["delta"]["text"] for event in sse(text) if event["type"] == "content_block_delta"
    )
    start, delta = events["message_start"]["message"], events["message_delta"]
    return Said(
        said,
        start["usage"]["input_tokens"],
        delta["usage"]["output_tokens"],
        delta["delta"]["stop_reason"],
    )


def gemini_objects(objects: list[Any]) -> Said:
    said = "".join(each["candidates"][0]["content"]["parts"][0]["text"] for each in objects)
    usage, finish = objects[-1]["usageMetadata"], objects[-1]["candidates"][0]["finishReason"]
    return Said(said, usage["promptTokenCount"], usage["candidatesTokenCount"], finish)
