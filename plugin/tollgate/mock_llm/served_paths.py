"""Map paths to the mock's APIs, and to the dialect of their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tollgate.mock_llm.apis import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    media,
    ollama,
    openai,
    responses,
)
from tollgate.mock_llm.protocol_values import MockCall, Reply


@dataclass(frozen=True, slots=True)
class Route:
    """One API.

    `answer` raises core.errors.BadRequest for a body that it cannot read; `error` takes status,
    message and request id.
    """

    answer: Callable[[MockCall], Reply] | None
    error: Callable[[int, str, str], bytes]


_UNKNOWN = Route(None, openai.error)

# By what follows the prefix; Azure's contains a deployment.
_OPENAI = {
    b"/chat/completions": openai.chat,
    b"/completions": openai.completions,
    b"/embeddings": openai.embeddings,
    b"/responses": responses.responses,
    b"/images/generations": media.images,
    b"/images/edits": media.images,
    b"/images/variations": media.images,
    b"/audio/transcriptions": media.transcription,
    b"/audio/translations": media.transcription,
    b"/audio/speech": media.speech,
    b"/moderations": media.moderations,
}
_EXACT = {
    (b"POST", b"/v1/messages"): Route(anthropic.messages, anthropic.error),
    (b"POST", b"/v1/messages/count_tokens"): Route(anthropic.count_tokens, anthropic.error),
    (b"POST", b"/v2/chat"): Route(cohere.chat, cohere.error),
    (b"POST", b"/v2/embed"): Route(cohere.embed, cohere.error),
    (b"POST", b"/v2/rerank"): Route(cohere.rerank, cohere.error),
    (b"POST", b"/api/chat"): Route(ollama.chat, ollama.error),
    (b"POST", b"/api/generate"): Route(ollama.generate, ollama.error),
    (b"POST", b"/api/embed"): Route(ollama.embed, ollama.error),
} | {
    # OpenAI's SDKs accept a base address with or without /v1, and gateways forward either.
    (method, prefix + path): Route(answer, openai.error)
    for prefix in (b"/v1", b"", b"/openai/v1", b"/v1beta/openai")
    for method, path, answer in (
        *((b"POST", path, answer) for path, answer in _OPENAI.items()),
        (b"GET", b"/models", openai.models),
    )
}

# By what follows the model.
_GEMINI = {
    b"generateContent": Route(gemini.generate, gemini.error),
    b"streamGenerateContent": Route(gemini.stream_generate, gemini.error),
    b"embedContent": Route(gemini.embed, gemini.error),
    b"countTokens": Route(gemini.count_tokens, gemini.error),
}
_VERTEX = _GEMINI | {
    b"predict": Route(gemini.predict, gemini.error),
    b"rawPredict": Route(anthropic.messages, anthropic.error),
    b"streamRawPredict": Route(anthropic.messages, anthropic.error),
}
_BEDROCK = {
    b"converse": Route(bedrock.converse, bedrock.error),
    b"converse-stream": Route(bedrock.converse_stream, bedrock.error),
    b"invoke": Route(bedrock.invoke, bedrock.error),
    b"invoke-with-response-stream": Route(bedrock.invoke_stream, bedrock.error),
}


def route_of(method: bytes, path: bytes) -> Route:
    """Return the API for a method and path (no query).

    An unknown path gets no `answer` and OpenAI's errors.
    """
    if route := _EXACT.get((method, path)):
        return route
    if method == b"POST":
        return _find_by_model(path)
    return _UNKNOWN


def _find_by_model(path: bytes) -> Route:
    if path.startswith(gemini.PATHS):
        return _GEMINI.get(path.rpartition(b":")[2], _UNKNOWN)
    if path.startswith(b"/v1/projects/"):
        if path.endswith(b"/endpoints/openapi/chat/completions"):
            return Route(openai.chat, openai.error)
        return _VERTEX.get(path.rpartition(b":")[2], _UNKNOWN)
    if path.startswith(bedrock.PATH):
        return _BEDROCK.get(path.rpartition(b"/")[2], _UNKNOWN)
    if path.startswith(b"/openai/deployments/"):
        rest = path.removeprefix(b"/openai/deployments/").partition(b"/")[2]
        if answer := _OPENAI.get(b"/" + rest):
            return Route(answer, openai.error)
    return _UNKNOWN
