"""Cohere's dialect: chat, its stream, embed and rerank, and its errors (Cohere API
reference, v2).
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, encode

from tollgate.mock_llm.protocol_values import EVENT_STREAM, MockCall, MockStream, Reply, decode
from tollgate.mock_llm.words import MockAnswer, answer, input_tokens, text_bytes

_TEMPLATE_TOKENS = 64  # Cohere's own words around a prompt, which are counted but not billed


class _Body(Struct):
    """The fields of a request that the mock reads. Any of them may hold anything."""

    messages: Any = None
    texts: Any = None
    max_tokens: Any = None
    stream: Any = None


_DECODER = Decoder(_Body)


def chat(call: MockCall) -> Reply:
    """POST /v2/chat."""
    body = decode(_DECODER, call.body)
    said = answer(call.controls, (body.max_tokens,))
    reason = b"MAX_TOKENS" if said.truncated else b"COMPLETE"
    usage = _usage(call, body, said)
    if body.stream is not True:
        message = b'{"role":"assistant","content":[{"type":"text","text":"%b"}]}' % said.text
        return b'{"id":"%b","finish_reason":"%b","message":%b%b}' % (
            call.id.encode(),
            reason,
            message,
            usage,
        )
    word = b',"index":0,"delta":{"message":{"content":{"text":"%b"}}}' % said.word
    return MockStream(
        content_type=EVENT_STREAM,
        opening=_event(b"message-start", b',"delta":{"message":{"role":"assistant"}}'),
        words=repeat(_event(b"content-delta", word), said.words),
        count=said.words,
        closing=_event(b"message-end", b',"delta":{"finish_reason":"%b"%b}' % (reason, usage)),
    )


def embed(call: MockCall) -> Reply:
    """POST /v2/embed: a vector for each text."""
    body = decode(_DECODER, call.body)
    texts = body.texts if isinstance(body.texts, list) else []
    billed = b',"meta":{"billed_units":{"input_tokens":%d}}' % input_tokens(text_bytes(texts))
    vectors = b",".join([b"[0.5,-0.5]"] * len(texts))
    return b'{"id":"%b","embeddings":{"float":[%b]}%b}' % (
        call.id.encode(),
        vectors,
        call.told(billed),
    )


def rerank(call: MockCall) -> Reply:
    """POST /v2/rerank: one search unit."""
    billed = call.told(b',"meta":{"billed_units":{"search_units":1}}')
    return b'{"id":"%b","results":[{"index":0,"relevance_score":0.5}]%b}' % (
        call.id.encode(),
        billed,
    )


def error(_status: int, message: str, request_id: str) -> bytes:
    """Cohere's error body."""
    return encode({"id": request_id, "message": message})


def _usage(call: MockCall, body: _Body, said: MockAnswer) -> bytes:
    if not call.controls.usage:
        return b""
    tokens = input_tokens(text_bytes(body.messages))
    return (
        b',"usage":{"billed_units":{"input_tokens":%d,"output_tokens":%d},"tokens":{"input_tokens":%d,"output_tokens":%d}}'
        % (
            tokens,
            said.words,
            tokens + _TEMPLATE_TOKENS,
            said.words,
        )
    )


def _event(kind: bytes, fields: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind, kind, fields)
