"""Track the streams of one HTTP/2 connection, including closed ones (RFC 9113, section 5.1)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from tollgate.adapters.envoy.grpc.frames import ConnectionFailed, ErrorCode

# Frames of a reset stream may still be under way; so many reset streams are remembered.
_REMEMBERED_STREAMS: Final = 1024


class Carried(Protocol):
    """What a stream carries, as the connection sees it."""

    def data(self, data: bytes) -> None:
        """Take a piece of the request's body."""

    def end(self, *, whole: bool) -> None:
        """Take the end: the request is complete, or lost so that nobody waits for an answer.

        Called once.
        """


class Stream:
    """A stream that is open, or half-closed by the client.

    - `unacknowledged`: bytes whose flow-control credit was not returned yet.
    - `remaining`: bytes of the body still expected by content-length; -1 without one.
    - `unsent`, `trailers`: what waits for the client's credit.
    """

    __slots__ = (
        "carried",
        "half_closed",
        "remaining",
        "trailers",
        "unacknowledged",
        "unsent",
        "window",
    )

    def __init__(self, window: int, remaining: int) -> None:
        self.carried: Carried | None = None
        self.window = window
        self.remaining = remaining
        self.unacknowledged = 0
        self.half_closed = False
        self.unsent = bytearray()
        self.trailers = b""

    def end(self) -> None:
        """Take the end of the client's half."""
        self.half_closed = True
        if self.carried is not None:
            self.carried.end(whole=True)


class Streams:
    """Streams by identifier.

    - `open`: those that carry something. `reset`: those that we ended before the client did.
      `closed`: recently open ones.
    - `last`: the highest identifier that the client has used.
    - `none_open`: set whenever none is open.
    """

    def __init__(self) -> None:
        self.open: dict[int, Stream] = {}
        self.last = 0
        self.reset: deque[int] = deque(maxlen=_REMEMBERED_STREAMS)
        self.closed: deque[int] = deque(maxlen=_REMEMBERED_STREAMS)
        self.none_open = asyncio.Event()

    def close(self, identifier: int) -> Stream:
        """Close an open stream and return it."""
        stream = self.open.pop(identifier)
        self.closed.append(identifier)
        if not self.open:
            self.none_open.set()
        return stream

    def check_not_idle(self, identifier: int) -> None:
        """Raise ConnectionFailed for a stream that the client never opened."""
        if identifier > self.last or not identifier & 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a stream that nobody opened")

    async def until_none_is_open(self) -> None:
        """Wait for the end of all open streams, including those opened meanwhile."""
        while self.open:
            self.none_open.clear()
            await self.none_open.wait()
