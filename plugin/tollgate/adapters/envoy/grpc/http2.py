"""Implement the server side of one HTTP/2 connection (RFC 9113): incoming frames.

Not a library: grpcio spends 285 us on a unary call and 71 us on a message of a stream (700 bytes,
sixteen at once), in threads that wake each other and in tasks; this spends 23 and 15. It can be
short because its clients receive no server push and priorities may be ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from hpack import Decoder, HPACKError

from tollgate.adapters.envoy.grpc import frames
from tollgate.adapters.envoy.grpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    LARGEST,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFailed,
    ErrorCode,
    StreamFailed,
    frame,
)
from tollgate.adapters.envoy.grpc.header_fields import (
    Malformed,
    RequestHead,
    check_trailers,
    request_of,
)
from tollgate.adapters.envoy.grpc.sending import Sender
from tollgate.adapters.envoy.grpc.streams import Carried, Stream, Streams

# The connection's flow-control window; half of it is returned at a time.
_WINDOW: Final = 16 * 1024 * 1024
_HALF_WINDOW: Final = _WINDOW // 2
# A stream's flow-control window: the next call must not wait behind megabytes that are under way.
_STREAM_WINDOW: Final = 512 * 1024
_HALF_STREAM_WINDOW: Final = _STREAM_WINDOW // 2
_MOST_FIELD_BYTES: Final = 64 * 1024
_KNOWN_BLOCKS, _KNOWN_BLOCK_BYTES = 1024, 1024
_WRITE_BUFFER_BYTES: Final = 1024 * 1024

Opened = Callable[["Connection", int, RequestHead], Carried]


class Connection(asyncio.Protocol):
    """One connection.

    - `opened`: called with the connection, a stream's identifier and its request; returns what the
      stream carries.
    - `most_streams`: streams at once.
    - `header_table_bytes`: size of HPACK's dynamic table. Without one, equal header blocks have
      equal meaning, and each is decoded once.
    """

    def __init__(
        self,
        opened: Opened,
        closed: Callable[[Connection], None],
        most_streams: int,
        header_table_bytes: int = 0,
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._most_streams = most_streams
        self._header_table_bytes = header_table_bytes
        self._rest = b""
        self._greeted = False
        self._decoder = Decoder(max_header_list_size=_MOST_FIELD_BYTES)
        self._requests: dict[bytes, RequestHead] = {}
        self._streams = Streams()
        self._sender = Sender(self._streams, self._give_credit)
        self._open_block: tuple[int, int, bytes] | None = (
            None  # flags, stream and fields of a header block that CONTINUATION completes
        )
        self._unacknowledged = 0
        self.send = self._sender.send
        self._on_other: dict[int, Callable[[int, int, bytes], None]] = {
            RST_STREAM: self._on_rst_stream,
            SETTINGS: self._on_settings,
            PING: self._on_ping,
            PRIORITY: self._on_priority,
            GOAWAY: self._on_goaway,
            PUSH_PROMISE: self._on_push_promise,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's.
        made = self._sender.transport = cast("asyncio.Transport", transport)
        made.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        ours = (
            (frames.HEADER_TABLE_SIZE, self._header_table_bytes),
            (frames.MAX_CONCURRENT_STREAMS, self._most_streams),
            (frames.INITIAL_WINDOW_SIZE, _STREAM_WINDOW),
            (frames.MAX_HEADER_LIST_SIZE, _MOST_FIELD_BYTES),
        )
        self._sender.write(frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*each) for each in ours)))
        self._sender.acknowledge(0, _WINDOW - frames.DEFAULT_WINDOW)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.transport = None
        for identifier in list(self._streams.open):
            self._sender.lose(identifier)
        self._closed(self)

    def pause_writing(self) -> None:
        """Stop reading, since the client does not take what we send."""
        transport = self._sender.transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def resume_writing(self) -> None:
        """Resume reading."""
        transport = self._sender.transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            self._read(self._rest + data if self._rest else data)
        except ConnectionFailed as failed:
            self._sender.fail(failed.code)
        except HPACKError:
            self._sender.fail(ErrorCode.COMPRESSION_ERROR)

    async def drain(self) -> None:
        """Send GOAWAY, and wait for streams that are open or were begun before the
        client saw it.
        """
        self._sender.go_away(LARGEST)
        await self._streams.until_none_is_open()

    def close(self) -> None:
        """Close the connection."""
        if self._sender.transport is not None:
            self._sender.transport.close()

    def carries(self, identifier: int) -> bool:
        """Return whether a stream is open."""
        return identifier in self._streams.open

    # Frames
    # ----------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        at = 0
        if not self._greeted:
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._rest = data
                return
            if not data.startswith(PREFACE):
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "no HTTP/2")
            self._greeted = True
            at = len(PREFACE)
        end = len(data)
        while end - at >= 9 and self._sender.transport is not None:
            head, flags, stream = HEAD.unpack_from(data, at)
            if head >> 8 > frames.DEFAULT_FRAME_BYTES:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a frame is too long")
            stop = at + 9 + (head >> 8)
            if stop > end:
                break
            try:
                self._on_frame(head & 0xFF, flags, stream & LARGEST, data[at + 9 : stop])
            except StreamFailed as failed:
                self._sender.reset(failed.stream, failed.code)
            at = stop
        self._rest = data[at:]

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._open_block is not None and kind != CONTINUATION:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a block of fields is not continued")
        if kind == DATA:
            self._on_data(flags, stream, payload)
        elif kind == HEADERS:
            self._on_headers(flags, stream, frames.field_block(flags, payload))
        elif kind == WINDOW_UPDATE:
            self._sender.credit(stream, frames.number(payload, 4))
        elif kind == CONTINUATION:
            self._on_continuation(flags, stream, payload)
        elif (
            on_other := self._on_other.get(kind)
        ) is not None:  # unknown frame types are ignored (section 5.5)
            on_other(flags, stream, payload)

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._unacknowledged += len(payload)
        if self._unacknowledged >= _HALF_WINDOW:
            if self._unacknowledged > _WINDOW:
                raise ConnectionFailed(
                    ErrorCode.FLOW_CONTROL_ERROR, "more was sent than the connection's window"
                )
            if not self._sender.congested:
                self._sender.acknowledge(0, self._unacknowledged)
                self._unacknowledged = 0
        state = self._streams.open.get(stream)
        if state is None or state.half_closed:
            self._on_late_data(stream)
            return
        ended = flags & END_STREAM
        state.unacknowledged += len(payload)
        if state.unacknowledged >= _HALF_STREAM_WINDOW and not ended:
            self._give_stream_credit(stream, state)
        if flags & PADDED:
            payload = frames.unpadded(flags, payload)
        if state.remaining >= 0:
            _check_length(stream, state, len(payload), ended)
        if ended:
            state.half_closed = True  # the data may already trigger an answer
        if payload:
            cast("Carried", state.carried).data(payload)
        if ended:
            state.end()

    def _on_late_data(self, stream: int) -> None:
        """Handle DATA on a stream that the client has closed."""
        self._streams.check_not_idle(stream)
        if stream not in self._streams.reset:
            raise StreamFailed(stream, ErrorCode.STREAM_CLOSED)

    def _give_credit(self) -> None:
        """Return flow-control credit that was withheld while answers waited."""
        if self._unacknowledged >= _HALF_WINDOW:
            self._sender.acknowledge(0, self._unacknowledged)
            self._unacknowledged = 0
        for identifier, stream in self._streams.open.items():
            if stream.unacknowledged >= _HALF_STREAM_WINDOW and not stream.half_closed:
                self._give_stream_credit(identifier, stream)

    def _give_stream_credit(self, stream: int, state: Stream) -> None:
        if state.unacknowledged > _STREAM_WINDOW:
            raise StreamFailed(stream, ErrorCode.FLOW_CONTROL_ERROR)
        if not self._sender.congested:
            self._sender.acknowledge(stream, state.unacknowledged)
            state.unacknowledged = 0

    def _on_headers(self, flags: int, stream: int, block: bytes) -> None:
        if not stream & 1:
            raise ConnectionFailed(
                ErrorCode.PROTOCOL_ERROR, "a stream's identifier is none of a client's"
            )
        if not flags & END_HEADERS:
            self._open_block = (flags, stream, block)
        elif stream > self._streams.last:
            self._open(flags, stream, block)
        elif (state := self._streams.open.get(stream)) is not None:
            self._on_trailers(flags, stream, state, block)
        elif stream in self._streams.reset:
            self._decoder.decode(
                block, raw=True
            )  # the stream is closed, but the block may change the decoder's table
        elif stream in self._streams.closed:
            raise ConnectionFailed(ErrorCode.STREAM_CLOSED, "a stream that is closed goes on")
        else:
            raise ConnectionFailed(
                ErrorCode.PROTOCOL_ERROR, "a stream's identifier is not a new one"
            )

    def _open(self, flags: int, stream: int, block: bytes) -> None:
        self._streams.last = stream
        try:
            request = self._requests.get(block) or self._request(block)
        except Malformed as error:
            raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR) from error
        if len(self._streams.open) >= self._most_streams:
            raise StreamFailed(stream, ErrorCode.REFUSED_STREAM)
        if flags & END_STREAM and request.length > 0:
            raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR)
        state = self._streams.open[stream] = Stream(self._sender.initial_window, request.length)
        state.carried = self._opened(self, stream, request)
        if flags & END_STREAM and stream in self._streams.open:
            state.end()

    def _request(self, block: bytes) -> RequestHead:
        """Return the request of a header block.

        Envoy's blocks hardly differ; without a dynamic table, equal bytes have equal meaning.
        """
        request = request_of(self._decoder.decode(block, raw=True))
        if (
            self._decoder.header_table_size == 0
            and len(block) <= _KNOWN_BLOCK_BYTES
            and len(self._requests) < _KNOWN_BLOCKS
        ):
            self._requests[block] = request
        return request

    def _on_trailers(self, flags: int, stream: int, state: Stream, block: bytes) -> None:
        fields = self._decoder.decode(block, raw=True)
        if state.half_closed:
            raise StreamFailed(stream, ErrorCode.STREAM_CLOSED)
        try:
            check_trailers(fields)
        except Malformed as error:
            raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR) from error
        if not flags & END_STREAM or state.remaining > 0:
            raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR)
        state.end()

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._open_block is None or self._open_block[1] != stream:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "nothing to continue")
        first, _, block = self._open_block
        block += payload
        if len(block) > _MOST_FIELD_BYTES:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "fields are too long")
        self._open_block = None
        self._on_headers(first | flags & END_HEADERS, stream, block)

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        _on_connection(stream)
        if flags & ACK:
            if payload:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement says more")
            self._decoder.max_allowed_table_size = self._header_table_bytes
            return
        if len(payload) % SETTING.size:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a setting is cut")
        for name, value in SETTING.iter_unpack(payload):
            self._set(name, value)
        self._sender.write(frame(SETTINGS, ACK, 0))
        self._sender.flush()

    def _set(self, name: int, value: int) -> None:
        """Apply a client setting; unknown ones are ignored."""
        if name == frames.INITIAL_WINDOW_SIZE:
            self._sender.set_initial_window(value)
        elif name == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_BYTES <= value <= frames.LARGEST_FRAME_BYTES:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "no size for frames")
            self._sender.max_frame = value
        elif name == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "push is neither on nor off")

    def _on_rst_stream(self, _: int, stream: int, payload: bytes) -> None:
        frames.number(payload, 4)
        self._streams.check_not_idle(stream)
        self._sender.lose(stream)

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        _on_connection(stream)
        frames.number(payload, 8)
        if not flags & ACK:
            self._sender.write(frame(PING, ACK, 0, payload))

    def _on_priority(self, _: int, stream: int, payload: bytes) -> None:
        if stream == 0:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a priority of no stream")
        if len(payload) != 5:
            raise StreamFailed(stream, ErrorCode.FRAME_SIZE_ERROR)

    def _on_goaway(self, _: int, stream: int, __: bytes) -> None:
        _on_connection(stream)

    def _on_push_promise(self, *_: object) -> None:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a client cannot push")


def _check_length(stream: int, state: Stream, size: int, ended: int) -> None:
    """Check that a body has the length of its content-length (section 8.1.1)."""
    state.remaining -= size
    if state.remaining < 0 or (ended and state.remaining):
        raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR)


def _on_connection(stream: int) -> None:
    if stream != 0:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a frame of the connection names a stream")
