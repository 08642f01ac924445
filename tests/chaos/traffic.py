"""Clients that call all the time, JSON and streams, in a thread of their own: whoever breaks things
waits here for how far they are.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

import httpx
from tests.chaos.provider import CALL, WORD
from tests.load.errors import BenchFailed
from tests.load.programs import Tick

CLIENTS = 24
MODEL = "gpt-4o"
OUTPUT_LIMIT = 64
"""Tokens that each call asks for at most, so this is what it holds; a whole reply has 22 on
average.
"""
_WORDS = (4, 40)
_PROMPT_BYTES = (40, 400)
_LATENCY_MS = (50, 400)
_CHUNK_MS = (10, 20)
# A mock's token of input is four bytes begun.
_BYTES_PER_TOKEN = 4
# A client that failed comes again after this, so that an outage is not made of failed calls alone.
_PAUSE_S = 1.0
_PATIENCE_S = 30.0
_POLL_S = 0.02


class Outcome(StrEnum):
    """How a call ended for its client. `left`: the client wanted no more of it."""

    SERVED = "served"
    REFUSED = "refused"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, all of which follows from seed and number.

    `leaves_ms`: when its client leaves; None: it stays.
    """

    number: int
    stream: bool
    words: int
    prompt: str
    pace_ms: int
    leaves_ms: int | None

    @property
    def input_tokens(self) -> int:
        """What the provider counts its prompt as."""
        return -(-len(self.prompt) // _BYTES_PER_TOKEN)

    @property
    def body(self) -> dict[str, object]:
        """What is sent."""
        messages = [{"role": "user", "content": self.prompt}]
        named = {"model": MODEL, "user": f"{CALL}{self.number}", "messages": messages}
        return {**named, "max_tokens": OUTPUT_LIMIT, "stream": self.stream}

    @property
    def headers(self) -> dict[str, str]:
        """How the provider is to answer."""
        pace = "x-mock-chunk-ms" if self.stream else "x-mock-latency-ms"
        size = len(WORD) * self.words
        return {"x-mock-chunks": str(self.words), "x-mock-size": str(size), pace: str(self.pace_ms)}


def drawn(seed: int, number: int, leaving: float, most_words: int = _WORDS[1]) -> Call:
    """The call of that number; a share of the clients leave in the middle of theirs."""
    draw = random.Random(f"{seed}/{number}")
    stream, words = draw.random() < 0.5, min(draw.randint(*_WORDS), most_words)
    pace_ms = draw.randint(*(_CHUNK_MS if stream else _LATENCY_MS))
    prompt = "say " * (draw.randint(*_PROMPT_BYTES) // _BYTES_PER_TOKEN)
    lasts_ms = pace_ms * (words if stream else 1)
    leaves_ms = int(lasts_ms * draw.uniform(0.1, 0.9)) if draw.random() < leaving else None
    return Call(number, stream, words, prompt, pace_ms, leaves_ms)


class Traffic:
    """Calls of some clients at once, numbered from `first` on.

    `url` may change while they call. Use it as a context manager: at its end all calls have ended.
    """

    def __init__(
        self,
        url: str,
        key: str,
        draw: Callable[[int], Call],
        tick: Tick,
        *,
        clients: int = CLIENTS,
        first: int = 0,
    ) -> None:
        self.url = url
        self.ended: list[tuple[Call, Outcome]] = []
        self._authorization = {"authorization": f"Bearer {key}"}
        self._draw = draw
        self._clients = clients
        self._numbers = count(first)
        self._served_begun_s = 0.0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._tick = tick

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def more(self, calls: int) -> None:
        """Wait until so many more have ended."""
        wanted = len(self.ended) + calls
        self._until(lambda: len(self.ended) >= wanted, f"{calls} calls to end")

    def served_again(self) -> None:
        """Wait until a call is served that began after this."""
        now_s = time.monotonic()
        self._until(lambda: self._served_begun_s > now_s, "a call to be served again")

    def _until(self, true: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not true():
            if time.monotonic() > deadline_s or not self._thread.is_alive():
                raise BenchFailed(f"waited in vain for {what}")
            self._tick()
            time.sleep(_POLL_S)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=self._clients)
        async with httpx.AsyncClient(timeout=_PATIENCE_S, limits=limits) as client:
            await asyncio.gather(*(self._client(client) for _ in range(self._clients)))

    async def _client(self, client: httpx.AsyncClient) -> None:
        while not self._enough.is_set():
            call, began_s = self._draw(next(self._numbers)), time.monotonic()
            outcome = await self._outcome(client, call)
            self.ended.append((call, outcome))
            if outcome is Outcome.SERVED:
                self._served_begun_s = max(self._served_begun_s, began_s)
            if outcome in (Outcome.FAILED, Outcome.REFUSED):
                await asyncio.sleep(_PAUSE_S)

    async def _outcome(self, client: httpx.AsyncClient, call: Call) -> Outcome:
        try:
            async with asyncio.timeout(None if call.leaves_ms is None else call.leaves_ms / 1000):
                return await self._answer(client, call)
        except TimeoutError:
            return Outcome.LEFT
        except httpx.HTTPError:
            return Outcome.FAILED

    async def _answer(self, client: httpx.AsyncClient, call: Call) -> Outcome:
        url, headers = f"{self.url}/v1/chat/completions", {**self._authorization, **call.headers}
        async with client.stream("POST", url, json=call.body, headers=headers) as reply:
            said = await reply.aread()
        if reply.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.UNAUTHORIZED):
            return Outcome.REFUSED
        whole = said.count(WORD.strip()) == call.words and (b"[DONE]" in said or not call.stream)
        served = reply.status_code == httpx.codes.OK and whole
        return Outcome.SERVED if served else Outcome.FAILED
