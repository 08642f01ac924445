"""Decompress a reply as it passes, in bounded steps and with a bound on the total."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # the wheel ships no types
from backports import zstd

# Output of one step: memory per reply stays near it, however well the reply was compressed.
STEP_BYTES = 64 * 1024
# Output of one reply. The largest legitimate replies (embeddings of a batch, images in base64) stay
# below; a decompression bomb does not.
MAX_DECODED_BYTES = 64 * 1024 * 1024
# RFC 8878 section 3.1.1.1.2 recommends that decoders support windows of 8 MB and reject
# unreasonable ones.
ZSTD_WINDOW_LOG_MAX = 23
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_DOCUMENT = b"{["


class Decoder(Protocol):
    """A decoder for one content coding."""

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what the chunk decodes to, at most STEP_BYTES at a time.

        Raises DecodeError for damaged bytes.
        """
        ...


class DecodeError(Exception):
    """The bytes do not match their content coding, or decode to more than is allowed."""


class Identity:
    """The decoder for no content coding."""

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Zlib:
    """The decoder for gzip (also with several members) and deflate, with or without the zlib
    header, which some servers omit.
    """

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._head: bytes | None = b""

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        if self._head is not None:
            chunk = self._head + chunk
            if len(chunk) < 2:
                self._head = chunk
                return
            self._head = None
            if chunk[0] in _DOCUMENT:
                # As raw deflate it would begin with a byte above ASCII, so it is plain JSON.
                raise zlib.error("is not compressed")
            if not _has_header(chunk):
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while chunk:
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            piece = self._inflater.decompress(chunk, STEP_BYTES)
            chunk = (
                self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            )
            if piece:
                yield piece
            elif not self._inflater.eof and not chunk:
                return


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        piece = self._decompressor.process(chunk, output_buffer_limit=STEP_BYTES)
        while piece or not self._decompressor.can_accept_more_data():
            yield piece
            piece = self._decompressor.process(b"", output_buffer_limit=STEP_BYTES)


class _Zstd:
    def __init__(self) -> None:
        self._decompressor = _zstd()

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        while True:
            if self._decompressor.eof:
                if not chunk:
                    return
                self._decompressor = _zstd()
            piece = self._decompressor.decompress(chunk, STEP_BYTES)
            chunk = self._decompressor.unused_data if self._decompressor.eof else b""
            if piece:
                yield piece
            if self._decompressor.needs_input and not self._decompressor.eof:
                return


class BoundedDecoder:
    """A decoder that raises DecodeError for damaged bytes or beyond MAX_DECODED_BYTES."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._left_bytes = MAX_DECODED_BYTES

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        try:
            for piece in self._decoder.decode(chunk):
                self._left_bytes -= len(piece)
                if self._left_bytes < 0:
                    raise DecodeError(f"decodes to more than {MAX_DECODED_BYTES} bytes")
                yield piece
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise DecodeError(str(error)) from error


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": _Zlib,
    "x-gzip": _Zlib,
    "deflate": _Zlib,
    "br": _Brotli,
    "zstd": _Zstd,
}


def find_decoder(content_encoding: str) -> Decoder | None:
    """Return the decoder for a `content-encoding` header.

    None for an unknown coding, or for several codings on top of each other.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return Identity()
    if len(codings) > 1 or codings[0] not in _DECODERS:
        return None
    return BoundedDecoder(_DECODERS[codings[0]]())


def _has_header(head: bytes) -> bool:
    """Return whether bytes begin with a gzip (RFC 1952) or zlib (RFC 1950: method and check mod 31)
    header; raw deflate never does.
    """
    return head[:2] == b"\x1f\x8b" or (head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0)


def _zstd() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
    )
