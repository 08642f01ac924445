"""Bedrock's dialect: converse and invoke, their event streams, and errors (Amazon Bedrock API
reference).

Answers of invoke have Claude's format, matching the body that it accepts.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping
from itertools import repeat
from typing import Any
from zlib import crc32

from msgspec import Struct, field
from msgspec.json import Decoder, encode

from tollgate.mock_llm.apis import anthropic
from tollgate.mock_llm.protocol_values import MockCall, MockStream, Reply, decode
from tollgate.mock_llm.words import MockAnswer, answer, input_tokens, text_bytes

PATH = b"/model/"
_EVENT_STREAM = b"application/vnd.amazon.eventstream"
_STRING = 7  # the type code of a header's value


class _Body(Struct):
    """The fields of a request that the mock reads. Any of them may hold anything."""

    system: Any = None
    messages: Any = None
    inference: Any = field(default=None, name="inferenceConfig")
    max_tokens: Any = None


_DECODER = Decoder(_Body)


def converse(call: MockCall) -> Reply:
    """POST /model/{id}/converse."""
    body, said = _converse(call)
    content = b'{"message":{"role":"assistant","content":[{"text":"%b"}]}}' % said.text
    return b'{"output":%b,"stopReason":"%b"%b,"metrics":{"latencyMs":1}}' % (
        content,
        _stop(said),
        _usage(call, body, said),
    )


def converse_stream(call: MockCall) -> Reply:
    """POST /model/{id}/converse-stream: the last event, `metadata`, carries the usage."""
    body, said = _converse(call)
    metadata = b'{"metrics":{"latencyMs":1}%b}' % _usage(call, body, said)
    return MockStream(
        content_type=_EVENT_STREAM,
        opening=_frame("messageStart", b'{"role":"assistant"}'),
        words=repeat(
            _frame(
                "contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"%b"}}' % said.word
            ),
            said.words,
        ),
        count=said.words,
        closing=_frame("contentBlockStop", b'{"contentBlockIndex":0}')
        + _frame("messageStop", b'{"stopReason":"%b"}' % _stop(said))
        + _frame("metadata", metadata),
    )


def invoke(call: MockCall) -> Reply:
    """POST /model/{id}/invoke."""
    return anthropic.messages(call)


def invoke_stream(call: MockCall) -> Reply:
    """POST /model/{id}/invoke-with-response-stream: Claude's events in base64; the last one carries
    the metrics.
    """
    body = decode(_DECODER, call.body)
    said = answer(call.controls, (body.max_tokens,))
    tokens = input_tokens(text_bytes(body.system, body.messages))
    metrics: Mapping[str, int] = {"inputTokenCount": tokens, "outputTokenCount": said.words}
    stop: dict[str, Any] = {"type": "message_stop"}
    if call.controls.usage:
        stop["amazon-bedrock-invocationMetrics"] = metrics
    word = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": said.word.decode()},
    }
    return MockStream(
        content_type=_EVENT_STREAM,
        opening=_chunk({"type": "message_start", "message": {"role": "assistant", "content": []}}),
        words=repeat(_chunk(word), said.words),
        count=said.words,
        closing=_chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
        + _chunk(stop),
    )


def error(_status: int, message: str, _request_id: str) -> bytes:
    """AWS's error body."""
    return encode({"message": message})


def _converse(call: MockCall) -> tuple[_Body, MockAnswer]:
    body = decode(_DECODER, call.body)
    config = body.inference if isinstance(body.inference, dict) else {}
    return body, answer(call.controls, (config.get("maxTokens"),))


def _usage(call: MockCall, body: _Body, said: MockAnswer) -> bytes:
    if not call.controls.usage:
        return b""
    tokens = input_tokens(text_bytes(body.system, body.messages))
    return b',"usage":{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d}' % (
        tokens,
        said.words,
        tokens + said.words,
    )


def _stop(said: MockAnswer) -> bytes:
    if said.truncated:
        return b"max_tokens"
    return b"end_turn"


def _chunk(event: Mapping[str, Any]) -> bytes:
    return _frame("chunk", b'{"bytes":"%b"}' % b64encode(encode(event)))


def _frame(kind: str, payload: bytes) -> bytes:
    """Return one message: lengths and their checksum, headers, payload, and the checksum of all
    (AWS: event stream encoding).
    """
    headers = b"".join(
        struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value
        for name, value in (
            (b":event-type", kind.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return head + struct.pack(">I", crc32(head))
