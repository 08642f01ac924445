"""People who can reach the port: what they may take of Envoy without a key, with a wrong one, and
with a good one.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.e2e.edge_gateway import CHAT, TIGHT, Line, tight
from tests.e2e.gateway import MASTER, Gateway, bearer

from tollgate.core.answers.error_shapes import error_type
from tollgate.core.requests.dialects import Family

__all__ = ["tight"]


@pytest.mark.parametrize(
    ("path", "family"),
    [
        (CHAT, Family.OPENAI),
        ("/v1/messages", Family.ANTHROPIC),
        ("/v1beta/models/g:generateContent", Family.GEMINI),
        ("/model/m/converse", Family.BEDROCK),
        ("/v2/chat", Family.COHERE),
        ("/api/chat", Family.OLLAMA),
    ],
)
async def test_without_a_key_nothing_of_the_body_is_waited_for(
    tight: Gateway, path: str, family: Family
) -> None:
    """401 in the dialect of the path, with the way to sign in, while no byte of 33 MB has come."""
    line = await Line.to(tight)
    await line.post(path, "content-length: 33000000")
    reply = (await asyncio.wait_for(line.reader.readuntil(b"\r\n\r\n"), 20)).decode()
    line.close()
    assert reply.startswith("HTTP/1.1 401 ")
    assert "www-authenticate: Bearer" in reply
    assert ("x-amzn-errortype: UnrecognizedClientException" in reply) == (family is Family.BEDROCK)
    shown = (await tight.client.post(tight.url + path, json={})).json()
    text = (
        shown["error"]
        if isinstance(shown.get("error"), str)
        else (shown.get("error") or shown)["message"]
    )
    assert text == "Authentication Error, No api key passed in."
    if family is Family.ANTHROPIC:
        assert (shown["type"], shown["error"]["type"]) == ("error", error_type(family, 401))
    if family is Family.GEMINI:
        assert (shown["error"]["code"], shown["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "name",
    [
        "x-litellm-api-key",
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
    ],
)
async def test_a_key_in_any_header_is_looked_at(tight: Gateway, name: str) -> None:
    """Tollgate, not Envoy, says that it is none."""
    reply = await tight.client.post(tight.url + CHAT, json={}, headers={name: "Bearer sk-none"})
    assert (reply.status_code, "Invalid API key" in reply.text) == (401, True)


@pytest.mark.parametrize("query", ["key=sk-none", "a=b&k%65y=sk-none", "%6Bey=sk-none"])
async def test_a_key_in_the_query_is_looked_at(tight: Gateway, query: str) -> None:
    """In any spelling."""
    reply = await tight.client.post(
        f"{tight.url}/v1beta/models/gpt-4o:generateContent?{query}", json={}
    )
    assert (reply.status_code, "Invalid API key" in reply.text) == (401, True)


async def test_a_good_key_in_the_query_is_admitted(tight: Gateway) -> None:
    """Though it is taken out of the query on the way."""
    key = await tight.key()
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    reply = await tight.client.post(
        f"{tight.url}/v1beta/models/flash:generateContent?key={key}", json=body
    )
    assert reply.status_code == 200, reply.text


async def test_the_slip_of_the_documentation_is_named(tight: Gateway) -> None:
    reply = await tight.client.post(
        tight.url + CHAT, json={}, headers={"Autherization": "Bearer sk-1234"}
    )
    assert (reply.status_code, "autherization" in reply.text) == (401, True)


async def test_metrics_ask_for_an_admins_key_or_have_a_port_of_their_own(tight: Gateway) -> None:
    """A key that calls models reads nobody's dollars; whoever reaches the other port does."""
    key = await tight.key()
    await tight.chat(key)
    asked = [
        await tight.client.get(f"{tight.url}/metrics", headers=each)
        for each in ({}, bearer(key), bearer(MASTER))
    ]
    assert [each.status_code for each in asked] == [401, 401, 200]
    own = "http://" + str(TIGHT["metrics"]).partition("'")[2].partition("'")[0]
    assert "tollgate_spend_dollars_total" in await tight.metrics("tollgate_spend_dollars_total")
    assert "tollgate_spend_dollars_total" in (await tight.client.get(f"{own}/metrics")).text


async def test_what_needs_no_key_is_served_without_one(tight: Gateway) -> None:
    found = {
        path: (await tight.client.get(tight.url + path)).status_code
        for path in ("/health/liveliness", "/docs", "/openapi.json")
    }
    assert set(found.values()) == {200}, found


