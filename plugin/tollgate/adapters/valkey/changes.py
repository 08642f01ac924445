"""Hearing of changes: a subscription that proves itself alive, over and over, for as long as the worker runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import NoReturn, Protocol

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from tollgate.adapters.valkey.keys import CHANGES_CHANNEL

STALE_AFTER_S = 1.0
"""How long one proof counts (design.md section 7: a change is known everywhere within a second)."""
_PROBE_EVERY_S = 0.4  # two probes fit in a second, so one slow answer does not empty the cache
_RETRY_AFTER_S = 0.2


class Listener(Protocol):
    """Who is told: see CachedDirectory."""

    def started(self) -> None: ...

    def changed(self, reference: str) -> None: ...

    def fresh_until(self, instant_s: float) -> None: ...


class _Lost(Exception):
    """This subscription cannot be trusted any more."""


async def follow(client: Redis, listener: Listener) -> NoReturn:
    """Tell the listener of every change, until cancelled. While the store is away nothing is told, and proofs run out."""
    while True:
        with suppress(RedisError, OSError, TimeoutError, _Lost):
            async with client.pubsub() as subscription:
                await _hear(subscription, listener)
        await asyncio.sleep(_RETRY_AFTER_S)


async def _hear(subscription: PubSub, listener: Listener) -> NoReturn:
    await subscription.subscribe(CHANGES_CHANNEL)
    asked_s: dict[bytes, float] = {}
    heard_s, next_probe_s, probe, subscribed = monotonic(), 0.0, 0, False
    while not _is_cancelled():
        now_s = monotonic()
        if now_s - heard_s > STALE_AFTER_S:
            raise _Lost
        if subscribed and now_s >= next_probe_s:
            probe += 1
            asked_s[str(probe).encode()] = now_s
            next_probe_s = now_s + _PROBE_EVERY_S
            await subscription.ping(str(probe))
        wait_s = next_probe_s - now_s if subscribed else _PROBE_EVERY_S
        message = await subscription.get_message(timeout=wait_s)
        if message is None:
            continue
        heard_s = monotonic()
        if message["type"] == "subscribe":
            if subscribed:
                # The client library connected anew behind our back; changes in between were not heard.
                raise _Lost
            subscribed = True
            listener.started()
        elif message["type"] == "message":
            listener.changed(message["data"].decode())
        elif message["type"] == "pong" and (instant_s := asked_s.pop(message["data"], None)) is not None:
            # Counted from the question: all changes before it were delivered before its answer, on the same connection.
            listener.fresh_until(instant_s + STALE_AFTER_S)
    raise asyncio.CancelledError


def _is_cancelled() -> bool:
    """Whether somebody wants this task to end. The client sends through `asyncio.wait_for`, which in Python 3.11 loses a
    cancellation that comes just as the sending is done (fixed in 3.12: python/cpython#86296)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
