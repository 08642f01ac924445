"""Replies of the providers that speak OpenAI's chat with fields of their own, and of OpenAI's
completions and embeddings.
"""

from __future__ import annotations

from tests.unit.core.usage.usage_case import PARTIAL, SSE, Case, plain, sse, used
from tests.unit.core.usage.usage_openai import CHAT, HI, STOP, chunk, last, reply, tokens

COMPATIBLE = [
    Case(
        "azure stream with filter results first",
        "openai.chat",
        sse(
            {
                "choices": [],
                "model": "",
                "prompt_filter_results": [{"prompt_index": 0}],
                "usage": None,
            },
            HI,
            last(tokens(9, 2)),
        ),
        used(9, 2, "m1"),
        SSE,
        nanousd=1_900,  # 9 x 100 + 2 x 500
    ),
    Case(
        "azure stream of filter results alone",
        "openai.chat",
        sse({"choices": [], "model": "", "prompt_filter_results": [{"prompt_index": 0}]}, HI),
        None,
        SSE,
    ),
    Case(
        "groq json",
        "openai.chat",
        reply(
            tokens(4, 2, queue_time=0.1),
            x_groq={"id": "q", "usage": {"dram_cached_tokens": 4, "prompt_tokens": 77}},
        ),
        used(4, 2, "m1"),
        nanousd=1_400,  # 4 x 100 + 2 x 500
    ),
    Case(
        "groq stream",
        "openai.chat",
        sse(chunk("hi"), STOP | {"model": "m1", "x_groq": {"id": "q", "usage": tokens(4, 2)}}),
        used(4, 2),
        SSE,
        nanousd=1_400,  # 4 x 100 + 2 x 500
    ),
    Case(
        "groq stream with both",
        "openai.chat",
        sse(STOP | {"x_groq": {"usage": tokens(4, 2)}}, last(tokens(4, 2, total_tokens=6))),
        used(4, 2, "m1"),
        SSE,
        nanousd=1_400,  # 4 x 100 + 2 x 500
    ),
    Case(
        "groq stream whose own usage stands before a null",
        "openai.chat",
        sse(STOP | {"x_groq": {"usage": tokens(4, 2)}, "usage": None}),
        used(4, 2),
        SSE,
        nanousd=1_400,  # 4 x 100 + 2 x 500
    ),
    Case(
        "mistral stream with usage beside a choice",
        "openai.chat",
        sse(chunk("hi"), STOP | {"model": "m1", "usage": tokens(4, 2, total_tokens=6)}),
        used(4, 2, "m1"),
        SSE,
        nanousd=1_400,  # 4 x 100 + 2 x 500
    ),
    Case(
        "mistral cached and audio",
        "openai.chat",
        reply(tokens(40, 2, num_cached_tokens=32, prompt_audio_seconds=3)),
        used(40, 2, "m1", cache_read_tokens=32, audio_seconds=3),
        nanousd=302_120,  # 8 x 100 + 32 x 10 + 2 x 500 + 3 x 100,000
    ),
    Case(
        "deepseek hits and misses",
        "openai.chat",
        reply(
            tokens(30, 4, total_tokens=34, prompt_cache_hit_tokens=20, prompt_cache_miss_tokens=10)
        ),
        used(30, 4, "m1", cache_read_tokens=20),
        nanousd=3_200,  # 10 x 100 + 20 x 10 + 4 x 500
    ),
    Case(
        "deepseek stream with comments",
        "openai.chat",
        b": keep-alive\n\n: keep-alive\n\n"
        + sse(HI, last(tokens(30, 4, prompt_cache_hit_tokens=20))),
        used(30, 4, "m1", cache_read_tokens=20),
        SSE,
        nanousd=3_200,  # 10 x 100 + 20 x 10 + 4 x 500
    ),
    Case(
        "vllm running counts",
        "openai.chat",
        sse(chunk("a", usage=tokens(5, 1)), chunk("b", usage=tokens(5, 2)), last(tokens(5, 3))),
        used(5, 3, "m1"),
        SSE,
        nanousd=2_000,  # 5 x 100 + 3 x 500
    ),
    Case(
        "vllm running counts, cut",
        "openai.chat",
        sse(chunk("a", usage=tokens(5, 1)), chunk("b", usage=tokens(5, 2)), done=False),
        used(5, 2, "m1", PARTIAL),
        SSE,
        finished=False,
        nanousd=1_500,  # 5 x 100 + 2 x 500
    ),
    Case(
        "gemini thoughts in the total alone",
        "openai.chat",
        reply(tokens(9, 3, total_tokens=32)),
        used(9, 23, "m1", reasoning_tokens=20),
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "xai reasoning beside output",
        "openai.chat",
        reply(tokens(9, 3, total_tokens=32, completion_tokens_details={"reasoning_tokens": 20})),
        used(9, 23, "m1", reasoning_tokens=20),
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "completions json",
        "openai.completions",
        plain({"object": "text_completion", "model": "m1", "usage": tokens(5, 9)}),
        used(5, 9, "m1"),
        nanousd=5_000,  # 5 x 100 + 9 x 500
    ),
    Case(
        "completions stream",
        "openai.completions",
        sse({"choices": [{"text": "hi"}], "usage": None}, {"choices": [], "usage": tokens(5, 9)}),
        used(5, 9),
        SSE,
        nanousd=5_000,  # 5 x 100 + 9 x 500
    ),
    Case(
        "embeddings",
        "openai.embeddings",
        plain(
            {
                "object": "list",
                "data": [{"embedding": [0.5, -1e-3]}],
                "model": "e1",
                "usage": {"prompt_tokens": 8, "total_tokens": 8},
            }
        ),
        used(8, 0, "e1"),
        nanousd=800,  # 8 x 100
    ),
    Case(
        "embeddings without usage", "openai.embeddings", plain({"object": "list", "data": []}), None
    ),
]

CHAT_AND_TEXT = [*CHAT, *COMPATIBLE]
