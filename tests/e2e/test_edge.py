"""People who can reach the port: what they may take of Envoy without a key, with a wrong one, and
with a good one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import free_port
from tests.e2e.gateway import CONFIG, MASTER, Gateway, bearer, gateway

from tollgate.core.answers.error_shapes import error_type
from tollgate.core.requests.dialects import Family

TIGHT = {
    "request_timeout_seconds": 3,
    "request_headers_timeout_seconds": 2,
    "max_connections": 300,
    "max_streams_per_connection": 7,
    "envoy_memory_mib": 256,
    "max_request_bytes": 33554432,
    "metrics": f"{{address: '127.0.0.1:{free_port()}'}}",
    "cors_origins": '["https://app.example", "https://other.example"]',
}
ORIGIN = {"origin": "https://app.example"}
ASKS = ORIGIN | {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,x-any",
}
CHAT = "/v1/chat/completions"
MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def tight(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway with bounds that a test can reach."""
    own = "".join(f"  {name}: {value}\n" for name, value in TIGHT.items())
    flash = (
        "  - {model_name: flash, litellm_params: {model: gemini/flash, api_base: http://mock-llm,"
        " api_key: k}}\n"
    )
    config = CONFIG.replace("general_settings", f"{flash}general_settings").replace(
        "  max_request_bytes: 1048576\n", own
    )
    async with gateway(tmp_path_factory.mktemp("edge"), config, "--mode", request.param) as running:
        yield running


