"""Gemini's and Vertex's dialect, with Google's errors (Gemini API and Vertex AI REST references).

Covers generateContent, streamGenerateContent as SSE or as one JSON array in pieces, embeddings and
token counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from msgspec import Struct, field
from msgspec.json import Decoder, encode

from tollgate.mock_llm.protocol_values import (
    EVENT_STREAM,
    JSON,
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

PATHS = (b"/v1beta/models/", b"/v1/models/")

# google.rpc.Code names by HTTP status.
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# Gemini's own bound on `candidateCount`.
_MOST_CANDIDATES = 8


class _Body(Struct):
    """The fields of a request that the mock reads, in both spellings that Google accepts.

    Any of them may hold anything.
    """

    contents: Any = None
    system_camel: Any = field(default=None, name="systemInstruction")
    system_snake: Any = field(default=None, name="system_instruction")
    config_camel: Any = field(default=None, name="generationConfig")
    config_snake: Any = field(default=None, name="generation_config")
    instances: Any = None


_DECODER = Decoder(_Body)


@dataclass(frozen=True, slots=True)
class _Generation:
    """One call's answer, and what every object of its reply repeats."""

    call: MockCall
    said: MockAnswer
    candidates: int
    prompt_tokens: int

    def object(self, candidates: list[bytes], output_tokens: int) -> bytes:
        """Return one response object; its usage covers what was sent up to and including it."""
        total_tokens = self.prompt_tokens + output_tokens
        usage = (
            b'"usageMetadata":{"promptTokenCount":%d,"candidatesTokenCount":%d,"totalTokenCount":%d},'
            % (
                self.prompt_tokens,
                output_tokens,
                total_tokens,
            )
        )
        return b'{"candidates":[%b],%b"modelVersion":%b,"responseId":"%b"}' % (
            b",".join(candidates),
            self.call.told(usage),
            _model(self.call.path),
            self.call.id.encode(),
        )

    def last(self, text: bytes) -> bytes:
        """Return the object that ends the reply, with the finish reason of every candidate."""
        reason = b',"finishReason":"%b"' % (b"MAX_TOKENS" if self.said.truncated else b"STOP")
        candidates = [_candidate(index, text, reason) for index in range(self.candidates)]
        return self.object(candidates, self.said.words * self.candidates)

    def words(self) -> Iterator[bytes]:
        """Yield an object for each word of each candidate."""
        for number in range(self.said.words * self.candidates):
            candidate = _candidate(number % self.candidates, self.said.word, b"")
            yield self.object([candidate], number + 1)


def generate(call: MockCall) -> Reply:
    """POST /v1beta/models/{model}:generateContent."""
    generation = _generation(call)
    return generation.last(generation.said.text)


def stream_generate(call: MockCall) -> Reply:
    """POST /v1beta/models/{model}:streamGenerateContent; with `alt=sse` as server-sent events."""
    generation = _generation(call)
    count = generation.said.words * generation.candidates
    last = generation.last(b"")
    if parse_qs(call.query).get(b"alt") == [b"sse"]:
        return MockStream(EVENT_STREAM, b"", map(event, generation.words()), count, event(last))
    separator = b",\r\n" if count else b""
    return MockStream(JSON, b"[", _separated(generation.words()), count, separator + last + b"]")


def embed(_call: MockCall) -> Reply:
    """POST /v1beta/models/{model}:embedContent, which reports no usage."""
    return b'{"embedding":{"values":[0.5,-0.5]}}'


def count_tokens(call: MockCall) -> Reply:
    """POST /v1beta/models/{model}:countTokens."""
    return b'{"totalTokens":%d}' % _generation(call).prompt_tokens


def predict(call: MockCall) -> Reply:
    """POST /v1/projects/.../models/{model}:predict on Vertex: an embedding for each instance."""
    body = decode(_DECODER, call.body)
    count = b',"statistics":{"truncated":false,"token_count":%d}'
    counts = [
        call.told(count % input_tokens(text_bytes(each)))
        for each in (body.instances if isinstance(body.instances, list) else [])
    ]
    return b'{"predictions":[%b]}' % b",".join(
        b'{"embeddings":{"values":[0.5,-0.5]%b}}' % each for each in counts
    )


def error(status: int, message: str, _request_id: str) -> bytes:
    """Google's error envelope."""
    return encode(
        {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}
    )


def _generation(call: MockCall) -> _Generation:
    body = decode(_DECODER, call.body)
    config = body.config_camel or body.config_snake
    config = config if isinstance(config, dict) else {}
    limits = (config.get("maxOutputTokens"), config.get("max_output_tokens"))
    wanted = config.get("candidateCount")
    return _Generation(
        call=call,
        said=answer(call.controls, limits),
        candidates=min(wanted, _MOST_CANDIDATES) if is_count(wanted) and wanted else 1,
        prompt_tokens=input_tokens(text_bytes(body.system_camel, body.system_snake, body.contents)),
    )


def _model(path: bytes) -> bytes:
    name = path.rpartition(b"/models/")[2].rpartition(b":")[0]
    return model_json(unquote(name.decode("latin-1")))


def _candidate(index: int, text: bytes, reason: bytes) -> bytes:
    return b'{"content":{"parts":[{"text":"%b"}],"role":"model"}%b,"index":%d}' % (
        text,
        reason,
        index,
    )


def _separated(objects: Iterator[bytes]) -> Iterator[bytes]:
    yield from (b",\r\n" + each if number else each for number, each in enumerate(objects))
