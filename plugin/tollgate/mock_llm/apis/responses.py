"""OpenAI's Responses dialect: one JSON object, or its events (OpenAI API reference)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from tollgate.mock_llm.protocol_values import EVENT_STREAM, MockCall, MockStream, Reply, decode
from tollgate.mock_llm.words import MockAnswer, answer, input_tokens, model_json, text_bytes

_RESPONSE = (
    b'{"id":"resp_%b","object":"response","created_at":%d,"status":"%b","error":null,"incomplete_details":%b,'
    b'"instructions":null,"max_output_tokens":null,"metadata":{},"model":%b,"output":[%b],"parallel_tool_calls":true,'
    b'"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"usage":%b}'
)
_MESSAGE = b'{"id":"%b","type":"message","status":"%b","role":"assistant","content":[%b]}'
_PART = b'{"type":"output_text","text":"%b","annotations":[],"logprobs":[]}'
_USAGE = (
    b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":%d,'
    b'"output_tokens_details":{"reasoning_tokens":0},"total_tokens":%d}'
)


class _Body(Struct):
    """The fields of a request that the mock reads. Any of them may hold anything."""

    model: Any = None
    input: Any = None
    instructions: Any = None
    max_output_tokens: Any = None
    stream: Any = None


_DECODER = Decoder(_Body)


def responses(call: MockCall) -> Reply:
    """POST /v1/responses."""
    body = decode(_DECODER, call.body)
    said = answer(call.controls, (body.max_output_tokens,))
    message = _Message(f"msg_{call.id}".encode(), said)
    whole = _response(call, body, said, message.whole)
    if body.stream is True:
        return _stream(call, body, message, whole)
    return whole


@dataclass(frozen=True, slots=True)
class _Message:
    """The single item of a reply's output, and what its events report of it."""

    id: bytes
    said: MockAnswer

    @property
    def status(self) -> bytes:
        """Return the item's final status, equal to the reply's."""
        if self.said.truncated:
            return b"incomplete"
        return b"completed"

    @property
    def begun(self) -> bytes:
        """Return the item before its content."""
        return _MESSAGE % (self.id, b"in_progress", b"")

    @property
    def whole(self) -> bytes:
        """Return the complete item."""
        return _MESSAGE % (self.id, self.status, _PART % self.said.text)

    @property
    def place(self) -> bytes:
        """Return the location of the text, which each text event repeats."""
        return b'"item_id":"%b","output_index":0,"content_index":0' % self.id


def _stream(call: MockCall, body: _Body, message: _Message, whole: bytes) -> MockStream:
    said, place = message.said, message.place
    begun = _RESPONSE % (
        call.id.encode(),
        time.time(),
        b"in_progress",
        b"null",
        model_json(body.model),
        b"",
        b"null",
    )
    opening = (
        (b"response.created", b'"response":' + begun),
        (b"response.in_progress", b'"response":' + begun),
        (b"response.output_item.added", b'"output_index":0,"item":' + message.begun),
        (b"response.content_part.added", b'%b,"part":%b' % (place, _PART % b"")),
    )
    closing = (
        (b"response.output_text.done", b'%b,"logprobs":[],"text":"%b"' % (place, said.text)),
        (b"response.content_part.done", b'%b,"part":%b' % (place, _PART % said.text)),
        (b"response.output_item.done", b'"output_index":0,"item":' + message.whole),
        (b"response." + message.status, b'"response":' + whole),
    )
    word = b'%b,"logprobs":[],"delta":"%b"' % (place, said.word)
    first, after = len(opening), len(opening) + said.words
    return MockStream(
        content_type=EVENT_STREAM,
        opening=_events(opening, 0),
        words=(
            _event(b"response.output_text.delta", word, number) for number in range(first, after)
        ),
        count=said.words,
        closing=_events(closing, after),
    )


def _response(call: MockCall, body: _Body, said: MockAnswer, message: bytes) -> bytes:
    tokens = input_tokens(text_bytes(body.instructions, body.input))
    usage = _USAGE % (tokens, said.words, tokens + said.words) if call.controls.usage else b"null"
    status, details = b"completed", b"null"
    if said.truncated:
        status, details = b"incomplete", b'{"reason":"max_output_tokens"}'
    return _RESPONSE % (
        call.id.encode(),
        time.time(),
        status,
        details,
        model_json(body.model),
        message,
        usage,
    )


def _events(events: Iterable[tuple[bytes, bytes]], first: int) -> bytes:
    """Return consecutive events, numbered from `first`."""
    return b"".join(
        _event(kind, fields, number) for number, (kind, fields) in enumerate(events, first)
    )


def _event(kind: bytes, fields: bytes, number: int) -> bytes:
    return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (
        kind,
        kind,
        number,
        fields,
    )
