"""Replies of Cohere and Ollama."""

from __future__ import annotations

from tests.unit.core.usage.usage_case import (
    NDJSON,
    PARTIAL,
    SSE,
    Case,
    named_sse,
    ndjson,
    plain,
    used,
)

BILLED = {
    "billed_units": {"input_tokens": 3, "output_tokens": 5, "search_units": 1},
    "tokens": {"input_tokens": 70, "output_tokens": 5},
}
COHERE = [
    Case(
        "json",
        "cohere.chat",
        plain({"id": "x", "message": {}, "usage": BILLED}),
        used(3, 5, searches=1),
        nanousd=10_002_800,  # 3 x 100 + 5 x 500 + 1 x 10,000,000
    ),
    Case(
        "json of floats",
        "cohere.chat",
        plain({"usage": {"billed_units": {"input_tokens": 3.0, "output_tokens": 5.0}}}),
        used(3, 5),
        nanousd=2_800,  # 3 x 100 + 5 x 500
    ),
    Case(
        "json of tokens alone",
        "cohere.chat",
        plain({"usage": {"tokens": {"input_tokens": 70, "output_tokens": 5}}}),
        used(70, 5),
        nanousd=9_500,  # 70 x 100 + 5 x 500
    ),
    Case(
        "json of the first version",
        "cohere.chat",
        plain({"text": "hi", "meta": {"billed_units": {"input_tokens": 3, "output_tokens": 5}}}),
        used(3, 5),
        nanousd=2_800,  # 3 x 100 + 5 x 500
    ),
    Case(
        "stream",
        "cohere.chat",
        named_sse(
            {"type": "content-delta", "delta": {"message": {"content": {"text": "hi"}}}},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": BILLED}},
        ),
        used(3, 5, searches=1),
        SSE,
        nanousd=10_002_800,  # 3 x 100 + 5 x 500 + 1 x 10,000,000
    ),
]

LINE = {"model": "l", "message": {"role": "assistant", "content": "hi"}, "done": False}
OLLAMA = [
    Case(
        "chat stream",
        "ollama",
        ndjson(
            LINE,
            LINE,
            {
                "model": "l",
                "done": True,
                "prompt_eval_count": 26,
                "eval_count": 12,
                "total_duration": 9,
            },
        ),
        used(26, 12, "l"),
        NDJSON,
        nanousd=8_600,  # 26 x 100 + 12 x 500
    ),
    Case(
        "chat stream with a line after its last",
        "ollama",
        ndjson({"model": "l", "done": True, "prompt_eval_count": 26, "eval_count": 12}, LINE),
        used(26, 12, "l"),
        NDJSON,
        nanousd=8_600,  # 26 x 100 + 12 x 500
    ),
    Case(
        "chat stream without a prompt count",
        "ollama",
        ndjson(LINE, {"model": "l", "done": True, "eval_count": 12}),
        used(0, 12, "l"),
        NDJSON,
        nanousd=6_000,  # 12 x 500
    ),
    Case(
        "chat stream without any count",
        "ollama",
        ndjson(LINE, {"model": "l", "done": True}),
        used(0, 0, "l", PARTIAL),
        NDJSON,
        nanousd=0,  # nothing was told
    ),
    Case("chat stream cut", "ollama", ndjson(LINE, LINE), None, NDJSON, finished=False),
    Case(
        "chat stream without its last newline",
        "ollama",
        ndjson(LINE, {"model": "l", "done": True, "eval_count": 12})[:-1],
        used(0, 12, "l"),
        NDJSON,
        nanousd=6_000,  # 12 x 500
    ),
    Case(
        "generate json",
        "ollama",
        plain(
            {
                "model": "l",
                "response": "hi",
                "done": True,
                "prompt_eval_count": 26,
                "eval_count": 12,
            }
        ),
        used(26, 12, "l"),
        nanousd=8_600,  # 26 x 100 + 12 x 500
    ),
    Case(
        "embed",
        "ollama",
        plain({"model": "l", "embeddings": [[0.1]], "prompt_eval_count": 8}),
        used(8, 0, "l"),
        nanousd=800,  # 8 x 100
    ),
]

COHERE_AND_OLLAMA = [*COHERE, *OLLAMA]
