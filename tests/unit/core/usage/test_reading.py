"""What a reply is charged by what it told and showed: errors and silence, damaged counts, fees,
passes, told dollars.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.make import reservation, tokens
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
    table,
)

from tollgate.core.calls.usage import Certainty, Pass, Usage
from tollgate.core.usage import UsageReader
from tollgate.core.usage.reading import Reading
from tollgate.metering.metering import used

APIS = table()
# Estimated at 10 tokens in and 990 out.
HELD = reservation("r1", tokens(10_000), tokens=1_000)
WORDS = "river " * 200
TEXT = "text/plain; charset=utf-8"


def read(
    api: str, content_type: str, body: bytes, *, whole: bool = True, **headers: str
) -> Reading:
    reader = UsageReader(APIS[api], content_type, headers=headers)
    reader.feed(body)
    if whole:
        reader.finish()
    return reader.reading()


def charged(api: str, content_type: str, body: bytes, *, whole: bool = True) -> Usage:
    return used(HELD, read(api, content_type, body, whole=whole), 200, complete=whole)


def chunk(**delta: object) -> dict[str, object]:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta}],
    }


def chat(usage: object, **message: object) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": WORDS} | message,
        "finish_reason": "stop",
    }
    return plain({"id": "c1", "model": "m", "choices": [choice], "usage": usage})


def claude(usage: object) -> bytes:
    return plain({"type": "message", "content": [{"type": "text", "text": "ok"}], "usage": usage})


def gemini(usage: object, **candidate: object) -> bytes:
    told = {"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"} | candidate
    return plain({"candidates": [told], "usageMetadata": usage})


def response(usage: object, *output: object, **members: object) -> bytes:
    return plain(
        {"object": "response", "status": "completed", "output": output, "usage": usage} | members
    )


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
DELTAS = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "river "}}] * 200
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


REAL = {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}
START = {"type": "message_start", "message": {"usage": {"input_tokens": 1_000, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def delta(**usage: object) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def last(usage: object) -> dict[str, object]:
    return {"choices": [], "usage": usage}


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


def told(api: str, body: bytes, content_type: str = JSON) -> dict[str, Any]:
    """What a reply told, without what is none, and its certainty unless that is exact."""
    usage = read(api, content_type, body).usage
    assert usage is not None
    fields = {name: getattr(usage, name) for name in usage.__struct_fields__}
    return {
        name: value for name, value in fields.items() if value not in (0, None, (), Certainty.EXACT)
    }


CHAT = {"prompt_tokens": 100, "completion_tokens": 20}
TOKENS = {"input_tokens": 100, "output_tokens": 20}
SEARCH = {"type": "web_search_call", "action": {"type": "search"}}
VISIT = {"type": "web_search_call", "action": {"type": "open_page"}}
RUNS = {"type": "code_interpreter_call", "container_id": "c1"}
IMAGE = {"input_tokens": 30, "output_tokens": 9, "output_tokens_details": {"image_tokens": 9}}
VIDEO = [{"modality": "VIDEO", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 2}]
CITED = {"annotations": [{"type": "url_citation"}, {"type": "url_citation"}]}
META = {"promptTokenCount": 100, "candidatesTokenCount": 20}
TOLD = [
    ("openai.chat", chat(CHAT | {"cached_tokens": 80}), TOKENS | {"cache_read_tokens": 80}),
    ("openai.chat", chat({"input_tokens": 100, "output_tokens": 20}), TOKENS),
    ("openai.chat", chat({"prompt_tokens": 100, "total_tokens": 120}), TOKENS),
    ("openai.chat", chat({"completion_tokens": 20, "total_tokens": 120}), TOKENS),
    ("openai.chat", chat({"prompt_tokens": "100", "completion_tokens": "20"}), TOKENS),
    (
        "openai.chat",
        chat(CHAT | {"prompt_tokens_details": {"audio_tokens": 30}, "total_tokens": 150}),
        {"input_tokens": 130, "output_tokens": 20, "input_audio_tokens": 30},
    ),
    (
        "openai.chat",
        chat(CHAT | {"completion_tokens_details": {"reasoning_tokens": 30}}),
        {"input_tokens": 100, "output_tokens": 50, "reasoning_tokens": 30},
    ),
    (
        "openai.chat",
        chat(CHAT | {"completion_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 125}),
        {"input_tokens": 100, "output_tokens": 25, "reasoning_tokens": 5},
    ),
    (
        "openai.chat",
        chat(CHAT | {"prompt_tokens_details": {"cached_tokens": 150}}),
        {"input_tokens": 250, "output_tokens": 20, "cache_read_tokens": 150},
    ),
    (
        "openai.chat",
        chat(CHAT | {"completion_tokens_details": {"image_tokens": 9, "audio_tokens": 2}}),
        TOKENS | {"output_image_tokens": 9, "output_audio_tokens": 2},
    ),
    (
        "openai.chat",
        chat(CHAT | {"citation_tokens": 7, "num_search_queries": 6, "reasoning_tokens": 4}),
        {"input_tokens": 100, "output_tokens": 24, "reasoning_tokens": 4, "citation_tokens": 7,
        "searches": 6},
    ),
    ("openai.chat", chat(CHAT | {"search_context_size": "low"}),
     TOKENS | {"search_context": "low"}),
    ("openai.chat", chat(CHAT | {"num_sources_used": 3}), TOKENS | {"sources": 3}),
    ("openai.chat", chat(CHAT, **CITED), TOKENS | {"searches": 1}),
    ("openai.chat", chat(CHAT | {"cost": 0.0093}), TOKENS | {"told_nanousd": 9_300_000}),
    ("openai.chat", chat(CHAT | {"cost": {"total_cost": 0.0093}}),
     TOKENS | {"told_nanousd": 9_300_000}),
    ("openai.chat", chat(CHAT | {"cost_in_usd_ticks": 534_500_005}),
     TOKENS | {"told_nanousd": 53_450_001}),
    (
        "openai.chat",
        chat(CHAT | {"cost": 0.0005, "is_byok": True,
        "cost_details": {"upstream_inference_cost": 0.0102}}),
        TOKENS | {"told_nanousd": 10_700_000},
    ),
    (
        "openai.chat",
        chat(CHAT | {"cost": 0.5, "is_byok": False,
        "cost_details": {"upstream_inference_cost": 0.4}}),
        TOKENS | {"told_nanousd": 500_000_000},
    ),
    (
        "openai.chat",
        chat(CHAT, provider_metadata={"gateway": {"cost": "0.000261"}}),
        TOKENS | {"told_nanousd": 261_000},
    ),
    *(("openai.chat", chat(CHAT | {"cost": cost}), TOKENS) for cost in (-1, "x", True, [], 1e30,
    None)),
    ("openai.completions", plain({"choices": [{"text": ""}],
     "usage": {"prompt_tokens": 30, "total_tokens": 30}}), {"input_tokens": 30}),
    ("openai.embeddings", plain({"data": [{"embedding": [1]}], "usage": {"total_tokens": 12}}),
     {"input_tokens": 12}),
    ("openai.responses", response(CHAT), TOKENS),
    ("openai.responses", response(TOKENS, SEARCH, VISIT, SEARCH), TOKENS | {"searches": 2}),
    ("openai.responses", response(TOKENS, {"type": "web_search_call"}), TOKENS | {"searches": 1}),
    (
        "openai.responses",
        response(TOKENS, SEARCH, tool_usage={"web_search": {"num_requests": 3}}),
        TOKENS | {"searches": 3},
    ),
    ("openai.responses", response(TOKENS, SEARCH, tool_usage={"web_search": {"num_requests": 0}}),
     TOKENS),
    ("openai.responses", response(TOKENS, {"type": "file_search_call"}),
     TOKENS | {"file_searches": 1}),
    ("openai.responses", response(TOKENS, RUNS, RUNS), TOKENS | {"code_containers": 1}),
    (
        "openai.responses",
        response(TOKENS, {"type": "image_generation_call"}, tool_usage={"image_gen": IMAGE}),
        {
            "input_tokens": 130,
            "output_tokens": 29,
            "output_image_tokens": 9,
            "image_calls": 1,
            "passes": (Pass(30, 9, output_image_tokens=9, model="gpt-image-1",
            kind="image_generation"),),
        },
    ),
    (
        "openai.transcription",
        plain({"text": "hi", "usage": {"prompt_audio_seconds": 36, "prompt_tokens": 100,
        "completion_tokens": 20}}),
        TOKENS | {"audio_seconds": 36},
    ),
    ("openai.transcription", plain({"text": "hi", "duration": "8.47"}), {"audio_seconds": 9}),
    ("anthropic.messages", claude(TOKENS | {"inference_geo": "us"}), TOKENS | {"geography": "us"}),
    ("anthropic.messages", claude(TOKENS | {"speed": "fast", "service_tier": "standard"}),
     TOKENS | {"service_tier": "fast"}),
    (
        "anthropic.messages",
        claude(
            {
                "input_tokens": 5,
                "output_tokens": 48,
                "iterations": [
                    {"type": "message", "input_tokens": 5, "cache_read_input_tokens": 7,
                    "output_tokens": 8},
                    {"type": "advisor_message", "model": "big", "input_tokens": 90,
                    "output_tokens": 150},
                ],
            }
        ),
        {
            "input_tokens": 102,
            "output_tokens": 158,
            "cache_read_tokens": 7,
            "passes": (
                Pass(12, 8, cache_read_tokens=7, kind="message"),
                Pass(90, 150, model="big", kind="advisor_message"),
            ),
        },
    ),
    (
        "anthropic.messages",
        claude(TOKENS | {"iterations": [{"input_tokens": -1, "output_tokens": 1}]}),
        TOKENS | {"certainty": Certainty.PARTIAL},
    ),
    ("gemini.generate", gemini({"candidatesTokenCount": 20, "totalTokenCount": 120}), TOKENS),
    ("gemini.generate", gemini(META, groundingMetadata={"webSearchQueries": ["a", "b"]}),
     TOKENS | {"searches": 2}),
    (
        "gemini.generate",
        gemini(META, groundingMetadata={"groundingChunks": [{"web": {"uri": "x"}},
        {"maps": {"uri": "x"}}]}),
        TOKENS | {"searches": 1, "map_searches": 1},
    ),
    ("gemini.generate", gemini(META, groundingMetadata={}), TOKENS),
    (
        "gemini.generate",
        gemini(META | {"promptTokensDetails": VIDEO, "candidatesTokensDetails": VIDEO}),
        TOKENS
        | {
            "input_video_tokens": 3,
            "input_audio_tokens": 2,
            "output_video_tokens": 3,
            "output_audio_tokens": 2,
        },
    ),
    (
        "gemini.generate",
        gemini(META | {"cachedContentTokenCount": 50, "cacheTokensDetails": VIDEO[1:]}),
        TOKENS | {"cache_read_tokens": 50, "cache_read_audio_tokens": 2},
    ),
    (
        "gemini.generate",
        gemini(META | {"trafficType": "PROVISIONED_THROUGHPUT"}),
        TOKENS | {"provisioned": True, "service_tier": "PROVISIONED_THROUGHPUT"},
    ),
    ("bedrock.invoke", plain({"embedding": [0.1], "inputTextTokenCount": 100}),
     {"input_tokens": 100}),
]  # fmt: skip


@pytest.mark.parametrize(("api", "body", "expected"), TOLD)
def test_what_is_told_is_read(api: str, body: bytes, expected: dict[str, Any]) -> None:
    """Wherever a provider documents it; what it tells of money is none when it is damaged."""
    found = told(api, body)
    found.pop("reply_model", None)
    assert found == expected


@pytest.mark.parametrize(("api", "body", "expected"), TOLD)
def test_it_is_read_in_long_bodies_too(api: str, body: bytes, expected: dict[str, Any]) -> None:
    """A body that is scanned tells the same."""
    found = told(api, body[:1] + b" " * 300_000 + body[1:])
    found.pop("reply_model", None)
    assert found == expected


def test_streams_tell_in_their_own_places() -> None:
    """Moonshot in its choice, Cohere's first version in its last line, Anthropic's passes and cache
    in its last event.
    """
    finish = {"choices": [{"delta": {}, "finish_reason": "stop", "usage": CHAT}]}
    assert told("openai.chat", sse(chunk(content="ok"), finish), SSE) == TOKENS
    cited = chunk(content="", **CITED)
    assert told("openai.chat", sse(chunk(content="ok"), cited, last(CHAT)), SSE) == TOKENS | {
        "searches": 1
    }
    end = {"event_type": "stream-end", "response": {"text": "ok", "meta": {"billed_units": TOKENS}}}
    assert told("cohere.chat", ndjson({"text": "ok"}, end), "application/stream+json") == TOKENS
    begun = {"cache_creation_input_tokens": 50, "cache_creation": {"ephemeral_1h_input_tokens": 50}}
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 1, "output_tokens": 1} | begun},
    }
    grown = delta(input_tokens=20, output_tokens=20, cache_creation_input_tokens=80)
    body = named_sse(start, *DELTAS, grown, STOP)
    assert told("anthropic.messages", body, SSE) == TOKENS | {"cache_write_1h_tokens": 80}
    runs = [
        {"type": "compaction", "input_tokens": 60, "output_tokens": 5},
        {"input_tokens": 40, "output_tokens": 15},
    ]
    body = named_sse(
        START, *DELTAS, delta(input_tokens=40, output_tokens=15, iterations=runs), STOP
    )
    passes = (Pass(60, 5, kind="compaction"), Pass(40, 15))
    assert told("anthropic.messages", body, SSE)["passes"] == passes
