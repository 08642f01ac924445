"""Hostile tenants: what each sends, and the program that sends it.

A program of its own, so that an attack shares no interpreter with the good tenant whose latency is
measured: `python -m tests.chaos.attacks NAME URL KEY SECONDS` prints one line of JSON, the number
of replies by status. Status 0: the connection ended without a reply, or the client hung up.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import typer
from tests.chaos.provider import CALL
from tests.chaos.traffic import MODEL, OUTPUT_LIMIT
from tests.load.hasty import in_pieces, status_of

NUMBER = 99_999
"""The number of every call of an attacker; those of the good tenant count from 0."""
_MEMBERS = 1_000_000
_LONG_BYTES = 1024 * 1024
_DRIPPED_BYTES = 33_000_000
_LATENCY_MS = 200
_LEAST_PRIORITY = 19


class Who(StrEnum):
    """Whose key an attacker holds: one with money, one whose budget is spent, or none of ours."""

    SOLVENT = "solvent"
    SPENT = "spent"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of attack.

    `drip_s`: seconds between two bytes of the body; None sends it at once. `leaves_s`: when the
    client hangs up; None waits for the reply.
    """

    name: str
    who: Who
    connections: int
    body: Callable[[], bytes]
    drip_s: float | None = None
    leaves_s: float | None = None


def _short() -> bytes:
    return _call("hi")


def _long() -> bytes:
    return _call("say " * (_LONG_BYTES // 4))


def _many_members() -> bytes:
    more = ",".join(f'"k{each}":1' for each in range(_MEMBERS))
    return _call("hi")[:-1] + b"," + more.encode() + b"}"


def _dripped() -> bytes:
    return b"{" + b" " * (_DRIPPED_BYTES - 1)


def _call(content: str) -> bytes:
    messages = [{"role": "user", "content": content}]
    named = {"model": MODEL, "user": f"{CALL}{NUMBER}", "messages": messages}
    return json.dumps({**named, "max_tokens": OUTPUT_LIMIT}).encode()


ATTACKS = (
    Attack("bodies of 12 MB, spent key", Who.SPENT, 3, _many_members),
    Attack("bodies of 12 MB, good key", Who.SOLVENT, 3, _many_members),
    Attack("dripping bodies", Who.SOLVENT, 60, _dripped, drip_s=1.0),
    # Long enough for admission, shorter than the provider takes.
    Attack("aborted calls", Who.SOLVENT, 8, _short, leaves_s=0.05),
    Attack("wrong keys", Who.WRONG, 8, _short),
    Attack("wrong keys, bodies of 1 MB", Who.WRONG, 8, _long),
)


async def attack_for(attack: Attack, url: str, key: str, seconds: float) -> Counter[int]:
    """Attack for so many seconds; return the number of replies by status."""
    replies: Counter[int] = Counter()
    body = attack.body()
    request = _head(url, key, len(body)) + body

    until_s = time.monotonic() + seconds

    async def attacker() -> None:
        # Not for ever: a call that is being ended when its attacker is cancelled ends as usual.
        while time.monotonic() < until_s:
            pieces = in_pieces(request) if attack.drip_s is None else _drip(request, attack.drip_s)
            replies[await status_of(url, pieces, attack.leaves_s)] += 1

    running = [asyncio.create_task(attacker()) for _ in range(attack.connections)]
    await asyncio.sleep(seconds)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return replies


def _head(url: str, key: str, body_bytes: int) -> bytes:
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        f"host: {urlsplit(url).netloc}",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        f"x-mock-latency-ms: {_LATENCY_MS}",
        f"content-length: {body_bytes}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


async def _drip(request: bytes, every_s: float) -> AsyncIterator[bytes]:
    """Yield the head, and then the body byte by byte."""
    at = request.index(b"\r\n\r\n") + 4
    yield request[:at]
    for place in range(at, len(request)):
        yield request[place : place + 1]
        await asyncio.sleep(every_s)


def main(
    name: Annotated[str, typer.Argument()],
    url: Annotated[str, typer.Argument()],
    key: Annotated[str, typer.Argument()],
    seconds: Annotated[float, typer.Argument()],
) -> None:
    """Attack, and say what came of it."""
    # Attackers have machines of their own; here they get what the gateway leaves.
    os.nice(_LEAST_PRIORITY)
    attack = next(each for each in ATTACKS if each.name == name)
    print(json.dumps(asyncio.run(attack_for(attack, url, key, seconds))))


if __name__ == "__main__":
    typer.run(main)
