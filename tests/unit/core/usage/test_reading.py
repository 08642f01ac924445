"""What a reply is charged by what it told and showed: errors and silence, damaged counts, fees,
passes, told dollars.
"""

from __future__ import annotations

import json

import pytest
from tests.unit.core.usage.usage_case import (
    FRAMES,
    JSON,
    NDJSON,
    SSE,
    frame,
    frames,
    named_sse,
    ndjson,
    plain,
    sse,
)
from tests.unit.core.usage.usage_replies import (
    APIS,
    DELTAS,
    HELD,
    REAL,
    START,
    STOP,
    TEXT,
    WORDS,
    charged,
    chat,
    chunk,
    delta,
    gemini,
    last,
    response,
)

from tollgate.core.calls.usage import Certainty
from tollgate.core.usage import UsageReader
from tollgate.metering.metering import used

ERROR = {"error": {"message": "no", "type": "server_error", "code": "overloaded"}}
FAILED = {
    "type": "response.failed",
    "response": {"status": "failed", "instructions": "hi", "usage": None, **ERROR},
}
NOTHING = [
    ("openai.chat", JSON, b""),
    ("openai.chat", JSON, b" \n"),
    ("openai.chat", JSON, b"{}"),
    ("openai.chat", JSON, b"[]"),
    ("openai.chat", JSON, b"null"),
    ("openai.chat", "", b"<html>Sign in</html>"),
    ("openai.chat", "text/html", b'<script>{"content":"x"}</script>'),
    ("openai.chat", TEXT, b"upstream connect error"),
    ("openai.chat", JSON, plain(ERROR)),
    ("openai.chat", SSE, plain(ERROR)),
    ("openai.chat", TEXT, plain(ERROR)),
    ("openai.chat", JSON, sse(ERROR)),
    ("openai.chat", SSE, sse(ERROR)),
    ("openai.chat", SSE, b"event: error\n" + sse(ERROR, done=False)),
    ("openai.chat", NDJSON, ndjson(ERROR)),
    ("openai.chat", SSE, sse()),
    ("openai.chat", SSE, b": keep-alive\n\n" * 99),
    ("openai.chat", SSE, sse(chunk(role="assistant", content=""), ERROR)),
    ("openai.chat", JSON, plain({"base_resp": {"status_code": 1008, "status_msg": "no"}})),
    (
        "openai.chat",
        JSON,
        plain({"choices": [{"finish_reason": "error", "message": {"content": ""}, **ERROR}]}),
    ),
    ("openai.chat", JSON, plain({"object": "error", "message": "no", "code": 40001})),
    ("openai.chat", JSON, chat({"prompt_tokens": 0, "completion_tokens": 0}, content="")),
    ("openai.completions", JSON, plain(ERROR)),
    ("openai.embeddings", JSON, plain({"data": [], **ERROR})),
    (
        "openai.responses",
        SSE,
        named_sse({"type": "response.created", "response": {"usage": None}}, FAILED),
    ),
    ("openai.responses", SSE, named_sse({"type": "error", "message": "no", "code": "x"})),
    (
        "openai.responses",
        JSON,
        response(None, status="failed", metadata={"text": "x"}, error={"code": "x"}),
    ),
    ("openai.images", JSON, plain(ERROR)),
    ("openai.transcription", JSON, plain(ERROR)),
    ("openai.speech", JSON, plain(ERROR)),
    ("openai.speech", "audio/mpeg", b""),
    ("anthropic.messages", SSE, named_sse({"type": "error", **ERROR})),
    ("anthropic.messages", SSE, named_sse({"type": "ping"}, {"type": "error", **ERROR})),
    ("anthropic.messages", JSON, plain({"type": "error", **ERROR})),
    ("gemini.generate", JSON, plain({"promptFeedback": {"blockReason": "SAFETY"}})),
    (
        "gemini.generate",
        JSON,
        plain([{"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}]),
    ),
    ("gemini.generate", SSE, sse({"error": {"code": 503, "message": "no"}}, done=False)),
    ("bedrock.converse", JSON, plain({"message": "Too many requests"})),
    (
        "bedrock.converse_stream",
        FRAMES,
        frame("throttlingException", plain({"message": "no"}), "exception"),
    ),
    (
        "bedrock.invoke_stream",
        FRAMES,
        frame("modelStreamErrorException", plain({"message": "no"}), "exception"),
    ),
    (
        "cohere.chat",
        SSE,
        named_sse({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "no"}}),
    ),
    ("cohere.chat", JSON, plain({"message": "no"})),
    ("ollama", NDJSON, ndjson({"error": "no such model"})),
    ("ollama", JSON, plain({"error": "no such model"})),
]


@pytest.mark.parametrize(("api", "content_type", "body"), NOTHING)
def test_a_reply_that_shows_and_tells_nothing_costs_nothing(
    api: str, content_type: str, body: bytes
) -> None:
    """Errors, blocked prompts, pages of somebody else, and silence, in every framing."""
    assert charged(api, content_type, body).certainty is Certainty.NONE
    assert charged(api, content_type, body).total_tokens == 0


RIVER = [chunk(content="river ")] * 200
ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
CALLED = {
    "type": "tool-call-delta",
    "delta": {"message": {"tool_calls": {"function": {"arguments": "river "}}}},
}
THOUGHT = chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "river "}]}])
SPOKEN = chunk(audio={"data": "A" * 3_200})
SHOWN = [
    ("openai.chat", JSON, chat(None), (10, 300)),
    ("openai.chat", JSON, chat({}), (10, 300)),
    ("openai.chat", JSON, chat(ZEROS), (10, 300)),
    ("openai.chat", JSON, chat({"total_tokens": 1_500}), (10, 300)),
    ("openai.chat", JSON, chat({"prompt_tokens": 30, "completion_tokens": None}), (30, 300)),
    ("openai.chat", JSON, chat({"prompt_tokens": 30, "completion_tokens": 0}), (30, 300)),
    (
        "openai.chat",
        JSON,
        chat({"prompt_tokens": 30, "completion_tokens": -5, "total_tokens": 25}),
        (30, 300),
    ),
    ("openai.chat", JSON, chat({"prompt_tokens": 30, "completion_tokens": 1.5}), (30, 300)),
    ("openai.chat", JSON, chat({"prompt_tokens": 30, "completion_tokens": "many"}), (30, 300)),
    (
        "openai.chat",
        JSON,
        chat({"prompt_tokens": 30, "completion_tokens": None, "total_tokens": 30}),
        (30, 300),
    ),
    ("openai.chat", JSON, chat({"prompt_tokens": 0, "completion_tokens": 40}), (10, 40)),
    ("openai.chat", JSON, chat({"completion_tokens": 40}), (10, 40)),
    ("openai.chat", TEXT, chat(None), (10, 300)),
    ("openai.chat", JSON, chat(None, content=None, refusal=WORDS), (10, 300)),
    (
        "openai.chat",
        JSON,
        chat(None, content="", tool_calls=[{"function": {"arguments": WORDS}}]),
        (10, 300),
    ),
    (
        "openai.chat",
        JSON,
        chat(None, content="", images=[{"image_url": {"url": "data:x"}}]),
        (10, 1_056),
    ),
    ("openai.chat", SSE, sse(*RIVER), (10, 300)),
    ("openai.chat", JSON, sse(*RIVER), (10, 300)),
    ("openai.chat", SSE, sse(*RIVER, {"choices": [], "usage": ZEROS}), (10, 300)),
    ("openai.chat", SSE, sse(*RIVER, {"choices": [], "usage": {}}), (10, 300)),
    ("openai.chat", SSE, sse(*RIVER, ERROR), (10, 300)),
    ("openai.chat", SSE, sse(*[THOUGHT] * 200), (10, 300)),
    ("openai.chat", SSE, sse(*[SPOKEN] * 7), (10, 7)),
    ("openai.completions", SSE, sse(*[{"choices": [{"text": "river "}]}] * 200), (10, 300)),
    ("openai.embeddings", JSON, plain({"data": [{"embedding": [0.1]}]}), (10, 0)),
    ("openai.embeddings", JSON, plain({"data": [{"embedding": "AAAA"}], "usage": ZEROS}), (10, 0)),
    (
        "openai.responses",
        JSON,
        response(None, {"type": "message", "content": [{"text": WORDS}]}),
        (10, 300),
    ),
    (
        "openai.responses",
        JSON,
        response(None, {"type": "function_call", "arguments": WORDS}),
        (10, 300),
    ),
    (
        "openai.responses",
        SSE,
        named_sse(*[{"type": "response.output_text.delta", "delta": "river "}] * 200),
        (10, 300),
    ),
    (
        "openai.responses",
        SSE,
        named_sse(*[{"type": "response.refusal.delta", "delta": "river "}] * 200),
        (10, 300),
    ),
    (
        "openai.responses",
        SSE,
        named_sse(
            {"type": "response.completed", "response": json.loads(response(ZEROS, {"text": WORDS}))}
        ),
        (10, 300),
    ),
    (
        "openai.images",
        JSON,
        plain({"data": [{"b64_json": "AAAA"}, {"url": "https://x"}]}),
        (10, 2_112),
    ),
    ("openai.transcription", TEXT, WORDS.encode(), (10, 300)),
    ("openai.transcription", JSON, plain({"text": WORDS}), (10, 300)),
    ("openai.transcription", JSON, plain({"text": ""}), (10, 0)),
    ("openai.speech", "audio/mpeg", b"\xff" * 8_000, (10, 10)),
    ("openai.speech", "application/octet-stream", b"ID3" + b"\xff" * 7_997, (10, 10)),
    (
        "anthropic.messages",
        JSON,
        plain({"content": [{"type": "tool_use", "input": {"a": "x" * 1_191}}]}),
        (10, 300),
    ),
    ("anthropic.messages", SSE, named_sse(*DELTAS, {"type": "error", **ERROR}), (10, 300)),
    ("anthropic.messages", SSE, named_sse({"type": "x", "delta": {"thinking": WORDS}}), (10, 300)),
    (
        "anthropic.messages",
        SSE,
        named_sse({"type": "x", "delta": {"partial_json": WORDS}}),
        (10, 300),
    ),
    ("gemini.generate", JSON, gemini(None, content={"parts": [{"text": WORDS}]}), (10, 300)),
    (
        "gemini.generate",
        JSON,
        gemini({}, content={"parts": [{"functionCall": {"args": {"a": WORDS}}}]}),
        (10, 302),
    ),
    (
        "gemini.generate",
        JSON,
        gemini({}, content={"parts": [{"inlineData": {"data": "AAAA"}}]}),
        (10, 1_056),
    ),
    (
        "gemini.generate",
        SSE,
        sse({"candidates": [{"content": {"parts": [{"text": WORDS}]}}]}, done=False),
        (10, 300),
    ),
    ("gemini.embed", JSON, plain({"embedding": {"values": [0.1]}}), (10, 0)),
    ("vertex.predict", JSON, plain({"predictions": [{"embeddings": {"values": [0.1]}}]}), (10, 0)),
    (
        "bedrock.converse",
        JSON,
        plain({"output": {"message": {"content": [{"text": WORDS}]}}}),
        (10, 300),
    ),
    (
        "bedrock.converse_stream",
        FRAMES,
        frames(*[("x", {"delta": {"text": "river "}})] * 200),
        (10, 300),
    ),
    ("bedrock.invoke", JSON, plain({"generation": WORDS}), (10, 300)),
    ("bedrock.invoke", JSON, plain({"embedding": [0.1]}), (10, 0)),
    ("cohere.chat", SSE, named_sse(*[CALLED] * 200), (10, 300)),
    ("cohere.chat", "application/stream+json", ndjson(*[{"text": "river "}] * 200), (10, 300)),
    ("cohere.chat", JSON, plain({"results": [{"index": 0, "relevance_score": 0.9}]}), (10, 0)),
    (
        "ollama",
        NDJSON,
        ndjson(*[{"message": {"content": "river "}, "done": False}] * 200),
        (10, 300),
    ),
    ("ollama", JSON, plain({"embeddings": [[0.1]]}), (10, 0)),
]