def envoy_of(running: Gateway) -> int:
    """Envoy's process, a child of the gateway's (Linux)."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "comm").read_text().startswith("envoy"):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == running.process.pid:
                    return int(entry.name)
    raise AssertionError("no Envoy")


def peak_mib(pid: int) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@dataclass(slots=True)
class Line:
    """One connection, on which bytes are sent as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, running: Gateway) -> Line:
        host, _, port = running.url.removeprefix("http://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def post(self, path: str = CHAT, *lines: str) -> None:
        """A request's head."""
        head = "".join(
            f"{each}\r\n" for each in ("host: gateway", "content-type: application/json", *lines)
        )
        await self.send(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self, seconds: float = 20) -> int:
        """The status of the answer; 0: the connection ended without one."""
        async with asyncio.timeout(seconds):
            try:
                line = await self.reader.readline()
            except ConnectionError:
                return 0
        return int(line.split()[1]) if line else 0

    def close(self) -> None:
        self.writer.close()


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


@pytest.mark.parametrize(
    "lines",
    [
        ("content-length: 30000000",),
        ("content-length: 30000000", "authorization: Bearer sk-wrong"),
        ("transfer-encoding: chunked", "authorization: Bearer sk-wrong"),
        ("content-length: 30000000", "x-goog-api-key: sk-wrong"),
    ],
)
async def test_long_bodies_without_a_good_key_take_no_memory(
    tight: Gateway, lines: tuple[str, ...]
) -> None:
    """60 connections, each with 30 MB at hand: 401 before they are taken."""
    body = b"x" * MIB
    if lines[0].startswith("transfer"):
        body = b"%x\r\n%s\r\n" % (len(body), body)

    async def pour() -> int:
        line = await Line.to(tight)
        await line.post(CHAT, *lines)

        async def send() -> None:
            for _ in range(29):
                await line.send(body)

        sending = asyncio.create_task(send())
        status = await line.status()
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending
        line.close()
        return status

    statuses = Counter(await asyncio.gather(*(pour() for _ in range(60))))
    # Who is still sending when Envoy closes may lose the answer on the way.
    assert (set(statuses) <= {401, 0}, statuses[401] > 0) == (True, True)
    assert peak_mib(envoy_of(tight)) < 256


async def test_a_key_that_has_nothing_left_sends_no_long_body(tight: Gateway) -> None:
    """429, while no byte of it has come."""
    key = await tight.key(rpm_limit=0)
    line = await Line.to(tight)
    await line.post(CHAT, "content-length: 30000000", f"authorization: Bearer {key}")
    assert await line.status() == 429
    line.close()


async def test_a_spent_key_sends_one_long_bad_body_to_each_of_two_workers(tight: Gateway) -> None:
    """It is refused for what it is, before any limit is looked at; the next is not taken."""
    key = await tight.key(max_budget=0.000_000_001)
    headers, many = bearer(key), {f"k{number}": 1 for number in range(30_000)}
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    reply = await tight.client.post(f"{tight.url}{CHAT}", json=chat, headers=headers)
    assert reply.status_code == 200
    await tight.spend(key)
    statuses = Counter[int]()
    for _ in range(20):
        reply = await tight.client.post(f"{tight.url}{CHAT}", json=many, headers=headers)
        statuses[reply.status_code] += 1
    assert statuses.keys() == {400, 401}
    assert statuses[400] <= 2


async def test_a_body_that_drips_is_ended(tight: Gateway) -> None:
    """408 once request_timeout_seconds are over, however regularly bytes come."""
    line = await Line.to(tight)
    await line.post(CHAT, "content-length: 5000", "authorization: Bearer sk-1234")

    async def drip() -> None:
        while True:
            await line.send(b" ")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    assert await line.status() == 408
    dripping.cancel()
    line.close()


async def test_headers_that_drip_are_ended(tight: Gateway) -> None:
    line = await Line.to(tight)
    await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
    assert await line.status() == 408
    line.close()


async def test_a_long_upload_that_makes_progress_is_served(tight: Gateway) -> None:
    """20 MB in pieces, for two of the three seconds that it may take."""
    key = await tight.key()
    text = (
        b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "'
        + b"x" * 20 * MIB
        + b'"}]}'
    )
    line = await Line.to(tight)
    await line.post(CHAT, f"content-length: {len(text)}", f"authorization: Bearer {key}")
    for at in range(0, len(text), 2 * MIB):
        await line.send(text[at : at + 2 * MIB])
        await asyncio.sleep(0.1)
    assert await line.status() == 200
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


async def fill_memory(gateway: Gateway, key: str) -> tuple[httpx.Response, list[Line]]:
    """Send long bodies until a request is refused, and return the last answer to one.

    Bodies that are late are ended meanwhile, and a connection may not be taken any more.
    """

    async def ask() -> httpx.Response:
        return await gateway.client.post(
            f"{gateway.url}/v1/messages", json={}, headers=bearer(key), timeout=2
        )

    reply = await ask()
    lines = [await Line.to(gateway) for _ in range(10)]
    for each in lines:
        await each.post(CHAT, "content-length: 33000000", f"authorization: Bearer {key}")
    for sent in range(30):
        await asyncio.gather(*(each.send(b" " * MIB) for each in lines), return_exceptions=True)
        if sent >= 15:
            with suppress(httpx.TransportError):
                reply = await ask()
            if reply.status_code == 503:
                break
    return reply, lines


def close(lines: Iterable[Line]) -> None:
    """Close connections."""
    for each in lines:
        each.close()


async def test_when_memory_runs_out_new_requests_are_refused_and_served_again_later(
    tight: Gateway,
) -> None:
    """With a good key up to 10 bodies of 30 MB are held; they have three seconds to arrive.

    Others read 503 in their API's words, before no connection is taken any more.
    """
    key = await tight.key()
    async with asyncio.timeout(60):
        reply, lines = await fill_memory(tight, key)
        while reply.status_code != 503:
            close(lines)
            reply, lines = await fill_memory(tight, key)
    assert reply.json()["error"]["type"] == "overloaded_error"
    close(lines)
    async with asyncio.timeout(20):
        while reply.status_code == 503:
            await asyncio.sleep(0.1)
            reply = await tight.chat(key)
    assert reply.status_code == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/key/generate", "/v1/models"])
async def test_a_browsers_question_is_answered_without_a_key(tight: Gateway, path: str) -> None:
    reply = await tight.client.options(tight.url + path, headers=ASKS)
    told = {
        name.removeprefix("access-control-"): value
        for name, value in reply.headers.items()
        if "access" in name
    }
    assert reply.status_code == 204
    assert told.pop("max-age") == "7200"
    assert told == {
        "allow-origin": "https://app.example",
        "allow-methods": "POST",
        "allow-headers": "authorization,x-any",
    }


async def test_replies_and_refusals_are_shown_to_the_pages_of_an_allowed_origin(
    tight: Gateway,
) -> None:
    """Our headers too; Envoy's refusals, Tollgate's and the admin server's alike."""
    key = await tight.key(rpm_limit=1)
    replies = [await tight.chat(key, ORIGIN), await tight.chat(key, ORIGIN)]
    replies.append(await tight.client.post(tight.url + CHAT, json={}, headers=ORIGIN))
    replies.append(await tight.client.get(f"{tight.url}/v1/models", headers=bearer(key) | ORIGIN))
    assert [each.status_code for each in replies] == [200, 429, 401, 200]
    assert [each.headers.get("access-control-allow-origin") for each in replies] == [
        "https://app.example"
    ] * 4
    shown = replies[0].headers["access-control-expose-headers"].split(", ")
    assert {"x-tollgate-request-id", "x-ratelimit-remaining-requests", "retry-after", "*"} <= set(
        shown
    )


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"],
)
async def test_another_origin_is_shown_nothing(tight: Gateway, origin: str) -> None:
    key = await tight.key()
    asked = await tight.client.options(tight.url + CHAT, headers=ASKS | {"origin": origin})
    reply = await tight.chat(key, {"origin": origin})
    told = [
        name
        for each in (asked, reply)
        for name in each.headers
        if name.startswith("access-control")
    ]
    assert (asked.status_code, reply.status_code, told) == (204, 200, [])


async def test_without_the_setting_nobody_is_shown_anything(tollgate: Gateway) -> None:
    """OPTIONS is answered all the same, with what may be asked."""
    asked = await tollgate.client.options(tollgate.url + CHAT, headers=ASKS)
    reply = await tollgate.chat(await tollgate.key(), ORIGIN)
    told = [
        name
        for each in (asked, reply)
        for name in each.headers
        if name.startswith("access-control")
    ]
    assert (asked.status_code, told) == (204, [])
    assert "POST" in asked.headers["allow"].split(", ")


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
