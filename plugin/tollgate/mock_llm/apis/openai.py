"""OpenAI's dialect: chat completions, completions, embeddings, models and errors (OpenAI API
reference).
"""

from __future__ import annotations

import struct
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, encode

from tollgate.mock_llm.protocol_values import (
    EVENT_STREAM,
    MockCall,
    MockStream,
    Reply,
    decode,
    event,
)
from tollgate.mock_llm.words import (
    MockAnswer,
    answer,
    input_tokens,
    is_count,
    model_json,
    text_bytes,
)

# OpenAI's own bound on `n`.
_MOST_CHOICES = 128
_VECTOR = [0.125, -0.25, 0.5, -0.125, 0.25, -0.5, 0.0625, 0.75]
_VECTOR_JSON = encode(_VECTOR)
# The official Python SDK asks for this by default: little-endian 32-bit floats.
_VECTOR_BASE64 = encode(b64encode(struct.pack(f"<{len(_VECTOR)}f", *_VECTOR)).decode())
_MODELS = (
    b'{"object":"list","data":'
    b'[{"id":"tollgate-mock","object":"model","created":0,"owned_by":"tollgate"}]}'
)

_ERROR_TYPES = {429: "requests", 401: "authentication_error", 403: "permission_error"}
_ERROR_CODES = {429: "rate_limit_exceeded", 401: "invalid_api_key"}


class _Body(Struct):
    """The fields of a request that the mock reads. Any of them may hold anything."""

    model: Any = None
    messages: Any = None
    prompt: Any = None
    input: Any = None
    n: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    stream: Any = None
    stream_options: Any = None
    encoding_format: Any = None


_DECODER = Decoder(_Body)


@dataclass(frozen=True, slots=True)
class _Form:
    """How one of the two text APIs writes a choice: in JSON, and in a stream at its first event
    (b"":
    none), for a word, and at the end.
    """

    prefix: bytes
    name: bytes
    chunk_name: bytes
    whole: bytes
    first: bytes
    word: bytes
    last: bytes


_CHAT = _Form(
    prefix=b"chatcmpl-",
    name=b"chat.completion",
    chunk_name=b"chat.completion.chunk",
    whole=b'{"index":%d,"message":{"role":"assistant","content":"%b","refusal":null},"logprobs":null,"finish_reason":"%b"}',
    first=b'{"index":%d,"delta":{"role":"assistant","content":""},"finish_reason":null}',
    word=b'{"index":%d,"delta":{"content":"%b"},"finish_reason":null}',
    last=b'{"index":%d,"delta":{},"finish_reason":"%b"}',
)
_TEXT = _Form(
    prefix=b"cmpl-",
    name=b"text_completion",
    chunk_name=b"text_completion",
    whole=b'{"index":%d,"text":"%b","logprobs":null,"finish_reason":"%b"}',
    first=b"",
    word=b'{"index":%d,"text":"%b","logprobs":null,"finish_reason":null}',
    last=b'{"index":%d,"text":"","logprobs":null,"finish_reason":"%b"}',
)


def chat(call: MockCall) -> Reply:
    """POST /v1/chat/completions."""
    body = decode(_DECODER, call.body)
    return _text_reply(_CHAT, call, body, input_tokens(text_bytes(body.messages)), _choices(body.n))


def completions(call: MockCall) -> Reply:
    """POST /v1/completions: `n` choices for each prompt."""
    body = decode(_DECODER, call.body)
    prompts = _inputs(body.prompt)
    return _text_reply(_TEXT, call, body, _tokens_of(prompts), _choices(body.n) * len(prompts))


def embeddings(call: MockCall) -> Reply:
    """POST /v1/embeddings: the same vector for each input."""
    body = decode(_DECODER, call.body)
    inputs = _inputs(body.input)
    vector = _VECTOR_BASE64 if body.encoding_format == "base64" else _VECTOR_JSON
    rows = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (i, vector)
        for i in range(len(inputs))
    )
    tokens = _tokens_of(inputs)
    usage = call.told(b',"usage":{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens))
    return b'{"object":"list","data":[%b],"model":%b%b}' % (rows, model_json(body.model), usage)


def models(_call: MockCall) -> Reply:
    """GET /v1/models."""
    return _MODELS


def error(status: int, message: str, _request_id: str) -> bytes:
    """OpenAI's error envelope."""
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    kind, code = _ERROR_TYPES.get(status, fallback), _ERROR_CODES.get(status)
    return encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _text_reply(
    form: _Form, call: MockCall, body: _Body, prompt_tokens: int, choices: int
) -> Reply:
    said = answer(
        call.controls, (body.max_tokens, body.max_completion_tokens, body.max_output_tokens)
    )
    output_tokens = said.words * choices
    usage = b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}' % (
        prompt_tokens,
        output_tokens,
        prompt_tokens + output_tokens,
    )
    shown = call.controls.usage
    start = b'{"id":"%b%b","object":"%b","created":%d,"model":%b,"choices":[' % (
        form.prefix,
        call.id.encode(),
        form.chunk_name if body.stream is True else form.name,
        time.time(),
        model_json(body.model),
    )
    if body.stream is True:
        asked = (
            isinstance(body.stream_options, dict)
            and body.stream_options.get("include_usage") is True
        )
        return _stream(form, start, said, choices, usage if asked and shown else b"")
    finish = _finish(said)
    rows = b",".join(form.whole % (index, said.text, finish) for index in range(choices))
    return b"%b%b]%b%b}" % (start, rows, b"," if shown else b"", usage if shown else b"")


def _stream(form: _Form, start: bytes, said: MockAnswer, choices: int, usage: bytes) -> MockStream:
    # With include_usage every chunk has the field, null until the last one, which has no choices.
    end = b'],"usage":null}' if usage else b"]}"

    def events(choice: Callable[[int], bytes]) -> list[bytes]:
        return [event(start + choice(index) + end) for index in range(choices)]

    finish = _finish(said)
    return MockStream(
        content_type=EVENT_STREAM,
        opening=b"".join(events(lambda index: form.first % index)) if form.first else b"",
        words=chain.from_iterable(
            repeat(events(lambda index: form.word % (index, said.word)), said.words)
        ),
        count=said.words * choices,
        closing=b"".join(events(lambda index: form.last % (index, finish)))
        + (event(b"%b],%b}" % (start, usage)) if usage else b"")
        + event(b"[DONE]"),
    )


def _finish(said: MockAnswer) -> bytes:
    if said.truncated:
        return b"length"
    return b"stop"


def _choices(n: object) -> int:
    if is_count(n) and n:
        return min(n, _MOST_CHOICES)
    return 1


def _inputs(value: Any) -> list[Any]:
    """Return the prompts of a field with one or many, each text or a list of token numbers."""
    if isinstance(value, list) and value and not is_count(value[0]):
        return value
    return [value]


def _tokens_of(inputs: list[Any]) -> int:
    """Return the tokens of all inputs; a token number counts as one."""
    numbers = sum(sum(map(is_count, each)) for each in inputs if isinstance(each, list))
    prompt_bytes = text_bytes(inputs)
    if prompt_bytes or not numbers:
        return numbers + input_tokens(prompt_bytes)
    return numbers
