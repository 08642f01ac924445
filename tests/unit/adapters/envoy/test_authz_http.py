"""Admission over HTTP: what Envoy reads of an answer, over a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import reservation, tokens
from tests.unit.adapters.envoy.deciding import Deciding
from tests.unit.core.usage.usage_case import table

from tollgate.adapters.envoy.authz_http import AuthorizationOverHttp
from tollgate.adapters.envoy.metadata import reservation_text
from tollgate.core.calls.decision import Admission, Decision, Edit, Header, Refusal
from tollgate.core.envoy_contract import (
    HEALTH_REQUEST,
    HEALTH_RESPONSE,
    KEY_CHECK,
    KEY_CHECK_HEADER,
)
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.metering.metering import Metering

CHAT = "/v1/chat/completions"
HELD = reservation("r1", tokens(1000))
ADMITTED = Admission("gpt-4o", HELD, headers=(Header("x-ratelimit-remaining-tokens", "970"),))


@dataclass
class Door:
    """A door, who stands behind it, and where the held is kept."""

    door: AuthorizationOverHttp
    deciding: Deciding
    counters: MemoryCounters
    client: httpx.AsyncClient
    socket: Path

    async def headers(self, path: str = CHAT, body: bytes = b"{}") -> dict[str, str]:
        """What Envoy is told of a request that may pass."""
        reply = await self.client.post(path, content=body)
        assert reply.status_code == 200
        return dict(reply.headers)


@asynccontextmanager
async def opened(
    folder: Path,
    decision: Decision,
    *,
    waits: bool = False,
    fails: bool = False,
    logged: bool = False,
) -> AsyncIterator[Door]:
    counters = MemoryCounters(FixedClock())
    meter = Metering(counters, Catalog.of((), {}), None, InputEstimates())
    deciding, socket = Deciding(None if fails else decision), folder / "authz.sock"
    if waits:
        deciding.may_go_on.clear()
    door = AuthorizationOverHttp(
        deciding,  # type: ignore[arg-type]
        meter,
        table(),
        logged=logged,
    )
    await door.start(f"unix:{socket}")
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://tollgate") as client:
        yield Door(door, deciding, counters, client, socket)
    await door.stop(1)
    await meter.drain()


async def test_a_request_reaches_admission_as_the_client_sent_it(tmp_path: Path) -> None:
    """Method, path with query, headers, body, and Envoy's name for it."""
    async with opened(tmp_path, ADMITTED) as door:
        await door.client.post(
            f"{CHAT}?a=%20b",
            content=b"x" * 300_000,
            headers={"x-tollgate-stream": "7-1", "x-api-key": "k"},
        )
    asked = door.deciding.asked[0]
    assert (asked.method, asked.path, asked.stream_id, asked.headers["x-api-key"]) == (
        "POST",
        f"{CHAT}?a=%20b",
        "7-1",
        "k",
    )
    assert asked.body == b"x" * 300_000


async def test_what_may_pass_is_named_its_route_its_reader_and_its_reservation(
    tmp_path: Path,
) -> None:
    """And the client's headers go with it."""
    async with opened(tmp_path, ADMITTED) as door:
        headers = await door.headers()
    assert headers["x-tollgate-route"] == "gpt-4o"
    assert headers["x-tollgate-meter"] == "openai.chat"
    assert headers["reservation"] == reservation_text(HELD)
    assert headers["x-tollgate-request-id"] == "r1"
    assert headers["x-ratelimit-remaining-tokens"] == "970"


async def test_envoys_own_access_log_can_print_who_asks(tmp_path: Path) -> None:
    """In ASCII, since a header carries nothing else."""
    named = structs.replace(ADMITTED, key_name="Zo\u00eb\n")
    async with opened(tmp_path, named, logged=True) as door:
        headers = await door.headers()
    assert {name: headers[name] for name in headers if name.startswith("logged_")} == {
        "logged_request_id": "r1",
        "logged_key_alias": "Zo\\u00eb\\u000a",
        "logged_model": HELD.model,
        "logged_held_nanousd": str(HELD.cost_nanousd),
    }


async def test_what_envoy_cannot_read_goes_to_ext_proc_with_its_headers_held_back(
    tmp_path: Path,
) -> None:
    """ext_proc may know the same headers better."""
    batch = structs.replace(HELD, dialect="vertex.predict")
    async with opened(tmp_path, Admission("gpt-4o", batch, headers=ADMITTED.headers)) as door:
        headers = await door.headers()
    assert headers["x-tollgate-meter"] == "ext_proc"
    assert headers["held"] == "x-ratelimit-remaining-tokens=970;"
    assert "x-ratelimit-remaining-tokens" not in headers


