"""Write a stream: turn events into HTTP chunks (cut, compressed, split) and send them at a pace.

The pace never exceeds what the reader can take.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from tollgate.mock_llm.controls import Controls
from tollgate.mock_llm.protocol_values import MockStream

LAST_CHUNK = b"0\r\n\r\n"
# zlib: 15 bits of window, plus 16 for the gzip wrapper.
GZIP_WINDOW = 31
# Most bytes joined into one write of an unpaced stream: asyncio's own high-water mark.
_BATCH_BYTES = 64 * 1024

T = TypeVar("T")


def is_cut(stream: MockStream, controls: Controls) -> bool:
    """Return whether the connection ends before the stream does."""
    return controls.cut is not None and controls.cut <= stream.count


def pieces(stream: MockStream, controls: Controls) -> Iterator[tuple[bytes, bool]]:
    """Yield the bytes to send, one item per beat of the pace, and whether it is the last item."""
    complete = not is_cut(stream, controls)
    parts = _events(stream, controls.cut, complete)
    if controls.gzip:
        parts = _compressed(parts, complete)
    if controls.split is not None:
        parts = _resliced(parts, controls.split)
    for part, last in _with_last(parts):
        yield chunk(part) + (LAST_CHUNK if last and complete else b""), last


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked HTTP body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _events(stream: MockStream, cut: int | None, complete: bool) -> Iterator[bytes]:
    # An empty chunk would end the HTTP body.
    if stream.opening:
        yield stream.opening
    yield from stream.words if complete else islice(stream.words, cut)
    if complete:
        yield stream.closing


def _compressed(parts: Iterable[bytes], complete: bool) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=GZIP_WINDOW)
    for part, last in _with_last(parts):
        flush = zlib.Z_FINISH if last and complete else zlib.Z_SYNC_FLUSH
        yield compressor.compress(part) + compressor.flush(flush)


def _resliced(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        rest += part
        whole = len(rest) - len(rest) % size
        yield from (rest[at : at + size] for at in range(0, whole, size))
        rest = rest[whole:]
    if rest:
        yield rest


def _with_last(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Yield each item with whether it is the last.

    The end of a stream is thus sent with the last item and costs no beat of its own.
    """
    rest = iter(items)
    for held in rest:
        for item in rest:
            yield held, False
            held = item
        yield held, True


class Pump:
    """Writes the pieces of one stream, beat by beat, then calls `done`; writes
    nothing while paused.
    """

    def __init__(
        self,
        stream: MockStream,
        controls: Controls,
        write: Callable[[bytes], None],
        done: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces = pieces(stream, controls)
        self._pace_s = controls.chunk_ms / 1000
        # Pieces that were requested separately must not be joined again.
        self._batch_bytes = _BATCH_BYTES if not controls.chunk_ms and controls.split is None else 1
        self._write = write
        self._done = done
        self._beat_s = self._loop.time()
        self._paused = False
        self._next: asyncio.Handle | None = self._loop.call_soon(self._turn)

    def pause(self) -> None:
        """Pause at the next beat: the reader is behind."""
        self._paused = True

    def resume(self) -> None:
        """Resume."""
        self._paused = False
        if self._next is None:
            self._turn()

    def cancel(self) -> None:
        """Stop for good: the reader is gone."""
        if self._next is not None:
            self._next.cancel()

    def _turn(self) -> None:
        self._next = None
        if self._paused:
            return
        batch, ended = self._batch()
        self._write(batch)
        if ended:
            self._done()
            return
        # Scheduled from beat to beat, so that a pace of 10 ms means a hundred a second; a reader
        # who fell behind is not rushed.
        self._beat_s = max(self._beat_s + self._pace_s, self._loop.time())
        self._next = (
            self._loop.call_at(self._beat_s, self._turn)
            if self._pace_s
            else self._loop.call_soon(self._turn)
        )

    def _batch(self) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        size = 0
        for piece, last in self._pieces:
            parts.append(piece)
            size += len(piece)
            if last or size >= self._batch_bytes:
                return b"".join(parts), last
        return b"", True
