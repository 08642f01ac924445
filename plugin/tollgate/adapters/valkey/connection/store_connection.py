"""What our own connections to the store do alike."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from time import monotonic
from typing import Any, cast

import libvalkey


class StoreConnection(asyncio.Protocol, ABC):
    """One connection: reads replies, and ends when it is lost or hears what is no reply.

    Subclasses take each reply in `take`. `heard_s` is when the store was last heard, by the
    monotonic clock. `error_type` is the class of replies in which the store reports an error.
    """

    def __init__(self, error_type: type[Exception] = libvalkey.ReplyError) -> None:
        self.heard_s = 0.0
        self.loop = asyncio.get_running_loop()
        self._reader = libvalkey.Reader(replyError=error_type)
        self._transport: asyncio.Transport | None = None

    @abstractmethod
    def take(self, reply: Any) -> None:
        """Take one reply. Replies come in the order of what was sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports share no base class with asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.heard_s = monotonic()

    def data_received(self, data: bytes) -> None:
        self.heard_s = monotonic()
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self.take(reply)
        except libvalkey.ProtocolError as error:
            self.end(f"it answered what is no reply: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(f"the connection was lost: {exc or 'closed by the store'}")

    def send(self, data: bytes) -> None:
        """Send, if there is a connection."""
        if self._transport is not None:
            self._transport.write(data)

    def end(self, why: str) -> None:  # noqa: ARG002 - subclasses report it
        """Close the connection at once. It may be called more than once."""
        if self._transport is not None:
            self._transport.abort()
