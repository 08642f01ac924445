"""What a provider tells of usage is read, wherever it tells it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.usage.usage_case import (
    JSON,
    SSE,
    named_sse,
    ndjson,
    plain,
    sse,
)
from tests.unit.core.usage.usage_replies import (
    DELTAS,
    START,
    STOP,
    chat,
    chunk,
    claude,
    delta,
    gemini,
    last,
    read,
    response,
)

from tollgate.core.calls.usage import Certainty, Pass


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
