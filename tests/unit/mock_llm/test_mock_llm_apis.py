"""The mock's other APIs: what each reply says of its usage is what the usage reader finds there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.unit.mock_llm.mock_llm_client import PROMPT, PROMPT_TOKENS, running

from tollgate.core.calls.usage import Usage
from tollgate.core.requests.endpoints import find_endpoint
from tollgate.core.usage import UsageReader
from tollgate.shipped_tables import api_table

APIS = api_table()
CHAT = {"messages": [{"role": "user", "content": PROMPT}]}
CONTENTS = {"contents": [{"parts": [{"text": PROMPT}]}]}
VERTEX = "/v1/projects/p/locations/l/publishers/google/models"
CASES: list[tuple[str, dict[str, Any], int, int]] = [
    ("/v1/responses", {"input": PROMPT}, PROMPT_TOKENS, 20),
    ("/v1/responses", {"input": PROMPT, "stream": True, "max_output_tokens": 3}, PROMPT_TOKENS, 3),
    ("/v1/images/generations", {"prompt": PROMPT, "n": 2}, PROMPT_TOKENS, 2112),
    ("/v1/images/generations", {"prompt": PROMPT, "stream": True}, PROMPT_TOKENS, 1056),
    ("/v1/audio/transcriptions", {}, 50, 20),
    ("/v1/audio/transcriptions", {"stream": True}, 50, 20),
    ("/v1/audio/speech", {"input": PROMPT, "stream_format": "sse"}, PROMPT_TOKENS, 50),
    ("/v1/moderations", {"input": PROMPT}, 0, 0),
    ("/openai/deployments/d/chat/completions", CHAT, PROMPT_TOKENS, 20),
    ("/v1beta/models/g:countTokens", CONTENTS, 0, 0),
    (f"{VERTEX}/g:streamGenerateContent", CONTENTS, PROMPT_TOKENS, 20),
    (
        f"{VERTEX}/e:predict",
        {"instances": [{"content": PROMPT}, {"content": PROMPT}]},
        2 * PROMPT_TOKENS,
        0,
    ),
    ("/model/m/converse", {**CHAT, "inferenceConfig": {"maxTokens": 4}}, PROMPT_TOKENS, 4),
    ("/model/m/converse-stream", CHAT, PROMPT_TOKENS, 20),
    ("/model/m/invoke", {**CHAT, "max_tokens": 4}, PROMPT_TOKENS, 4),
    ("/model/m/invoke-with-response-stream", CHAT, PROMPT_TOKENS, 20),
    ("/v2/chat", CHAT, PROMPT_TOKENS, 20),
    ("/v2/chat", {**CHAT, "stream": True, "max_tokens": 4}, PROMPT_TOKENS, 4),
    ("/v2/embed", {"texts": [PROMPT]}, PROMPT_TOKENS, 0),
    ("/api/chat", CHAT, PROMPT_TOKENS, 20),
    (
        "/api/generate",
        {"prompt": PROMPT, "stream": False, "options": {"num_predict": 4}},
        PROMPT_TOKENS,
        4,
    ),
    ("/api/embed", {"input": [PROMPT]}, PROMPT_TOKENS, 0),
]


@pytest_asyncio.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with running() as at, httpx.AsyncClient(base_url=at, trust_env=False) as http:
        yield http


async def used(
    client: httpx.AsyncClient, path: str, asked: dict[str, Any], **headers: str
) -> Usage | None:
    """What the reader finds in the reply to a call."""
    reply = await client.post(path, json=asked, headers=headers)
    endpoint = find_endpoint(path)
    assert reply.status_code == 200
    assert endpoint is not None
    reader = UsageReader(APIS[endpoint.dialect.api], reply.headers["content-type"])
    reader.feed(reply.content)
    reader.finish()
    return reader.usage()


@pytest.mark.parametrize(("path", "asked", "input_tokens", "output_tokens"), CASES)
async def test_every_api_counts_honestly(
    client: httpx.AsyncClient,
    path: str,
    asked: dict[str, Any],
    input_tokens: int,
    output_tokens: int,
) -> None:
    """JSON, SSE, lines, and AWS's framing."""
    usage = await used(client, path, asked)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (input_tokens, output_tokens)


async def test_usage_can_be_left_out_everywhere(client: httpx.AsyncClient) -> None:
    """`x-mock-usage: none` silences every API."""
    told = [
        await used(client, path, asked, **{"x-mock-usage": "none"}) for path, asked, _, _ in CASES
    ]
    assert {usage.total_tokens for usage in told if usage is not None} == {0}


@pytest.mark.parametrize(
    ("path", "place"),
    [("/model/m/converse", "message"), ("/v2/chat", "message"), ("/api/chat", "error")],
)
async def test_errors_are_in_the_apis_own_shape(
    client: httpx.AsyncClient, path: str, place: str
) -> None:
    """On demand, with any status."""
    reply = await client.post(path, json={}, headers={"x-mock-status": "429"})
    assert (reply.status_code, "x-mock-status" in reply.json()[place]) == (429, True)


async def test_sound_is_bytes(client: httpx.AsyncClient) -> None:
    """Speech without events tells nothing of its usage."""
    reply = await client.post("/v1/audio/speech", json={"input": PROMPT})
    assert (reply.headers["content-type"], reply.content[:2]) == ("audio/mpeg", b"\xff\xfb")


async def test_an_azure_path_without_an_api_is_not_found(client: httpx.AsyncClient) -> None:
    """404, as any other."""
    assert (await client.post("/openai/deployments/d/files", json={})).status_code == 404


async def test_a_response_streams_openais_events_in_their_order(client: httpx.AsyncClient) -> None:
    """Numbered from 0; what belongs to the text says where it stands; what is said at the end is
    what was said before.
    """
    reply = await client.post("/v1/responses", json={"input": "hi", "stream": True})
    events = [
        json.loads(line.removeprefix("data: "))
        for line in reply.text.splitlines()
        if line.startswith("data: ")
    ]
    kinds = [each["type"].removeprefix("response.") for each in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    places = {
        (each["item_id"], each["output_index"], each["content_index"]) for each in events[3:-2]
    }
    item = events[-2]["item"]
    assert places == {(item["id"], 0, 0)}
    text = "".join(each["delta"] for each in events[4:-4])
    assert item["content"][0]["text"] == events[-4]["text"] == text
    assert events[-1]["response"]["output"] == [item]
