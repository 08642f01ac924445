"""What is done under load, as data."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.load import generators
from tests.load.callers import Caller, Who
from tests.load.generators import Load, Target
from tests.load.programs import Tick

_CHAT = "/v1/chat/completions"
_SMALL: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Name the three largest lakes of Finland, in one line."},
    ],
    "max_tokens": 256,
}
_SENTENCE = 'The quick brown fox jumps over the lazy dog, and "nobody" minds.\n'
_LONG: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "user", "content": _SENTENCE * (10_000 // len(_SENTENCE))} for _ in range(10)
    ],
    "max_tokens": 256,
}
_VERY_LONG: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": _SENTENCE * (1_000_000 // len(_SENTENCE))}],
}
_EMBED: dict[str, Any] = {"model": "embed", "input": "some words to embed"}


@dataclass(frozen=True, slots=True)
class Length:
    """How long things take in one benchmark.

    `rounds` of `seconds` each; streams of `sse_chunks`, `sse_clients` at once, `sse_turns` one
    after another.
    """

    rounds: int = 3
    seconds: int = 5
    sse_chunks: int = 500
    sse_clients: int = 100
    sse_turns: int = 2
    rate: int = 300
    open_streams: int = 2000


_Run = Callable[[Target, Length, Tick], Load]
SSE_PACE_MS = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load.

    `alone`: it means something to Envoy alone. `unit`: what its CPU time is counted for.
    """

    name: str
    run: _Run
    body: dict[str, Any]
    who: Who = Who.EACH
    path: str = _CHAT
    alone: bool = True
    unit: str = "request"
    headers: tuple[tuple[str, str], ...] = field(default=())

    def target(self, url: str, caller: Caller, folder: Path) -> Target:
        """What is sent for a caller; its body goes to a file of the folder."""
        body = self.body | ({"user": caller.customer} if caller.customer else {})
        file = folder / f"{self.name.replace(' ', '-')}.json"
        file.write_text(json.dumps(body), encoding="utf-8")
        headers = (
            ("authorization", f"Bearer {caller.key}"),
            ("content-type", "application/json"),
            *self.headers,
        )
        return Target(url + self.path, headers, file)


def _closed(clients: int) -> _Run:
    def run(target: Target, length: Length, tick: Tick) -> Load:
        return generators.wrk(target, clients, length.seconds, tick)

    return run


def _hasty(clients: int) -> _Run:
    def run(target: Target, length: Length, tick: Tick) -> Load:
        return generators.hasty(target, clients, length.seconds, tick)

    return run


def _streams(target: Target, length: Length, tick: Tick) -> Load:
    seconds = length.sse_turns * length.sse_chunks * SSE_PACE_MS / 1000
    return generators.h2load(
        target, length.sse_clients, length.sse_clients * length.sse_turns, seconds, tick
    )


def _nothing(target: Target, length: Length, tick: Tick) -> Load:
    """Nobody calls; one of the unit is a second."""
    for _ in range(length.seconds):
        time.sleep(1)
        tick()
    return Load(length.seconds, length.seconds, refused=0, failed=0, p50_us=0, p90_us=0, p99_us=0)


def _open(target: Target, length: Length, tick: Tick) -> Load:
    return generators.open_loop(target, length.rate, length.seconds, tick)


def streaming_headers(chunks: int, pace_ms: int) -> tuple[tuple[str, str], ...]:
    """What tells the mock provider how to stream."""
    return (("x-mock-chunks", str(chunks)), ("x-mock-chunk-ms", str(pace_ms)))


STREAM_BODY = {**_SMALL, "stream": True, "max_tokens": 4096}

CLIENTS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64, 256)
_WITH_ENVOY_ALONE = {1, 8, 32, 256}


def _json(clients: int) -> Scenario:
    noun = "client" if clients == 1 else "clients"
    name = f"JSON, {clients} {noun}"
    return Scenario(name, _closed(clients), _SMALL, alone=clients in _WITH_ENVOY_ALONE)


JSON_BY_CLIENTS = {clients: _json(clients) for clients in CLIENTS}
"""The same small call by ever more clients: where a client more costs throughput is a cliff."""
JSON_1, JSON_32 = JSON_BY_CLIENTS[1], JSON_BY_CLIENTS[32]
JSON_LONG = Scenario("JSON, prompt of 100 KB, 32 clients", _closed(32), _LONG)
EMBEDDINGS = Scenario("embeddings, 32 clients", _closed(32), _EMBED, path="/v1/embeddings")
OPEN = Scenario("JSON at a fixed rate", _open, _SMALL)
ALL_LIMITS = Scenario(
    "JSON, 32 clients, every limit set", _closed(32), _SMALL, Who.ALL, alone=False
)
KEY_LIMITED = Scenario("JSON, 32 clients, key limited", _closed(32), _SMALL, Who.KEY, alone=False)
UNLIMITED = Scenario("JSON, 32 clients, no limit", _closed(32), _SMALL, Who.NOBODY, alone=False)
WITHIN_32 = Scenario(
    "JSON, 32 clients, an organization limited", _closed(32), _SMALL, Who.WITHIN, alone=False
)
_SHARED = "an organization, user and customer limited"
SHARED_1 = Scenario(f"JSON, 1 client, {_SHARED}", _closed(1), _SMALL, Who.SHARED, alone=False)
SHARED_32 = Scenario(f"JSON, 32 clients, {_SHARED}", _closed(32), _SMALL, Who.SHARED, alone=False)
IDLE = Scenario("idle, a second", _nothing, _SMALL, alone=False, unit="second")
WRONG_KEY = Scenario("wrong key, 32 clients", _closed(32), _SMALL, Who.WRONG_KEY, alone=False)
WRONG_KEY_LONG = Scenario(
    "wrong key, body of 1 MB, 32 clients", _hasty(32), _VERY_LONG, Who.WRONG_KEY, alone=False
)
REFUSED = Scenario("refused, 32 clients", _closed(32), _SMALL, Who.REFUSED, alone=False)


def sse(length: Length) -> Scenario:
    """Streams at a pace, some tens at once."""
    name = f"SSE, {length.sse_chunks} chunks, {length.sse_clients} streams"
    headers = streaming_headers(length.sse_chunks, SSE_PACE_MS)
    return Scenario(name, _streams, STREAM_BODY, unit="reply", headers=headers)
