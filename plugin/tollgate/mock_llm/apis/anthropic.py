"""Anthropic's dialect: messages, streams, token counts and errors (Anthropic API reference)."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, encode

from tollgate.mock_llm.protocol_values import EVENT_STREAM, MockCall, MockStream, Reply, decode
from tollgate.mock_llm.words import MockAnswer, answer, input_tokens, model_json, text_bytes

_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_MESSAGE = (
    b'{"id":"msg_%b","type":"message","role":"assistant","model":%b,"content":%b,'
    b'"stop_reason":%b,"stop_sequence":null%b}'
)
_USAGE = (
    b',"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
    b'"output_tokens":%d,"service_tier":"standard"}'
)


class _Body(Struct):
    """The fields of a request that the mock reads. Any of them may hold anything."""

    model: Any = None
    system: Any = None
    messages: Any = None
    max_tokens: Any = None
    stream: Any = None


_DECODER = Decoder(_Body)


def messages(call: MockCall) -> Reply:
    """POST /v1/messages."""
    body = decode(_DECODER, call.body)
    said = answer(call.controls, (body.max_tokens,))
    if body.stream is True:
        return _stream(call, body, said)
    content = b'[{"type":"text","text":"%b"}]' % said.text
    usage = call.told(_USAGE % (_input_tokens(body), said.words))
    return _MESSAGE % (call.id.encode(), model_json(body.model), content, _stop_reason(said), usage)


def count_tokens(call: MockCall) -> Reply:
    """POST /v1/messages/count_tokens."""
    return b'{"input_tokens":%d}' % _input_tokens(decode(_DECODER, call.body))


def error(status: int, message: str, request_id: str) -> bytes:
    """Anthropic's error envelope."""
    kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return encode(
        {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    )


def _stream(call: MockCall, body: _Body, said: MockAnswer) -> MockStream:
    # The start reports a small output count; the delta's cumulative count overrides it.
    start_usage = call.told(_USAGE % (_input_tokens(body), min(1, said.words)))
    message = _MESSAGE % (call.id.encode(), model_json(body.model), b"[]", b"null", start_usage)
    delta_usage = call.told(b',"usage":{"output_tokens":%d}' % said.words)
    delta = b'{"stop_reason":%b,"stop_sequence":null}' % _stop_reason(said)
    word = _event(
        b"content_block_delta", b',"index":0,"delta":{"type":"text_delta","text":"%b"}' % said.word
    )
    return MockStream(
        content_type=EVENT_STREAM,
        opening=_event(b"message_start", b',"message":' + message)
        + _event(b"content_block_start", b',"index":0,"content_block":{"type":"text","text":""}')
        + _event(b"ping", b""),
        words=repeat(word, said.words),
        count=said.words,
        closing=_event(b"content_block_stop", b',"index":0')
        + _event(b"message_delta", b',"delta":%b%b' % (delta, delta_usage))
        + _event(b"message_stop", b""),
    )


def _event(kind: bytes, fields: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind, kind, fields)


def _input_tokens(body: _Body) -> int:
    return input_tokens(text_bytes(body.system, body.messages))


def _stop_reason(said: MockAnswer) -> bytes:
    if said.truncated:
        return b'"max_tokens"'
    return b'"end_turn"'
