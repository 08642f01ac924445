"""Calls of all kinds at once: JSON and streams, of several models, refused, and left by their
client, for customers that come in turn.

A program of its own, so that its memory and its loop are not those of whoever measures. It prints
one line of JSON: what became of the calls, and the latency of whole JSON replies in the first and
in the last part of the run, from when each was due.
"""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from tests.load.stats import percentile

_CHUNKS, _CHUNK_MS = 20, 10
_TIMEOUT_S = 20.0
# A number without a common divisor with any number of customers that is not a multiple of it.
_STEP = 7_919


class Kind(StrEnum):
    """What a call is, and what has to become of it."""

    JSON = "json"
    STREAM = "stream"
    REFUSED = "refused"
    ABORTED = "aborted"


_TURN = (
    *("json gpt-4o",) * 7,
    *("json gpt-4o-mini",) * 4,
    *("json embed",) * 2,
    *("stream gpt-4o",) * 2,
    "stream gpt-4o-mini",
    *("refused gpt-4o",) * 2,
    *("aborted gpt-4o",) * 2,
)
"""Twenty calls, which come again and again."""
_SHUFFLED = tuple(_TURN[number * 7 % len(_TURN)] for number in range(len(_TURN)))


class Mixed:
    """Calls against one address. `keys`: the secret by kind of call."""

    def __init__(self, url: str, keys: dict[Kind, str], customers: int) -> None:
        where = urlsplit(url)
        self._address = str(where.hostname), int(where.port or 80)
        self._keys = keys
        self._customers = customers
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.ended: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self.took_us = array("d")
        self.due_s = array("d")

    async def at_rate(self, rate: float, seconds: float) -> None:
        """Start so many calls a second, whatever becomes of them."""
        began_s, calling = time.perf_counter(), set()
        for number in range(round(rate * seconds)):
            due_s = began_s + number / rate
            if (early_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            task = asyncio.create_task(self._call(number, _SHUFFLED[number % 20], due_s))
            calling.add(task)
            task.add_done_callback(calling.discard)
        await asyncio.gather(*calling)

    async def at_once(self, clients: int, count: int, seconds: float, *, json_only: bool) -> None:
        """Let clients call one after the other, until so many calls or seconds are over."""
        numbers = iter(range(count))
        until_s = time.perf_counter() + seconds

        async def client() -> None:
            for number in numbers:
                if time.perf_counter() > until_s:
                    return
                what = _TURN[0] if json_only else _SHUFFLED[number % 20]
                await self._call(number, what, time.perf_counter())

        await asyncio.gather(*(client() for _ in range(clients)))

    async def _call(self, number: int, what: str, due_s: float) -> None:
        word, model = what.split(" ")
        kind = Kind(word)
        request = self._request(kind, model, number * _STEP % self._customers)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status = await self._exchange(request, leaves=kind is Kind.ABORTED)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.unexpected[f"{kind}: {type(error).__name__}"] += 1
            return
        self.ended[kind] += 1
        if status not in ((200, 429) if kind is Kind.REFUSED else (200,)):
            self.unexpected[f"{kind}: {status}"] += 1
        if kind is Kind.JSON:
            self.took_us.append((time.perf_counter() - due_s) * 1_000_000)
            self.due_s.append(due_s)

    def _request(self, kind: Kind, model: str, customer: int) -> bytes:
        user = f"customer-{customer}"
        said: dict[str, Any] = {"messages": [{"role": "user", "content": "Say something."}]}
        path = "/v1/chat/completions"
        if model == "embed":
            said, path = {"input": "some words"}, "/v1/embeddings"
        streams = kind in (Kind.STREAM, Kind.ABORTED)
        streaming = {"stream": True} if streams else {}
        body = json.dumps({"model": model, "user": user, **said, **streaming})
        pace = f"x-mock-chunks: {_CHUNKS}\r\nx-mock-chunk-ms: {_CHUNK_MS}\r\n" if streams else ""
        return (
            f"POST {path} HTTP/1.1\r\nhost: {self._address[0]}\r\n"
            f"authorization: Bearer {self._keys[kind]}\r\ncontent-type: application/json\r\n"
            f"{pace}content-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def _exchange(self, request: bytes, *, leaves: bool) -> int:
        """Send a request and take its reply, or leave behind its first bytes."""
        reader, writer = self._idle.pop() if self._idle else await self._open()
        kept = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not leaves:
                await _read_body(reader, head)
                kept = b"connection: close" not in head
            return int(head[9:12])
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.transport.abort()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._address)

    def close(self) -> None:
        """Close all connections."""
        for _, writer in self._idle:
            writer.transport.abort()


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"transfer-encoding: chunked" in head:
        while (size := int(await reader.readline(), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readline()
    elif (place := head.find(b"content-length:")) >= 0:
        await reader.readexactly(int(head[place + 15 : head.find(b"\r\n", place)]))


def _latency(mixed: Mixed, chosen: Callable[[float], bool]) -> dict[str, float]:
    found = sorted(
        took for took, due in zip(mixed.took_us, mixed.due_s, strict=True) if chosen(due)
    )
    if not found:
        return {"count": 0, "p50_us": 0.0, "p99_us": 0.0}
    return {
        "count": len(found),
        "p50_us": percentile(found, 50),
        "p99_us": percentile(found, 99),
    }


def main(
    url: str,
    keys: Annotated[Path, typer.Argument(help="JSON: kind of call to secret")],
    customers: int,
    rate: Annotated[float, typer.Option(help="calls a second; 0: clients call in turn")] = 0,
    seconds: float = 5,
    count: int = 10**9,
    part: Annotated[float, typer.Option(help="seconds of the first and of the last part")] = 60,
    json_only: bool = False,
) -> None:
    """Call, and print what became of it."""
    secrets = {Kind(kind): secret for kind, secret in json.loads(keys.read_text()).items()}
    mixed = Mixed(url, secrets, customers)
    began_s = time.perf_counter()

    async def run() -> None:
        if rate:
            await mixed.at_rate(rate, seconds)
        else:
            await mixed.at_once(32, count, seconds, json_only=json_only)
        mixed.close()

    with suppress(KeyboardInterrupt):
        asyncio.run(run())
    took_s = time.perf_counter() - began_s
    print(
        json.dumps(
            {
                "seconds": took_s,
                "ended": mixed.ended,
                "unexpected": mixed.unexpected,
                "first": _latency(mixed, lambda due_s: due_s < began_s + part),
                "last": _latency(mixed, lambda due_s: due_s >= began_s + seconds - part),
            }
        )
    )


if __name__ == "__main__":
    typer.run(main)
