"""The mock provider's three APIs over real sockets: their shapes, and the honesty of
their usage.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.unit.mock_llm.mock_llm_client import (
    CHAT,
    HI,
    PROMPT,
    PROMPT_TOKENS,
    STREAMED,
    Said,
    chat_json,
    chat_stream,
    gemini_objects,
    message_json,
    message_stream,
    running,
    sse,
)


@pytest_asyncio.fixture(scope="module")
async def address() -> AsyncIterator[str]:
    async with running() as at:
        yield at


@pytest_asyncio.fixture(scope="module")
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
        yield http


@dataclass(frozen=True)
class Api:
    """One API in one form: how to ask it with an output limit, and how to read its reply."""

    path: str
    body: Callable[[int], Any]
    read: Callable[[str], Said]
    ends: tuple[str, str]


OPENAI_ENDS = ("stop", "length")
ANTHROPIC_ENDS = ("end_turn", "max_tokens")
GEMINI_ENDS = ("STOP", "MAX_TOKENS")


def gemini_body(limit: int) -> Any:
    return {
        "contents": [{"parts": [{"text": PROMPT}]}],
        "generationConfig": {"maxOutputTokens": limit},
    }


def completion_body(limit: int) -> Any:
    return {"model": "m-1", "prompt": PROMPT, "max_tokens": limit}


APIS = {
    "chat": Api(
        CHAT, lambda n: {**HI, "max_tokens": n}, lambda t: chat_json(json.loads(t)), OPENAI_ENDS
    ),
    "chat without v1": Api(
        "/chat/completions",
        lambda n: {**HI, "max_completion_tokens": n},
        lambda t: chat_json(json.loads(t)),
        OPENAI_ENDS,
    ),
    "chat stream": Api(
        CHAT, lambda n: {**HI, **STREAMED, "max_tokens": n}, chat_stream, OPENAI_ENDS
    ),
    "completion": Api(
        "/v1/completions", completion_body, lambda t: chat_json(json.loads(t)), OPENAI_ENDS
    ),
    "completion stream": Api(
        "/completions", lambda n: {**completion_body(n), **STREAMED}, chat_stream, OPENAI_ENDS
    ),
    "messages": Api(
        "/v1/messages",
        lambda n: {**HI, "max_tokens": n},
        lambda t: message_json(json.loads(t)),
        ANTHROPIC_ENDS,
    ),
    "messages stream": Api(
        "/v1/messages",
        lambda n: {**HI, "max_tokens": n, "stream": True},
        message_stream,
        ANTHROPIC_ENDS,
    ),
    "gemini": Api(
        "/v1beta/models/g-1:generateContent",
        gemini_body,
        lambda t: gemini_objects([json.loads(t)]),
        GEMINI_ENDS,
    ),
    "gemini sse": Api(
        "/v1beta/models/g-1:streamGenerateContent?alt=sse",
        gemini_body,
        lambda t: gemini_objects(sse(t)),
        GEMINI_ENDS,
    ),
    "gemini array": Api(
        "/v1beta/models/g-1:streamGenerateContent",
        gemini_body,
        lambda t: gemini_objects(json.loads(t)),
        GEMINI_ENDS,
    ),
}
each_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS.keys())


@each_api
async def test_usage_reports_the_words_that_were_sent(client: httpx.AsyncClient, api: Api) -> None:
    """Output tokens are the words of the text, 20 by default; input tokens are a quarter of the
    prompt's bytes, rounded up.
    """
    reply = await client.post(api.path, json=api.body(1000))
    said = api.read(reply.text)
    assert said == Said("tollgate " * 20, PROMPT_TOKENS, 20, api.ends[0])


@each_api
async def test_the_output_limit_of_the_request_ends_the_reply(
    client: httpx.AsyncClient, api: Api
) -> None:
    """A limit below the words wanted is what is sent and counted, and the finish reason says so."""
    said = api.read((await client.post(api.path, json=api.body(3))).text)
    assert said == Said("tollgate " * 3, PROMPT_TOKENS, 3, api.ends[1])


@each_api
@pytest.mark.parametrize("size", [40, 5000])
async def test_size_makes_words_longer_or_shorter_and_not_more_or_fewer(
    client: httpx.AsyncClient, api: Api, size: int
) -> None:
    """x-mock-size changes the text; the words stay as many as usage reports."""
    headers = {"x-mock-size": str(size), "x-mock-chunks": "10"}
    said = api.read((await client.post(api.path, json=api.body(1000), headers=headers)).text)
    assert (len(said.text), len(said.text.split()), said.output_tokens) == (size, 10, 10)


@each_api
async def test_usage_can_be_withheld(client: httpx.AsyncClient, api: Api) -> None:
    """x-mock-usage: none leaves no usage field anywhere in the reply."""
    reply = await client.post(api.path, json=api.body(5), headers={"x-mock-usage": "none"})
    assert reply.status_code == 200
    assert "usage" not in reply.text


@each_api
async def test_compressed_and_split_replies_are_the_same_reply(
    client: httpx.AsyncClient, api: Api
) -> None:
    """gzip, flushed per event, in pieces of seven bytes, chunked: what the client reads is
    unchanged.
    """
    headers = {"x-mock-gzip": "1", "x-mock-split": "7", "x-mock-chunked": "1"}
    reply = await client.post(api.path, json=api.body(1000), headers=headers)
    assert (reply.headers["content-encoding"], reply.headers["transfer-encoding"]) == (
        "gzip",
        "chunked",
    )
    assert api.read(reply.text) == Said("tollgate " * 20, PROMPT_TOKENS, 20, api.ends[0])


@each_api
async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient, api: Api) -> None:
    """Truncated, empty, not an object, not UTF-8, too deep: 400 with an error object."""
    for content in (
        b'{"model":',
        b"",
        b"[1]",
        b'{"model":"\xff","contents":"\xff"}',
        b"[" * 100_000,
    ):
        reply = await client.post(api.path, content=content)
        assert (reply.status_code, "error" in reply.json()) == (400, True)


@each_api
async def test_odd_shapes_are_answered(client: httpx.AsyncClient, api: Api) -> None:
    """Fields of unexpected types never fail a request; an empty prompt is one token."""
    for odd in (
        None,
        7,
        True,
        "x",
        [],
        [None, 3, [["y"]]],
        {"content": {"text": ["z"]}},
        {"parts": 1.5},
    ):
        fields = (
            "model",
            "messages",
            "prompt",
            "system",
            "contents",
            "generationConfig",
            "stream_options",
            "n",
            "max_tokens",
        )
        reply = await client.post(api.path, json=dict.fromkeys(fields, odd))
        assert reply.status_code == 200


async def test_text_is_found_in_parts_and_media_is_not_counted(client: httpx.AsyncClient) -> None:
    """Text parts count, images do not: 8 bytes are 2 tokens."""
    parts = [
        {"type": "text", "text": "12345678"},
        {"type": "image_url", "image_url": {"url": "data:" + "A" * 4000}},
    ]
    reply = await client.post(
        CHAT, json={"model": "m", "messages": [{"role": "user", "content": parts}]}
    )
    assert reply.json()["usage"]["prompt_tokens"] == 2


async def test_choices_multiply_the_output(client: httpx.AsyncClient) -> None:
    """n = 3 sends three texts and counts them all."""
    reply = (await client.post(CHAT, json={**HI, "n": 3}, headers={"x-mock-chunks": "4"})).json()
    words = sum(len(choice["message"]["content"].split()) for choice in reply["choices"])
    assert (len(reply["choices"]), words, reply["usage"]["completion_tokens"]) == (3, 12, 12)


async def test_a_stream_interleaves_its_choices(client: httpx.AsyncClient) -> None:
    """Each word of each choice is an event of its own, with the choice's index."""
    body = {**HI, "n": 2, "stream": True}
    chunks = sse((await client.post(CHAT, json=body, headers={"x-mock-chunks": "2"})).text)
    assert [
        c["choices"][0]["index"] for c in chunks if c["choices"][0]["delta"].get("content")
    ] == [0, 1, 0, 1]


