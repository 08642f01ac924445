"""The streams of one HTTP/2 connection, and what is remembered of those that are closed (RFC 9113,
section 5.1).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from tollgate.adapters.envoy.grpc.frames import ConnectionFailed, ErrorCode

# Frames of a stream that we reset may be on their way still; of how many such streams that is
# remembered.
_REMEMBERED_STREAMS: Final = 1024


class Carried(Protocol):
    """What a stream carries, as the connection sees it."""

    def data(self, data: bytes) -> None:
        """A piece of the request's body has come."""

    def end(self, *, whole: bool) -> None:
        """Nothing more comes: the request is whole, or it is lost and nobody waits for an answer.

        Called once.
        """


class Stream:
    """One stream that is open, or half-closed by the client.

    `unacknowledged`: bytes whose flow-control credit was not given back; `remaining`: of the body
    by its content-length, -1 where it does not say; `unsent`, `trailers`: what waits for credit of
    the client's.
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
        """The client has said all."""
        self.half_closed = True
        if self.carried is not None:
            self.carried.end(whole=True)


class Streams:
    """By identifier: `open`, those that carry something; `reset`, those that we have ended before
    the client did; `closed`, all that were open lately.

    `last`: the highest that the client has used; `none_open`: set whenever there is none.
    """

    def __init__(self) -> None:
        self.open: dict[int, Stream] = {}
        self.last = 0
        self.reset: deque[int] = deque(maxlen=_REMEMBERED_STREAMS)
        self.closed: deque[int] = deque(maxlen=_REMEMBERED_STREAMS)
        self.none_open = asyncio.Event()

    def close(self, identifier: int) -> Stream:
        """Take one from those that are open."""
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
        """Wait for the end of all that are open, and of those that are opened meanwhile."""
        while self.open:
            self.none_open.clear()
            await self.none_open.wait()
