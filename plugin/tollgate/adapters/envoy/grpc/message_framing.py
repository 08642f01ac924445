"""Frame messages in the body of a call, each prefixed by its length.

See grpc.io, "gRPC over HTTP2" and "Compression in gRPC".
"""

from __future__ import annotations

import zlib
from typing import Final

from tollgate.adapters.envoy.grpc.call import Status

PREFIX_BYTES: Final = 5
_GZIP_BITS, _ZLIB_BITS = (
    31,
    15,
)  # zlib's window bits, with a gzip header or with zlib's own (HTTP's "deflate")
_WINDOW_BITS: Final = {"gzip": _GZIP_BITS, "deflate": _ZLIB_BITS}
ACCEPTED: Final = "identity,deflate,gzip"
"""The value of grpc-accept-encoding."""


class MessageRefused(Exception):
    """A message is refused: the call ends with this status."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


def framed(message: bytes) -> bytes:
    """Return a message as sent, uncompressed, since it stays on the same machine or network."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def inflated(message: bytes, encoding: str, most_bytes: int) -> bytes:
    """Return an inflated message of at most `most_bytes`. Raises MessageRefused."""
    if encoding in ("", "identity"):
        raise MessageRefused(
            Status.INTERNAL, "a message is compressed, and grpc-encoding does not say how"
        )
    if (bits := _WINDOW_BITS.get(encoding)) is None:
        raise MessageRefused(
            Status.UNIMPLEMENTED,
            f"messages compressed with {encoding!r} are not read; right are {ACCEPTED}",
        )
    reader = zlib.decompressobj(bits)
    try:
        found = reader.decompress(message, most_bytes + 1)
    except zlib.error as error:
        raise MessageRefused(Status.INTERNAL, f"a message is no {encoding}: {error}") from error
    if len(found) > most_bytes:
        raise too_long(len(found), most_bytes)
    if not reader.eof:
        raise MessageRefused(Status.INTERNAL, f"a message ends within its {encoding}")
    return found


def too_long(size: int, most_bytes: int) -> MessageRefused:
    """Return the refusal of a message of at least `size` bytes."""
    return MessageRefused(
        Status.RESOURCE_EXHAUSTED, f"a message of {size} bytes is longer than {most_bytes}"
    )
