"""Define what a dialect takes and returns: a call, and a reply as JSON or as a stream's events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgspec import DecodeError
from msgspec.json import Decoder

from tollgate.core.errors import BadRequest
from tollgate.mock_llm.controls import Controls

EVENT_STREAM = b"text/event-stream; charset=utf-8"
JSON = b"application/json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MockCall:
    """A request that reached an API of the mock.

    `id` is the reply's `x-request-id`; `query` follows the question mark.
    """

    id: str
    path: bytes
    query: bytes
    body: bytes
    controls: Controls

    def told(self, usage: bytes) -> bytes:
        """Return the usage of the reply, or nothing where the request asks for none."""
        return usage * self.controls.usage


@dataclass(frozen=True, slots=True)
class MockStream:
    """A reply in events: the opening, `count` events of one word each, and the ending."""

    content_type: bytes
    opening: bytes
    words: Iterable[bytes]
    count: int
    closing: bytes


Reply = bytes | MockStream


def decode(decoder: Decoder[T], body: bytes) -> T:
    """Decode the fields of a body. Raises BadRequest if it is not a JSON object."""
    try:
        return decoder.decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not a JSON object that can be read: {error}") from error


def event(data: bytes) -> bytes:
    """Return one unnamed server-sent event."""
    return b"data: %b\n\n" % data