async def test_edits_are_offset_length_and_hexadecimal_bytes(tmp_path: Path) -> None:
    """The form that request.lua reads."""
    async with opened(
        tmp_path, Admission("gpt-4o", HELD, edits=(Edit(1, 0, "é;"), Edit(9, 4, "")))
    ) as door:
        assert (await door.headers())["edits"] == "1,0,c3a93b;9,4,;"


@pytest.mark.parametrize(
    ("changing", "told"),
    [
        (Admission("gpt-4o", HELD), None),
        (Admission("gpt-4o", HELD, edits=(Edit(1, 0, "a"),)), "1"),
        (Admission("gpt-4o", HELD, path="/v2/y"), "1"),
        (Admission("gpt-4o", HELD, edits=(Edit(1, 0, "a"),), path="/v2/y"), "1"),
        (Admission("gpt-4o", structs.replace(HELD, stream=True, hide_usage=True)), "1"),
        (Admission("gpt-4o", structs.replace(HELD, dialect="vertex.predict")), "1"),
    ],
    ids=["nothing", "edits", "target", "both", "hidden usage", "held headers"],
)
async def test_lua_is_asked_for_only_where_it_has_something_to_do(
    tmp_path: Path, changing: Admission, told: str | None
) -> None:
    async with opened(tmp_path, changing) as door:
        assert (await door.headers()).get("x-tollgate-change") == told


@pytest.mark.parametrize("target", [None, "/v2/y?c=3"])
async def test_the_path_to_ask_for_is_told_where_it_is_another(
    tmp_path: Path, target: str | None
) -> None:
    """Envoy's Lua writes it."""
    async with opened(tmp_path, Admission("gpt-4o", HELD, path=target)) as door:
        assert (await door.headers("/v1/x?key=k")).get("target") == target


async def test_an_id_in_any_script_travels_in_a_header(tmp_path: Path) -> None:
    """JSON's own escapes carry what a header cannot."""
    named = reservation("r\u007f\u00e9\U0001f600")
    async with opened(tmp_path, Admission("gpt-4o", named)) as door:
        text = (await door.headers())["reservation"]
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)[0] == named.id


async def test_an_unmetered_request_carries_its_route_alone(tmp_path: Path) -> None:
    """While the store is down and on_store_error is allow."""
    async with opened(tmp_path, Admission("gpt-4o", None)) as door:
        assert set(await door.headers()) == {"x-tollgate-route", "content-length"}


@pytest.mark.parametrize(("status", "sent"), [(401, 401), (429, 429), (500, 480), (503, 483)])
async def test_a_refusal_keeps_its_body_and_headers(tmp_path: Path, status: int, sent: int) -> None:
    """5xx come under another status, since Envoy would drop the body."""
    refusal = Refusal(status, "why", "message", b'{"error":{}}', (Header("retry-after", "7"),))
    async with opened(tmp_path, refusal) as door:
        reply = await door.client.post(CHAT)
    assert (reply.status_code, reply.content, reply.headers["retry-after"]) == (
        sent,
        b'{"error":{}}',
        "7",
    )
    assert reply.headers["content-type"] == "application/json"


async def test_a_head_request_is_answered_without_a_body(tmp_path: Path) -> None:
    """The connection stays in step: the next answer is read whole."""
    async with opened(tmp_path, Refusal(405, "why", "message", b'{"error":{}}')) as door:
        assert (await door.client.head(CHAT)).content == b""
        assert (await door.client.post(CHAT)).content == b'{"error":{}}'


async def test_a_failure_to_decide_is_answered(tmp_path: Path) -> None:
    """As an error in the dialect of the path."""
    async with opened(tmp_path, ADMITTED, fails=True) as door:
        reply = await door.client.post("/v1/messages")
    assert (reply.status_code, reply.json()["type"]) == (480, "error")


async def test_the_question_for_the_key_alone_asks_for_nothing_else(tmp_path: Path) -> None:
    """A good key: Envoy may take the body, and is told nothing of the request."""
    async with opened(tmp_path, ADMITTED) as door:
        reply = await door.client.post(CHAT, headers={KEY_CHECK_HEADER: KEY_CHECK})
    assert (reply.status_code, set(reply.headers)) == (200, {"content-length"})
    assert (len(door.deciding.asked_about_keys), door.deciding.asked) == (1, [])


