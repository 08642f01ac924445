"""Validate the header fields of a request (RFC 9113, section 8; grpc.io, "gRPC over HTTP2")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_NEEDED: Final = frozenset({b":method", b":scheme", b":path"})
# Connection-specific fields of HTTP/1.1 (section 8.2.2).
_CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


class Malformed(Exception):
    """The fields are no valid request: a stream error of type PROTOCOL_ERROR (section 8.1.1)."""


class RequestHead(Struct, frozen=True):
    """A request's head. `length`: of its body in bytes, or -1 if not given."""

    path: str
    encoding: str
    length: int


def request_of(fields: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    """Read the fields of a request. Raises Malformed."""
    pseudo: dict[bytes, bytes] = {}
    encoding, length, regular = "", -1, False
    for name, value in fields:
        if name.startswith(b":"):
            if regular or name not in _PSEUDO or name in pseudo:
                raise Malformed(name)
            pseudo[name] = value
            continue
        regular = True
        _check(name, value)
        if name == b"grpc-encoding":
            encoding = value.decode("latin-1")
        elif name == b"content-length":
            length = _length(value)
    if not pseudo.keys() >= _NEEDED or not pseudo[b":path"]:
        raise Malformed("a pseudo-header field is missing")
    return RequestHead(pseudo[b":path"].decode("latin-1"), encoding, length)


def check_trailers(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Check that trailers contain no pseudo-header field. Raises Malformed."""
    for name, value in fields:
        if name.startswith(b":"):
            raise Malformed(name)
        _check(name, value)


def _check(name: bytes, value: bytes) -> None:
    if (
        name != name.lower()
        or name in _CONNECTION_SPECIFIC
        or (name == b"te" and value != b"trailers")
    ):
        raise Malformed(name)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise Malformed(value)
    return int(value)
