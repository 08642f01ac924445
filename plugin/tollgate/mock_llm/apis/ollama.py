"""Ollama's dialect: chat and generate, which stream by default, embed, and errors (Ollama's
docs/api.md).
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, encode

from tollgate.mock_llm.protocol_values import MockCall, MockStream, Reply, decode
from tollgate.mock_llm.words import answer, input_tokens, model_json, text_bytes

_NDJSON = b"application/x-ndjson"
_CHAT = b'"message":{"role":"assistant","content":"%b"}'
_GENERATE = b'"response":"%b"'


class _Body(Struct):
    """The fields of a request that the mock reads. Any of them may hold anything."""

    model: Any = None
    messages: Any = None
    prompt: Any = None
    system: Any = None
    input: Any = None
    options: Any = None
    stream: Any = None


_DECODER = Decoder(_Body)


def chat(call: MockCall) -> Reply:
    """POST /api/chat."""
    return _reply(call, _CHAT)


def generate(call: MockCall) -> Reply:
    """POST /api/generate."""
    return _reply(call, _GENERATE)


def embed(call: MockCall) -> Reply:
    """POST /api/embed: a vector for each input."""
    body = decode(_DECODER, call.body)
    inputs = body.input if isinstance(body.input, list) else [body.input]
    count = call.told(b',"prompt_eval_count":%d' % input_tokens(text_bytes(inputs)))
    return b'{"model":%b,"embeddings":[%b]%b}' % (
        model_json(body.model),
        b",".join([b"[0.5,-0.5]"] * len(inputs)),
        count,
    )


def error(_status: int, message: str, _request_id: str) -> bytes:
    """Ollama's error body."""
    return encode({"error": message})


def _reply(call: MockCall, form: bytes) -> Reply:
    body = decode(_DECODER, call.body)
    limit = body.options.get("num_predict") if isinstance(body.options, dict) else None
    said = answer(call.controls, (limit,))
    tokens = input_tokens(text_bytes(body.system, body.messages, body.prompt))
    start = b'{"model":%b,"created_at":"2027-01-01T00:00:00Z",' % model_json(body.model)
    # Ollama omits a count of zero.
    output = b',"eval_count":%d' % said.words if said.words else b""
    counts = call.told(b',"prompt_eval_count":%d%b' % (tokens, output))
    end = b',"done":true,"done_reason":"%b"%b}' % (b"length" if said.truncated else b"stop", counts)
    if body.stream is False:
        return start + form % said.text + end
    word = start + form % said.word + b',"done":false}\n'
    return MockStream(
        _NDJSON, b"", repeat(word, said.words), said.words, start + form % b"" + end + b"\n"
    )