@pytest.mark.parametrize(("api", "content_type", "body", "tokens"), SHOWN)
def test_a_reply_that_shows_output_is_charged_by_what_was_told_and_seen(
    api: str, content_type: str, body: bytes, tokens: tuple[int, int]
) -> None:
    """Input as told, else as estimated; output as told, else as seen: a token for four bytes.

    Never exact.
    """
    usage = charged(api, content_type, body)
    assert (usage.input_tokens, usage.output_tokens) == tokens
    assert usage.certainty in (Certainty.PARTIAL, Certainty.ESTIMATED)


@pytest.mark.parametrize(("api", "content_type", "body", "tokens"), SHOWN)
def test_it_is_charged_the_same_byte_by_byte(
    api: str, content_type: str, body: bytes, tokens: tuple[int, int]
) -> None:
    """However the network cuts it."""
    reader = UsageReader(APIS[api], content_type)
    for byte in body:
        reader.feed(bytes([byte]))
    reader.finish()
    usage = used(HELD, reader.reading(), 200, complete=True)
    assert (usage.input_tokens, usage.output_tokens) == tokens


@pytest.mark.parametrize(("api", "content_type", "body", "tokens"), SHOWN)
def test_a_reply_that_is_cut_after_its_first_words_is_not_free(
    api: str, content_type: str, body: bytes, tokens: tuple[int, int]
) -> None:
    """Its client has seen them."""
    usage = charged(api, content_type, body[: -len(body) // 10], whole=False)
    assert (usage.certainty, usage.input_tokens > 0) == (Certainty.PARTIAL, True)
    assert usage.output_tokens > 0 or tokens[1] == 0


LATER = [
    ("openai.chat", sse(*RIVER, last(REAL), last(ZEROS))),
    ("openai.chat", sse(*RIVER, last(REAL), last({}))),
    (
        "openai.chat",
        sse(*RIVER, last(REAL), last({"prompt_tokens": None, "completion_tokens": "x"})),
    ),
    ("openai.chat", sse(*RIVER, last({"prompt_tokens": 1_000}), last({"completion_tokens": 500}))),
    ("openai.chat", sse(*RIVER, last(ZEROS), last(REAL))),
    (
        "anthropic.messages",
        named_sse(START, *DELTAS, delta(input_tokens=0, output_tokens=500), STOP),
    ),
    ("anthropic.messages", named_sse(START, *DELTAS, delta(output_tokens=500), delta(), STOP)),
    (
        "anthropic.messages",
        named_sse(START, *DELTAS, delta(output_tokens=500), delta(output_tokens=0), STOP),
    ),
]


@pytest.mark.parametrize(("api", "body"), LATER)
def test_counts_only_grow_in_a_stream(api: str, body: bytes) -> None:
    """What a later event tells as zero, null, damaged or not at all takes nothing back."""
    usage = charged(api, SSE, body)
    assert (usage.input_tokens, usage.output_tokens, usage.certainty) == (
        1_000,
        500,
        Certainty.EXACT,
    )


@pytest.mark.parametrize(
    "body",
    [
        named_sse(START, *DELTAS),
        named_sse(START, *DELTAS, delta(), STOP),
        named_sse(START, *DELTAS, delta(output_tokens=0), STOP),
        named_sse(START, *DELTAS, delta(output_tokens=None), STOP),
        named_sse(START, *DELTAS, {"type": "error", **ERROR}),
    ],
)
def test_a_stream_without_its_last_count_is_charged_as_seen(body: bytes) -> None:
    """Anthropic's first event tells the input, and an output that has only begun."""
    usage = charged("anthropic.messages", SSE, body)
    assert (usage.input_tokens, usage.output_tokens, usage.certainty) == (
        1_000,
        300,
        Certainty.PARTIAL,
    )
