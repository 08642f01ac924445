"""The mock provider on the wire: echoes, control headers, cuts, pipelining, backpressure, start and
stop.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.unit.mock_llm.mock_llm_client import (
    CHAT,
    HI,
    STREAMED,
    chat_json,
    exchange,
    message_stream,
    request,
    running,
)

from tollgate.core.errors import SettingsError
from tollgate.mock_llm.controls import Controls
from tollgate.mock_llm.protocol_values import MockStream
from tollgate.mock_llm.stream import Pump


@pytest_asyncio.fixture(scope="module")
async def address() -> AsyncIterator[str]:
    async with running() as at:
        yield at


@pytest_asyncio.fixture(scope="module")
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
        yield http


async def test_a_reply_to_head_has_no_body(address: str) -> None:
    """HEAD gets the headers alone, so that the next reply is read from its start."""
    reply = await exchange(
        address, b"HEAD /v1/models HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n\r\n"
    )
    assert reply.endswith(b"\r\n\r\n")


async def test_the_reply_tells_what_reached_the_mock(client: httpx.AsyncClient) -> None:
    """Target, host, credential and a hash of the body come back as headers, the model
    in the body.
    """
    content = b'{"model":"m-\xc3\xa9",  "messages":[]}'
    headers = {"authorization": "Bearer sk-9", "host": "provider.example"}
    reply = await client.post(f"{CHAT}?a=b", content=content, headers=headers)
    assert reply.json()["model"] == "m-é"
    assert {name: value for name, value in reply.headers.items() if name.startswith("x-mock-")} == {
        "x-mock-authorization": "Bearer sk-9",
        "x-mock-path": f"{CHAT}?a=b",
        "x-mock-host": "provider.example",
        "x-mock-body-sha256": sha256(content).hexdigest(),
    }
    assert (
        reply.headers["x-ratelimit-remaining-requests"],
        len(reply.headers["x-request-id"]),
    ) == ("9999", 24)


@pytest.mark.parametrize("name", ["x-api-key", "api-key", "x-goog-api-key"])
async def test_every_kind_of_credential_is_told(client: httpx.AsyncClient, name: str) -> None:
    """Whichever header held the credential, x-mock-authorization shows it."""
    assert (await client.post(CHAT, json=HI, headers={name: "k-1"})).headers[
        "x-mock-authorization"
    ] == "k-1"


@pytest.mark.parametrize(
    ("path", "status", "where", "expected"),
    [
        (CHAT, 429, ("error", "code"), "rate_limit_exceeded"),
        (CHAT, 503, ("error", "type"), "server_error"),
        ("/v1/messages", 429, ("error", "type"), "rate_limit_error"),
        ("/v1/messages", 529, ("error", "type"), "overloaded_error"),
        ("/v1beta/models/g:generateContent", 429, ("error", "status"), "RESOURCE_EXHAUSTED"),
        ("/v1beta/models/g:generateContent", 500, ("error", "code"), 500),
    ],
)
async def test_an_error_on_demand_is_in_the_dialect_of_the_path(
    client: httpx.AsyncClient, path: str, status: int, where: tuple[str, str], expected: object
) -> None:
    """x-mock-status chooses the status; 429 comes with retry-after."""
    reply = await client.post(path, json=HI, headers={"x-mock-status": str(status)})
    assert (reply.status_code, reply.json()[where[0]][where[1]]) == (status, expected)
    assert ("retry-after" in reply.headers) == (status == 429)


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("x-mock-status", "abc", "a whole number from 400 to 599"),
        ("x-mock-status", "200", "a whole number from 400 to 599"),
        ("x-mock-split", "0", "a whole number from 1 to 2147483648"),
        ("x-mock-latency-ms", "-1", "a whole number from 0 to 600000"),
        ("x-mock-chunks", "9" * 5000, "a whole number from 0 to 1000000"),
        ("x-mock-gzip", "yes", "1 or 0"),
        ("x-mock-usage", "all", "none"),
        ("x-mock-chunk", "5", "is no header of the mock provider"),
    ],
)
async def test_a_wrong_control_is_refused_by_name(
    client: httpx.AsyncClient, name: str, value: str, right: str
) -> None:
    """The error names the header, its value and what would be right, in the dialect of the path."""
    reply = await client.post("/v1/messages", json=HI, headers={name: value})
    message = reply.json()["error"]["message"]
    assert (reply.status_code, reply.json()["type"]) == (400, "error")
    assert all(part in message for part in (name, right))


async def test_a_cut_stream_ends_after_its_words(address: str) -> None:
    """x-mock-cut: 3 sends three words, then closes without the end of the HTTP body."""
    reply = await exchange(address, request(CHAT, {**HI, "stream": True}, "x-mock-cut: 3"))
    assert reply.count(b'"content":"tollgate "') == 3
    assert b"[DONE]" not in reply
    assert not reply.endswith(b"0\r\n\r\n")


async def test_a_cut_compressed_stream_shows_its_words(address: str) -> None:
    """Every event is flushed: what came before the cut can be read."""
    reply = await exchange(
        address, request(CHAT, {**HI, "stream": True}, "x-mock-cut: 2", "x-mock-gzip: 1")
    )
    chunks = reply.partition(b"\r\n\r\n")[2]
    inflater, plain = zlib.decompressobj(wbits=31), b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        plain, chunks = (
            plain + inflater.decompress(rest[: int(size, 16)]),
            rest[int(size, 16) + 2 :],
        )
    assert plain.count(b'"content":"tollgate "') == 2
    assert not inflater.eof


async def test_a_cut_after_all_words_loses_only_the_end(address: str) -> None:
    """A cut at the last word keeps every word and leaves out finish reason and usage."""
    reply = await exchange(address, request(CHAT, {**HI, **STREAMED}, "x-mock-cut: 20"))
    assert (reply.count(b'"content":"tollgate "'), b"prompt_tokens" in reply) == (20, False)


async def test_a_cut_json_reply_is_shorter_than_promised(address: str) -> None:
    """x-mock-cut: 10 sends ten bytes of a body whose content-length says more."""
    head, _, body = (await exchange(address, request(CHAT, HI, "x-mock-cut: 10"))).partition(
        b"\r\n\r\n"
    )
    promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert (len(body), promised > 10) == (10, True)


async def test_reset_closes_before_any_reply(address: str) -> None:
    """x-mock-reset: 1 answers nothing."""
    assert await exchange(address, request(CHAT, HI, "x-mock-reset: 1", close=False)) == b""


async def test_gzip_json_says_so(address: str) -> None:
    """The compressed body has its own length, and is one gzip member."""
    head, _, body = (await exchange(address, request(CHAT, HI, "x-mock-gzip: 1"))).partition(
        b"\r\n\r\n"
    )
    assert f"content-length: {len(body)}".encode() in head
    assert chat_json(json.loads(gzip.decompress(body))).output_tokens == 20


async def test_pipelined_requests_are_answered_in_order(address: str) -> None:
    """A slow stream, a slow error and fast JSON replies, sent at once, come back whole and in their
    order.
    """
    first = request(CHAT, {**HI, "model": "a", "stream": True}, "x-mock-chunk-ms: 1", close=False)
    second = request(CHAT, HI, "x-mock-latency-ms: 5", "x-mock-status: 418", close=False)
    rest = b"".join(request(CHAT, {**HI, "model": f"b{n}"}, close=False) for n in range(3000))
    reply = await exchange(address, first + second + rest + request(CHAT, {**HI, "model": "z"}))
    places = [
        reply.index(mark)
        for mark in (
            b'"model":"a"',
            b"[DONE]",
            b" 418 ",
            b'"model":"b0"',
            b'"model":"b2999"',
            b'"model":"z"',
        )
    ]
    assert places == sorted(places)


async def test_a_chunked_request_body_is_read(address: str) -> None:
    """A body in chunks, arriving byte by byte, is the same body."""
    content = json.dumps({**HI, "model": "in-chunks"}).encode()
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: m\r\ntransfer-encoding: chunked\r\nconnection:"
        " close\r\n\r\n".encode()
    )
    reply = await exchange(address, head + body)
    assert b'"model":"in-chunks"' in reply
    assert sha256(content).hexdigest().encode() in reply


async def test_what_is_no_http_is_refused_after_what_was(address: str) -> None:
    """Requests before the broken bytes are answered; then comes a 400, and the
    connection closes.
    """
    reply = await exchange(
        address, request(CHAT, {**HI, "stream": True}, close=False) + b"nonsense\r\n\r\n"
    )
    assert reply.index(b"[DONE]") < reply.index(b"HTTP/1.1 400 ")
    head, _, body = reply[reply.index(b"HTTP/1.1 400 ") :].partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head


async def test_options_are_the_defaults_of_every_reply() -> None:
    """chunks, latency_ms and chunk_ms hold where no header says otherwise."""
    async with (
        running(chunks=2, latency_ms=1, chunk_ms=1) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        reply = await client.post("/v1/messages", json={**HI, "stream": True})
        other = await client.post(CHAT, json=HI, headers={"x-mock-chunks": "5"})
    assert message_stream(reply.text).output_tokens == 2
    assert chat_json(other.json()).output_tokens == 5


async def test_it_serves_a_unix_socket_and_removes_it(tmp_path: Path) -> None:
    """unix_path listens there instead of on a port; the file is gone when the mock is."""
    path = tmp_path / "mock.sock"
    async with running(unix_path=str(path)) as address:
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, base_url="http://mock") as client:
            status = (await client.post(CHAT, json=HI)).status_code
    assert (address, status, path.exists()) == (f"unix:{path}", 200, False)


async def test_cancelling_ends_open_streams() -> None:
    """A stream with its next word minutes away ends when serve is cancelled."""
    async with running(chunk_ms=600_000) as address:
        url = httpx.URL(address)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(request(CHAT, {**HI, "stream": True}))
        await reader.readuntil(b'"role":"assistant"')
    assert b"[DONE]" not in await reader.read()
    writer.close()


@pytest.mark.parametrize(
    "wrong", [{"chunks": -1}, {"latency_ms": 600_001}, {"unix_path": "/nowhere/mock.sock"}]
)
async def test_options_that_cannot_be_served_are_refused(wrong: dict[str, Any]) -> None:
    """A value out of range or an address that cannot be opened is a SettingsError."""
    with pytest.raises(SettingsError, match="mock provider: "):
        async with running(**wrong):
            pass


def endless() -> MockStream:
    return MockStream(b"text/plain", b"", iter(lambda: b"x" * 70_000, b""), 10**9, b"end")


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_paused_stream_writes_nothing_until_it_is_resumed() -> None:
    """Backpressure: an endless stream stops at pause and goes on at resume."""
    written: list[bytes] = []
    pump = Pump(endless(), Controls(), written.append, lambda: None)
    await turns()
    pump.pause()
    before = len(written)
    await turns()
    paused = len(written)
    pump.resume()
    await turns()
    pump.cancel()
    assert (before > 0, paused == before, len(written) > paused) == (True, True, True)


async def test_a_cancelled_stream_writes_no_more() -> None:
    """The client is gone: nothing is made for it any more."""
    written: list[bytes] = []
    pump = Pump(endless(), Controls(), written.append, lambda: None)
    await turns()
    pump.cancel()
    before = len(written)
    await turns()
    assert len(written) == before
