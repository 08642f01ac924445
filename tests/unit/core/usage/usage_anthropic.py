"""Replies of Anthropic's APIs."""

from __future__ import annotations

from typing import Any

from tests.unit.core.usage.usage_case import PARTIAL, SSE, Case, named_sse, plain, used


def message(usage: object) -> bytes:
    return plain(
        {
            "type": "message",
            "model": "c-1",
            "content": [{"type": "text", "text": "hi"}],
            "usage": usage,
        }
    )


def start(**usage: object) -> dict[str, Any]:
    return {"type": "message_start", "message": {"type": "message", "model": "c-1", "usage": usage}}


def delta(stop_reason: str | None = "end_turn", **usage: object) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}


TEXT: dict[str, Any] = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "hello"},
}
PING: dict[str, Any] = {"type": "ping"}
STOP: dict[str, Any] = {"type": "message_stop"}
WRITES = {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50}
START = start(
    input_tokens=11,
    cache_creation_input_tokens=200,
    cache_read_input_tokens=30,
    cache_creation=WRITES,
    output_tokens=1,
    service_tier="standard",
)
# 11 uncached + 200 written + 30 read
CACHED = {"cache_write_5m_tokens": 150, "cache_write_1h_tokens": 50, "cache_read_tokens": 30}

ANTHROPIC = [
    Case(
        "json of fast mode",
        "anthropic.messages",
        message(
            {"input_tokens": 11, "output_tokens": 2, "service_tier": "standard", "speed": "fast"}
        ),
        used(11, 2, "c-1", service_tier="fast"),
        nanousd=6_300,  # 11 x 300 + 2 x 1,500
    ),
    Case(
        "json of a priority tier at the usual speed",
        "anthropic.messages",
        message(
            {
                "input_tokens": 11,
                "output_tokens": 2,
                "service_tier": "priority",
                "speed": "standard",
            }
        ),
        used(11, 2, "c-1", service_tier="priority"),
        nanousd=6_300,  # 11 x 300 + 2 x 1,500
    ),
    Case(
        "json",
        "anthropic.messages",
        message({"input_tokens": 11, "output_tokens": 57}),
        used(11, 57, "c-1"),
        nanousd=29_600,  # 11 x 100 + 57 x 500
    ),
    Case(
        "json with caches, thinking and searches",
        "anthropic.messages",
        message(
            {
                "input_tokens": 11,
                "cache_creation_input_tokens": 200,
                "cache_read_input_tokens": 30,
                "cache_creation": WRITES,
                "output_tokens": 57,
                "output_tokens_details": {"thinking_tokens": 40},
                "server_tool_use": {"web_search_requests": 2},
                "service_tier": "batch",
            }
        ),
        used(241, 57, "c-1", service_tier="batch", reasoning_tokens=40, searches=2, **CACHED),
        # 11 x 100 + 30 x 10 + 150 x 125 + 50 x 200 + 17 x 500 + 40 x 700 + 2 x 10,000,000
        nanousd=20_066_650,
    ),
    Case(
        "json with a write of unknown kind",
        "anthropic.messages",
        message({"input_tokens": 1, "cache_creation_input_tokens": 9, "output_tokens": 2}),
        used(10, 2, "c-1", cache_write_5m_tokens=9),
        nanousd=2_225,  # 1 x 100 + 9 x 125 + 2 x 500
    ),
    Case(
        "json whose caches are null",
        "anthropic.messages",
        message(
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": None,
                "cache_read_input_tokens": None,
                "output_tokens": 2,
            }
        ),
        used(1, 2, "c-1"),
        nanousd=1_100,  # 1 x 100 + 2 x 500
    ),
    Case(
        "json whose split is more than the sum",
        "anthropic.messages",
        message(
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 9,
                "cache_creation": WRITES,
                "output_tokens": 2,
            }
        ),
        used(10, 2, "c-1", PARTIAL, cache_write_5m_tokens=9),
        nanousd=2_225,  # 1 x 100 + 9 x 125 + 2 x 500
    ),
    Case(
        "json of an error",
        "anthropic.messages",
        plain({"type": "error", "error": {"type": "overloaded_error"}}),
        None,
    ),
    Case(
        "stream",
        "anthropic.messages",
        named_sse(START, PING, TEXT, delta(output_tokens=57), STOP),
        used(241, 57, "c-1", service_tier="standard", **CACHED),
        SSE,
        nanousd=58_650,  # 11 x 100 + 30 x 10 + 150 x 125 + 50 x 200 + 57 x 500
    ),
    Case(
        "stream with CRLF",
        "anthropic.messages",
        named_sse(START, PING, TEXT, delta(output_tokens=57), STOP, end="\r\n"),
        used(241, 57, "c-1", service_tier="standard", **CACHED),
        SSE,
        nanousd=58_650,  # 11 x 100 + 30 x 10 + 150 x 125 + 50 x 200 + 57 x 500
    ),
    Case(
        "stream whose delta repeats the input",
        "anthropic.messages",
        named_sse(
            START,
            delta(
                input_tokens=11,
                cache_read_input_tokens=30,
                cache_creation_input_tokens=200,
                output_tokens=57,
            ),
            STOP,
        ),
        used(241, 57, "c-1", service_tier="standard", **CACHED),
        SSE,
        nanousd=58_650,  # 11 x 100 + 30 x 10 + 150 x 125 + 50 x 200 + 57 x 500
    ),
    Case(
        "stream whose delta raises the input",
        "anthropic.messages",
        named_sse(
            start(input_tokens=11, output_tokens=1),
            delta(input_tokens=900, output_tokens=57, server_tool_use={"web_search_requests": 1}),
            STOP,
        ),
        used(900, 57, "c-1", searches=1),
        SSE,
        nanousd=10_118_500,  # 900 x 100 + 57 x 500 + 1 x 10,000,000
    ),
    Case(
        "stream whose delta has nulls",
        "anthropic.messages",
        named_sse(
            start(input_tokens=11, output_tokens=1),
            delta(input_tokens=None, output_tokens=57),
            STOP,
        ),
        used(11, 57, "c-1"),
        SSE,
        nanousd=29_600,  # 11 x 100 + 57 x 500
    ),
    Case(
        "stream of two deltas",
        "anthropic.messages",
        named_sse(
            start(input_tokens=11, output_tokens=1),
            delta(None, output_tokens=20),
            delta(output_tokens=57),
            STOP,
        ),
        used(11, 57, "c-1"),
        SSE,
        nanousd=29_600,  # 11 x 100 + 57 x 500
    ),
    Case(
        "stream cut after start",
        "anthropic.messages",
        named_sse(start(input_tokens=11, output_tokens=1), TEXT, TEXT),
        used(11, 1, "c-1", PARTIAL),
        SSE,
        finished=False,
        nanousd=1_600,  # 11 x 100 + 1 x 500
    ),
    Case(
        "stream cut before its stop",
        "anthropic.messages",
        named_sse(start(input_tokens=11, output_tokens=1), delta(output_tokens=57)),
        used(11, 57, "c-1"),
        SSE,
        finished=False,
        nanousd=29_600,  # 11 x 100 + 57 x 500
    ),
    Case(
        "stream that fails",
        "anthropic.messages",
        named_sse(
            start(input_tokens=11, output_tokens=1),
            {"type": "error", "error": {"type": "overloaded_error"}},
        ),
        used(11, 1, "c-1", PARTIAL),
        SSE,
        finished=False,
        nanousd=1_600,  # 11 x 100 + 1 x 500
    ),
    Case(
        "stream with a damaged delta",
        "anthropic.messages",
        named_sse(start(input_tokens=11, output_tokens=1), delta(output_tokens=-5), STOP),
        used(11, 1, "c-1", PARTIAL),
        SSE,
        nanousd=1_600,  # 11 x 100 + 1 x 500
    ),
    Case(
        "stream whose text is a type",
        "anthropic.messages",
        named_sse(
            start(input_tokens=11, output_tokens=1),
            TEXT | {"delta": {"type": "text_delta", "text": "message_stop"}},
            delta(output_tokens=5),
        ),
        used(11, 5, "c-1"),
        SSE,
        finished=False,
        nanousd=3_600,  # 11 x 100 + 5 x 500
    ),
    Case(
        "count_tokens is free",
        "anthropic.count_tokens",
        b'{"input_tokens":14}',
        used(),
        nanousd=0,  # nothing was used
    ),
]
