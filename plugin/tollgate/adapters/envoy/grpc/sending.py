"""Send on one HTTP/2 connection within the client's flow-control windows (RFC
9113, section 5.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tollgate.adapters.envoy.grpc import frames
from tollgate.adapters.envoy.grpc.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    LARGEST,
    NUMBER,
    RST_STREAM,
    WINDOW_UPDATE,
    ConnectionFailed,
    ErrorCode,
    StreamFailed,
    frame,
)
from tollgate.adapters.envoy.grpc.streams import Stream, Streams

# Unsent answers beyond the first bound withhold credit from the client; beyond the second they end
# the connection.
_CONGESTED_BYTES: Final = 1024 * 1024
_MOST_UNSENT_BYTES: Final = 64 * 1024 * 1024


class Sender:
    """The sending half of a connection.

    `transport`: None before the connection is made and after it has ended.
    """

    def __init__(self, streams: Streams, relieved: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.initial_window = frames.DEFAULT_WINDOW
        self.max_frame = frames.DEFAULT_FRAME_BYTES
        self._window = frames.DEFAULT_WINDOW
        self._unsent = 0
        self._streams = streams
        self._relieved = relieved

    @property
    def congested(self) -> bool:
        """Return whether much is waiting for the client's credit; `relieved` is
        called when that ends.
        """
        return self._unsent > _CONGESTED_BYTES

    def send(self, identifier: int, fields: bytes, body: bytes, trailers: bytes) -> bool:
        """Send part of a response. Header blocks may be empty; trailers end the stream.

        Returns False if nobody waits for it.
        """
        stream = self._streams.open.get(identifier)
        if stream is None or self.transport is None:
            return False
        size = len(body)
        out = (
            [HEAD.pack(len(fields) << 8 | HEADERS, END_HEADERS, identifier), fields]
            if fields
            else []
        )
        if stream.unsent or size > self.max_frame or size > self._window or size > stream.window:
            self.write(b"".join(out))
            stream.unsent += body
            stream.trailers = trailers
            self._unsent += size
            self._flush(identifier, stream)
            if self._unsent > _MOST_UNSENT_BYTES:
                self.fail(ErrorCode.ENHANCE_YOUR_CALM)
            return self.transport is not None
        if size:
            self._window -= size
            stream.window -= size
            out += (HEAD.pack(size << 8 | DATA, 0, identifier), body)
        if trailers:
            out += self._last_frames(identifier, stream, trailers)
        self.transport.write(b"".join(out))
        return True

    def write(self, data: bytes) -> None:
        """Send whole frames."""
        if data and self.transport is not None:
            self.transport.write(data)

    def acknowledge(self, identifier: int, size: int) -> None:
        """Return flow-control credit for a stream, or for the connection (0)."""
        self.write(frame(WINDOW_UPDATE, 0, identifier, NUMBER.pack(size)))

    def credit(self, identifier: int, more: int) -> None:
        """Take the client's credit for a stream, or for the connection (0)."""
        if identifier == 0:
            self._window += more
            if not more or self._window > LARGEST:
                code = ErrorCode.FLOW_CONTROL_ERROR if more else ErrorCode.PROTOCOL_ERROR
                raise ConnectionFailed(code, "no credit, or too much")
            if self._unsent:
                self.flush()
        elif (stream := self._streams.open.get(identifier)) is not None:
            stream.window += more
            if not more or stream.window > LARGEST:
                raise StreamFailed(
                    identifier, ErrorCode.FLOW_CONTROL_ERROR if more else ErrorCode.PROTOCOL_ERROR
                )
            if stream.unsent:
                self._flush(identifier, stream)
        else:
            self._streams.check_not_idle(identifier)

    def set_initial_window(self, size: int) -> None:
        """Apply the client's initial window to all streams, including open ones (section 6.9.2)."""
        if size > LARGEST:
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large")
        for stream in self._streams.open.values():
            stream.window += size - self.initial_window
            if stream.window > LARGEST:
                raise ConnectionFailed(
                    ErrorCode.FLOW_CONTROL_ERROR, "a window has become too large"
                )
        self.initial_window = size

    def flush(self) -> None:
        """Send what is unsent on all streams, as far as the windows allow."""
        for identifier, stream in list(self._streams.open.items()):
            if stream.unsent:
                self._flush(identifier, stream)

    def reset(self, identifier: int, code: ErrorCode) -> None:
        """Reset a stream with an error."""
        self.lose(identifier)
        self._streams.reset.append(identifier)
        self.write(frame(RST_STREAM, 0, identifier, NUMBER.pack(code)))

    def lose(self, identifier: int) -> None:
        """Forget an open stream whose response nobody waits for."""
        if identifier in self._streams.open:
            stream = self._streams.close(identifier)
            self._unsent -= len(stream.unsent)
            if stream.carried is not None and not stream.half_closed:
                stream.carried.end(whole=False)

    def go_away(self, last: int, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Send GOAWAY: the client must open no more streams, and `last` is the last that may be
        answered.
        """
        self.write(frame(GOAWAY, 0, 0, NUMBER.pack(last) + NUMBER.pack(code)))

    def fail(self, code: ErrorCode) -> None:
        """End the connection with an error; nothing more is sent."""
        self.go_away(self._streams.last, code)
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close()

    def _flush(self, identifier: int, stream: Stream) -> None:
        out, congested = [], self.congested
        while (size := min(len(stream.unsent), self._window, stream.window, self.max_frame)) > 0:
            out.append(frame(DATA, 0, identifier, bytes(stream.unsent[:size])))
            del stream.unsent[:size]
            self._unsent -= size
            self._window -= size
            stream.window -= size
        if stream.trailers and not stream.unsent:
            out += self._last_frames(identifier, stream, stream.trailers)
        self.write(b"".join(out))
        if congested and not self.congested:
            self._relieved()

    def _last_frames(self, identifier: int, stream: Stream, trailers: bytes) -> list[bytes]:
        """Return the frames that end a stream.

        A stream that the client has not ended is reset, since the rest of it is not needed (section
        8.1).
        """
        self._streams.close(identifier)
        last = [frame(HEADERS, END_HEADERS | END_STREAM, identifier, trailers)]
        if not stream.half_closed:
            self._streams.reset.append(identifier)
            last.append(frame(RST_STREAM, 0, identifier, NUMBER.pack(ErrorCode.NO_ERROR)))
        return last