async def test_a_bad_key_is_refused_before_the_body_comes(tmp_path: Path) -> None:
    """In the same words as with the body."""
    refusal = Refusal(503, "why", "message", b'{"error":{}}', (Header("retry-after", "1"),))
    async with opened(tmp_path, refusal) as door:
        alone = await door.client.post(CHAT, headers={KEY_CHECK_HEADER: KEY_CHECK})
        whole = await door.client.post(CHAT)
    assert alone.status_code == 483
    assert (alone.status_code, alone.content, alone.headers) == (
        whole.status_code,
        whole.content,
        whole.headers,
    )


async def test_a_failure_to_check_a_key_is_answered(tmp_path: Path) -> None:
    async with opened(tmp_path, ADMITTED, fails=True) as door:
        reply = await door.client.post("/v1/messages", headers={KEY_CHECK_HEADER: KEY_CHECK})
    assert (reply.status_code, reply.json()["type"]) == (480, "error")


async def test_an_answer_that_we_fail_to_word_gives_back_what_it_held(tmp_path: Path) -> None:
    """The request does not pass, so nothing of it may stay charged until its lease runs out."""
    no_text = Admission("gpt-4o", HELD, headers=(Header("x-odd", "\ud800"),))
    async with opened(tmp_path, no_text) as door:
        await door.counters.reserve(HELD)
        assert (await door.client.post(CHAT)).status_code == 480
    assert [each.status for each in door.counters.ledger] == [500]


async def test_what_nobody_waits_for_is_given_back(tmp_path: Path) -> None:
    """Envoy closed the connection while the store was asked."""
    async with opened(tmp_path, ADMITTED, waits=True) as door:
        await door.counters.reserve(HELD)
        asking = asyncio.create_task(door.client.post(CHAT))
        await door.deciding.asks.wait()
        asking.cancel()
        while door.door.connections:  # noqa: ASYNC110 - a lost connection sends us no event
            await asyncio.sleep(0)
        door.deciding.may_go_on.set()
    assert [each.status for each in door.counters.ledger] == [499]


async def test_whoever_does_not_speak_http_is_cut_off(tmp_path: Path) -> None:
    """And nothing else happens."""
    async with opened(tmp_path, ADMITTED) as door:
        reader, writer = await asyncio.open_unix_connection(str(door.socket))
        writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert await door.headers()


async def test_a_door_that_closes_answers_whoever_has_asked(tmp_path: Path) -> None:
    """Idle connections end at once, busy ones with their answer."""
    async with opened(tmp_path, ADMITTED, waits=True) as door:
        asking = asyncio.create_task(door.client.post(CHAT))
        await door.deciding.asks.wait()
        closing = asyncio.create_task(door.door.stop(5))
        await asyncio.sleep(0)
        door.deciding.may_go_on.set()
        assert (await asking).status_code == 200
        await closing
        assert not door.door.connections


async def test_envoys_health_check_is_answered_on_the_same_connection_and_asks_nobody(
    tmp_path: Path,
) -> None:
    """A worker that leaves fails it, and serves on."""
    async with opened(tmp_path, ADMITTED) as door:
        reader, writer = await asyncio.open_unix_connection(str(door.socket))
        for _ in range(2):
            writer.write(HEALTH_REQUEST)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(HEALTH_RESPONSE)
        door.door.leaving = True
        writer.write(HEALTH_REQUEST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        writer.close()
        assert door.deciding.asked == []


async def test_a_clients_request_for_the_same_path_is_no_health_check(tmp_path: Path) -> None:
    async with opened(tmp_path, ADMITTED) as door:
        assert (await door.client.get("/", headers={"host": "a"})).status_code == 200
        assert len(door.deciding.asked) == 1


async def test_a_crowd_of_connections_is_not_turned_away(tmp_path: Path) -> None:
    """However many come before the first is taken: Envoy would answer 503 for each that is."""
    async with opened(tmp_path, ADMITTED) as door:
        with ExitStack() as connections:
            for _ in range(500):
                one = connections.enter_context(socket.socket(socket.AF_UNIX))
                one.settimeout(0)
                one.connect(str(door.socket))  # without waiting, so that nobody is taken meanwhile
