"""Long and slow bodies: they take no memory of Envoy and end in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.e2e.edge_gateway import CHAT, Line, tight
from tests.e2e.gateway import Gateway, bearer

__all__ = ["tight"]

MIB = 1 << 20


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
