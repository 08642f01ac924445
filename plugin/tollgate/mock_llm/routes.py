"""Which API a request asks for, and in whose dialect its errors are answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tollgate.mock_llm import anthropic, gemini, openai
from tollgate.mock_llm.calls import Call, Reply


@dataclass(frozen=True, slots=True)
class Route:
    """One API: `answer` raises core.errors.BadRequest for a body that it cannot read; `error` takes status, message and request id."""

    answer: Callable[[Call], Reply] | None
    error: Callable[[int, str, str], bytes]


_UNKNOWN = Route(None, openai.error)

_EXACT = {
    (b"POST", b"/v1/messages"): Route(anthropic.messages, anthropic.error),
    (b"POST", b"/v1/messages/count_tokens"): Route(anthropic.count_tokens, anthropic.error),
} | {
    # OpenAI's SDKs take a base address with or without /v1, and gateways forward either.
    (method, prefix + path): Route(answer, openai.error)
    for prefix in (b"/v1", b"")
    for method, path, answer in (
        (b"POST", b"/chat/completions", openai.chat),
        (b"POST", b"/completions", openai.completions),
        (b"POST", b"/embeddings", openai.embeddings),
        (b"GET", b"/models", openai.models),
    )
}

_GEMINI = {
    b"generateContent": Route(gemini.generate, gemini.error),
    b"streamGenerateContent": Route(gemini.stream_generate, gemini.error),
}


def find(method: bytes, path: bytes) -> Route:
    """The API behind a method and path (no query); an unknown one has no `answer` and OpenAI's errors."""
    if method == b"POST" and path.startswith(gemini.PATH):
        return _GEMINI.get(path.rpartition(b":")[2], _UNKNOWN)
    return _EXACT.get((method, path), _UNKNOWN)
