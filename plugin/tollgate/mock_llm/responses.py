"""OpenAI's Responses dialect: one JSON object, or its events (OpenAI API reference: responses, responses-streaming)."""

from __future__ import annotations

import time
from itertools import repeat
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from tollgate.mock_llm.calls import EVENT_STREAM, Call, Reply, Stream, decode
from tollgate.mock_llm.words import Answer, answer, input_tokens, model_json, text_bytes

_RESPONSE = b'{"id":"resp_%b","object":"response","created_at":%d,"status":"%b","incomplete_details":%b,"model":%b,"output":[%b],"usage":%b}'
_MESSAGE = (
    b'{"id":"msg_%b","type":"message","status":"completed","role":"assistant",'
    b'"content":[{"type":"output_text","text":"%b","annotations":[]}]}'
)
_USAGE = (
    b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":0},"output_tokens":%d,'
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


def responses(call: Call) -> Reply:
    """POST /v1/responses."""
    body = decode(_DECODER, call.body)
    said = answer(call.controls, (body.max_output_tokens,))
    whole = _response(call, body, said, _MESSAGE % (call.id.encode(), said.text))
    if body.stream is not True:
        return whole
    begun = _RESPONSE % (call.id.encode(), time.time(), b"in_progress", b"null", model_json(body.model), b"", b"null")
    ending = b"response.incomplete" if said.truncated else b"response.completed"
    word = _event(b"response.output_text.delta", b'"output_index":0,"content_index":0,"delta":"%b"' % said.word)
    return Stream(
        content_type=EVENT_STREAM,
        opening=_event(b"response.created", b'"response":' + begun),
        words=repeat(word, said.words),
        count=said.words,
        closing=_event(ending, b'"response":' + whole),
    )


def _response(call: Call, body: _Body, said: Answer, message: bytes) -> bytes:
    tokens = input_tokens(text_bytes(body.instructions, body.input))
    usage = _USAGE % (tokens, said.words, tokens + said.words) if call.controls.usage else b"null"
    status, details = b"completed", b"null"
    if said.truncated:
        status, details = b"incomplete", b'{"reason":"max_output_tokens"}'
    return _RESPONSE % (call.id.encode(), time.time(), status, details, model_json(body.model), message, usage)


def _event(kind: bytes, fields: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b",%b}\n\n' % (kind, kind, fields)