async def test_stream_usage_comes_only_when_asked_for(client: httpx.AsyncClient) -> None:
    """Without include_usage no chunk has the field, and none is without choices."""
    chunks = sse((await client.post(CHAT, json={**HI, "stream": True})).text)
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)


async def test_stream_usage_is_null_until_the_last_chunk(client: httpx.AsyncClient) -> None:
    """With include_usage every chunk has the field; the one with numbers has no choices."""
    chunks = sse((await client.post(CHAT, json={**HI, **STREAMED})).text)
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], PROMPT_TOKENS + 20)


async def test_messages_stream_names_its_events_in_order(client: httpx.AsyncClient) -> None:
    """Anthropic's event lines carry the type of their data."""
    text = (
        await client.post(
            "/v1/messages", json={**HI, "stream": True}, headers={"x-mock-chunks": "1"}
        )
    ).text
    names = [
        line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")
    ]
    inner = ["content_block_start", "ping", "content_block_delta", "content_block_stop"]
    assert names == ["message_start", *inner, "message_delta", "message_stop"]
    assert names == [event["type"] for event in sse(text)]


async def test_count_tokens_counts_system_and_messages(client: httpx.AsyncClient) -> None:
    """The count is the one that messages would report."""
    reply = await client.post("/v1/messages/count_tokens", json={**HI, "system": "1234"})
    assert reply.json() == {"input_tokens": PROMPT_TOKENS + 1}


@pytest.mark.parametrize(
    ("value", "rows", "tokens"),
    [
        ("12345678", 1, 2),
        (["1234", "5678"], 2, 2),
        ([11, 22, 33], 1, 3),
        ([[1, 2], [3]], 2, 3),
        ([], 1, 1),
    ],
)
async def test_embeddings_count_text_and_token_numbers(
    client: httpx.AsyncClient, value: Any, rows: int, tokens: int
) -> None:
    """One vector for each input; a token number is one token."""
    reply = (await client.post("/v1/embeddings", json={"model": "e-1", "input": value})).json()
    assert (len(reply["data"]), reply["usage"]) == (
        rows,
        {"prompt_tokens": tokens, "total_tokens": tokens},
    )


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    """GET /v1/models answers OpenAI's list."""
    assert (await client.get("/v1/models")).json()["object"] == "list"


@pytest.mark.parametrize("path", ["/", "/v1/files", "/v1beta/models/g:deleteModel", "/v2/messages"])
async def test_an_unknown_path_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    """Anything else is 404 in OpenAI's shape."""
    reply = await client.post(path, json={})
    assert (reply.status_code, reply.json()["error"]["type"]) == (404, "invalid_request_error")
