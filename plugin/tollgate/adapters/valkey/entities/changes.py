"""Follow changes of entities through a subscription that continuously proves itself alive.

Not through the client library, whose proof takes half a millisecond of CPU, two and a half times a
second in every worker: more than a whole stream takes in native mode.

In a cluster the subscription is to the server of the entities, where changes are published: what
another one has heard proves nothing. Each proof reads a key there as well, which is refused once
the server has lost the entities' slot; only RESP3 lets a subscriber read
(https://valkey.io/topics/protocol/#resp3).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any, NoReturn, Protocol

import libvalkey

from tollgate import telemetry
from tollgate.adapters.valkey.connection.address import Command, StoreAddress, StoreKind, packed
from tollgate.adapters.valkey.connection.opening import locate
from tollgate.adapters.valkey.connection.store_connection import StoreConnection
from tollgate.adapters.valkey.keys import CHANGES_CHANNEL, ENTITIES_VERSION
from tollgate.core.errors import StoreUnavailable

STALE_AFTER_S = 1.0
"""Validity of one proof: a change is known everywhere within a second."""
_PROBE_EVERY_S = 0.4  # two probes fit in a second, so one slow answer does not empty the cache
_RETRY_AFTER_S = 0.2


class Listener(Protocol):
    """Receives changes; see CachedDirectory."""

    def started(self) -> None: ...

    def changed(self, reference: str) -> None: ...

    def fresh_until(self, instant_s: float) -> None: ...


async def follow(url: str, listener: Listener) -> NoReturn:
    """Report every change to the listener, until cancelled.

    While the store is unreachable nothing is reported, and proofs expire.
    """
    named = StoreAddress.of(url)
    make = _ClusterSubscription if named.kind is StoreKind.CLUSTER else _Subscription
    while True:
        subscription = make(listener, named.login)
        try:
            with suppress(OSError, TimeoutError, StoreUnavailable):
                async with asyncio.timeout(STALE_AFTER_S):
                    address = await locate(named, ENTITIES_VERSION, STALE_AFTER_S)
                    await address.dial(lambda given=subscription: given)  # type: ignore[misc] # each round its own
                await subscription.lost.wait()
                # Readiness must show the failure although no call has failed yet.
                telemetry.store_failed(
                    "changes", StoreUnavailable("the store tells of no changes any more")
                )
        finally:
            subscription.end("nobody follows it")
        await asyncio.sleep(_RETRY_AFTER_S)


class _Subscription(StoreConnection):
    """One connection. It is lost when it is closed, or silent for longer than a proof is valid.

    A process that was busy for so long has answers waiting that it has not read yet, and event
    loops may call timers before they read: then it judges at the next proof.
    """

    first: tuple[Command, ...] = ()

    def __init__(self, listener: Listener, login: tuple[Command, ...]) -> None:
        super().__init__()
        self.lost = asyncio.Event()
        self._listener = listener
        self._first = (*login, *self.first, ("SUBSCRIBE", CHANGES_CHANNEL))
        self._timer: asyncio.TimerHandle | None = None
        self._subscribed = False
        self._due_s = monotonic()
        self._probe = 0
        self._asked_s: dict[bytes, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(b"".join(map(packed, self._first)))
        self._prove()

    def end(self, why: str) -> None:
        """Give the connection up."""
        self.lost.set()
        if self._timer is not None:
            self._timer.cancel()
        super().end(why)

    def take(self, reply: Any) -> None:
        match reply:
            case [b"message", _, reference]:
                self._listener.changed(reference.decode())
            case [b"pong", probe]:
                self.proven(probe)
            case [b"subscribe", *_]:
                self._subscribed = True
                self._listener.started()
                self._prove()
            case libvalkey.ReplyError():
                self.end("the login was refused")

    def proven(self, probe: bytes) -> None:
        """Take the answer to a proof."""
        if (asked_s := self._asked_s.pop(probe, None)) is not None:
            # Counted from the question: the store delivered all earlier changes before its answer,
            # on the same connection.
            self._listener.fresh_until(asked_s + STALE_AFTER_S)

    def probes(self, probe: bytes) -> tuple[Command, ...]:
        """Return what asks for a proof."""
        return (("PING", probe),)

    def _prove(self) -> None:
        """Ask for the next proof, unless earlier ones are outstanding."""
        now_s = monotonic()
        if self._timer is not None:
            self._timer.cancel()
        was_busy = now_s - self._due_s > _PROBE_EVERY_S
        if now_s - self.heard_s > STALE_AFTER_S and not was_busy:
            self.end("silence")
            return
        if self._subscribed:
            self._probe += 1
            probe = b"proof %d" % self._probe
            self._asked_s[probe] = now_s
            self.send(b"".join(map(packed, self.probes(probe))))
        self._due_s = now_s + _PROBE_EVERY_S
        self._timer = self.loop.call_later(_PROBE_EVERY_S, self._prove)


class _ClusterSubscription(_Subscription):
    """A subscription to the server that the entities are on, lost when they are there no more."""

    first = (("HELLO", 3),)

    def take(self, reply: Any) -> None:
        if isinstance(reply, bytes):
            self.proven(reply)  # or a version, which is no proof
        else:
            super().take(reply)

    def probes(self, probe: bytes) -> tuple[Command, ...]:
        return ("GET", ENTITIES_VERSION), ("PING", probe)