async def test_headers_that_drip_are_ended(tight: Gateway) -> None:
    line = await Line.to(tight)
    await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
    assert await line.status() == 408
    line.close()


async def test_a_stream_that_takes_longer_than_a_request_may_is_whole(tight: Gateway) -> None:
    """The bound is of requests, not of replies."""
    key = await tight.key()
    reply = await tight.chat(key, {"x-mock-chunk-ms": "250", "x-mock-chunks": "20"}, stream=True)
    assert (reply.status_code, reply.text.rstrip().endswith("data: [DONE]")) == (200, True)


async def test_connections_are_bounded(tight: Gateway) -> None:
    """More than max_connections are closed at once; afterwards there is room again."""
    # Envoy has to have seen the end of all that came before.
    await asyncio.sleep(2)
    lines = [await Line.to(tight) for _ in range(450)]
    await asyncio.sleep(0.5)
    ended = sum(each.reader.at_eof() for each in lines)
    for each in lines:
        each.close()
    assert 150 <= ended <= 450 - 150
    await asyncio.sleep(0.5)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{tight.url}/health/liveliness")).status_code == 200


async def test_streams_of_a_connection_are_bounded(tight: Gateway) -> None:
    """Envoy says it in its first frame (RFC 9113, 6.5.2: SETTINGS_MAX_CONCURRENT_STREAMS is 3)."""
    line = await Line.to(tight)
    await line.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    head = await line.reader.readexactly(9)
    payload = await line.reader.readexactly(int.from_bytes(head[:3], "big"))
    line.close()
    told = {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, len(payload), 6)
    }
    assert (head[3], told[3]) == (4, TIGHT["max_streams_per_connection"])


async def test_http_1_0_is_served(tight: Gateway) -> None:
    """Without a Host, as it may come."""
    key = await tight.key()
    body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'
    line = await Line.to(tight)
    head = (
        f"POST {CHAT} HTTP/1.0\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\n"
    )
    await line.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    assert await line.status() == 200
    line.close()


async def test_head_is_answered(tight: Gateway) -> None:
    """Without a body, whatever the path is."""
    key = await tight.key()
    replies = {
        path: await tight.client.head(tight.url + path, headers=bearer(key))
        for path in ("/v1/models", "/health/liveliness", CHAT)
    }
    assert {path: each.status_code for path, each in replies.items()} == {
        "/v1/models": 200,
        "/health/liveliness": 200,
        CHAT: 405,
    }
    assert {each.content for each in replies.values()} == {b""}


async def test_each_refusal_has_an_id(tight: Gateway) -> None:
    """Whoever refused: the key, the body, the model, a limit."""
    key, spent = await tight.key(models=["gpt-4o"]), await tight.key(rpm_limit=0)
    refused = [
        await tight.chat("sk-unknown"),
        await tight.chat(key, model="fast"),
        await tight.chat(key, model="none"),
        await tight.chat(spent),
        await tight.client.post(tight.url + CHAT, content=b"{", headers=bearer(key)),
        await tight.client.get(tight.url + CHAT, headers=bearer(key)),
        await tight.client.post(f"{tight.url}/v1/unknown", json={}, headers=bearer(key)),
        await tight.client.post(tight.url + CHAT, json={}),
    ]
    ids = {each.headers.get("x-tollgate-request-id") for each in refused}
    assert [each.status_code for each in refused] == [401, 403, 404, 429, 400, 405, 404, 401]
    assert (None in ids, len(ids)) == (False, len(refused))


@pytest.mark.parametrize(
    ("request_text", "status", "words"),
    [
        (b"GET /v1/realtime HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
         b"connection: upgrade\r\nupgrade: websocket\r\n\r\n", 403, "no WebSocket"),
        (b"GARBAGE\r\n\r\n", 400, "not valid HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "not valid HTTP"),
        (b"GET /%00 HTTP/1.1\r\nhost: x\r\n\r\n", 400, "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"x" * 70_000 + b"\r\n\r\n", 431,
         "headers are too long"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 150 + b"\r\n", 431,
         "headers are too long"),
    ],
)  # fmt: skip
async def test_what_envoy_does_not_take_is_the_clients_error_with_a_sentence(
    tight: Gateway, request_text: bytes, status: int, words: str
) -> None:
    line = await Line.to(tight)
    await line.send(request_text)
    reply = (await asyncio.wait_for(line.reader.readuntil(b'"}}'), 20)).decode()
    line.close()
    assert reply.startswith(f"HTTP/1.1 {status} ")
    assert "content-type: application/json" in reply
    assert '"type":"invalid_request_error"' in reply
    assert words in reply
