"""Replies of OpenAI's chat, completions and embeddings, and of the providers that speak them with fields of their own."""

from __future__ import annotations

from typing import Any

from tests.unit.usage_case import PARTIAL, SSE, Case, plain, sse, used

NAMES = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m1"}


def reply(usage: object, **more: object) -> bytes:
    message = {"role": "assistant", "content": 'it said "usage": {"prompt_tokens": 99}'}
    return plain(
        NAMES | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage} | more
    )


def chunk(text: str | None, **more: object) -> dict[str, Any]:
    return NAMES | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} | more


def last(usage: object, **more: object) -> dict[str, Any]:
    return NAMES | {"choices": [], "usage": usage} | more


def tokens(prompt: object, completion: object, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": completion} | more


STOP: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
HI = chunk("hi", usage=None)

CHAT = [
    Case("json", "openai.chat", reply(tokens(12, 7, total_tokens=19)), used(12, 7, "m1")),
    Case(
        "json with every detail",
        "openai.chat",
        reply(
            tokens(
                100,
                50,
                total_tokens=150,
                prompt_tokens_details={
                    "cached_tokens": 40,
                    "cache_write_tokens": 8,
                    "audio_tokens": 5,
                    "image_tokens": 6,
                },
                completion_tokens_details={"reasoning_tokens": 20, "audio_tokens": 9, "rejected_prediction_tokens": 2},
            ),
            service_tier="priority",
        ),
        used(
            100,
            50,
            "m1",
            service_tier="priority",
            cache_read_tokens=40,
            cache_write_5m_tokens=8,
            input_audio_tokens=5,
            input_image_tokens=6,
            reasoning_tokens=20,
            output_audio_tokens=9,
        ),
    ),
    Case(
        "json whose details are null",
        "openai.chat",
        reply(tokens(12, 7, prompt_tokens_details=None)),
        used(12, 7, "m1"),
    ),
    Case("json of whole floats", "openai.chat", reply(tokens(12.0, 7.0)), used(12, 7, "m1")),
    Case("json of zero output", "openai.chat", reply(tokens(12, 0)), used(12, 0, "m1")),
    Case(
        "json with spaces",
        "openai.chat",
        b'{ "model" : "m1" ,\r\n "usage" : { "prompt_tokens" : 3 , "completion_tokens" : 4 } }',
        used(3, 4, "m1"),
    ),
    Case("json after blank lines", "openai.chat", b"\n\n\n\n" + reply(tokens(30, 4)), used(30, 4, "m1")),
    Case(
        "json with an escaped model",
        "openai.chat",
        b'{"model":"a\\/b","usage":{"prompt_tokens":3,"completion_tokens":4}}',
        used(3, 4, "a/b"),
    ),
    Case("json without usage", "openai.chat", plain(NAMES), None),
    Case("json of an error", "openai.chat", plain({"error": {"message": "no", "code": 400}}), None),
    Case("json with usage null", "openai.chat", reply(None), None),
    Case("json with empty usage", "openai.chat", reply({}), None),
    Case("json with null counts", "openai.chat", reply(tokens(None, None)), used(0, 0, "m1", PARTIAL)),
    Case("json with a null output", "openai.chat", reply(tokens(12, None)), used(12, 0, "m1", PARTIAL)),
    Case("json with a negative count", "openai.chat", reply(tokens(12, -7)), used(12, 0, "m1", PARTIAL)),
    Case("json with a fraction", "openai.chat", reply(tokens(12, 7.5)), used(12, 0, "m1", PARTIAL)),
    Case(
        "json with a boolean",
        "openai.chat",
        reply({"prompt_tokens": True, "completion_tokens": 7}),
        used(0, 7, "m1", PARTIAL),
    ),
    Case("json with text for a count", "openai.chat", reply(tokens("12", 7)), used(0, 7, "m1", PARTIAL)),
    Case("json with an object for a count", "openai.chat", reply(tokens({"n": 12}, 7)), used(0, 7, "m1", PARTIAL)),
    Case("json with 2^53", "openai.chat", reply(tokens(2**53, 7)), used(0, 7, "m1", PARTIAL)),
    Case("json with a sum over 2^53", "openai.chat", reply(tokens(2**53 - 1, 7)), used(0, 0, "m1", PARTIAL)),
    Case("json with sixty digits", "openai.chat", reply(tokens(10**60, 7)), used(0, 7, "m1", PARTIAL)),
    Case(
        "json with more cached than input",
        "openai.chat",
        reply(tokens(12, 7, prompt_tokens_details={"cached_tokens": 13})),
        used(12, 7, "m1", PARTIAL),
    ),
    Case(
        "json with more reasoning than output",
        "openai.chat",
        reply(tokens(12, 7, completion_tokens_details={"reasoning_tokens": 8})),
        used(12, 7, "m1", PARTIAL),
    ),
    Case("stream", "openai.chat", sse(HI, HI, last(tokens(12, 7))), used(12, 7, "m1"), SSE),
    Case("stream with CRLF", "openai.chat", sse(HI, HI, last(tokens(12, 7)), end="\r\n\r\n"), used(12, 7, "m1"), SSE),
    Case("stream with lone CR", "openai.chat", sse(HI, HI, last(tokens(12, 7)), end="\r\r"), used(12, 7, "m1"), SSE),
    Case("stream that nobody asked for usage", "openai.chat", sse(chunk("hi"), STOP), None, SSE),
    Case(
        "stream whose text speaks of usage",
        "openai.chat",
        sse(chunk('"usage":{"prompt_tokens":1}'), chunk("usage"), chunk("[DONE]"), last(tokens(12, 7))),
        used(12, 7, "m1"),
        SSE,
    ),
    Case(
        "stream in several data lines",
        "openai.chat",
        b'data: {"model":"m1","choices":[],\ndata: "usage":{"prompt_tokens":12,"completion_tokens":7}}\n\ndata: [DONE]\n\n',
        used(12, 7, "m1"),
        SSE,
    ),
    Case(
        "stream without a space after the colon",
        "openai.chat",
        sse(HI, last(tokens(12, 7))).replace(b"data: ", b"data:"),
        used(12, 7, "m1"),
        SSE,
    ),
    Case(
        "stream cut before [DONE]",
        "openai.chat",
        sse(HI, last(tokens(12, 7)), done=False),
        used(12, 7, "m1"),
        SSE,
        finished=False,
    ),
    Case(
        "stream cut in its last blank line",
        "openai.chat",
        sse(HI, last(tokens(12, 7)), done=False, end="\n"),
        used(12, 7, "m1"),
        SSE,
        finished=False,
    ),
    Case("stream cut before usage", "openai.chat", sse(HI, HI, done=False), None, SSE, finished=False),
    Case(
        "stream that ends in an error",
        "openai.chat",
        sse(HI, {"error": {"message": "no"}}, done=False),
        None,
        SSE,
        finished=False,
    ),
    Case("stream with null counts", "openai.chat", sse(last(tokens(None, 7))), used(0, 7, "m1", PARTIAL), SSE),
    Case("stream whose last usage is null", "openai.chat", sse(last(tokens(12, 7)), HI), used(12, 7, "m1"), SSE),
]

COMPATIBLE = [
    Case(
        "azure stream with filter results first",
        "openai.chat",
        sse(
            {"choices": [], "model": "", "prompt_filter_results": [{"prompt_index": 0}], "usage": None},
            HI,
            last(tokens(9, 2)),
        ),
        used(9, 2, "m1"),
        SSE,
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
            tokens(4, 2, queue_time=0.1), x_groq={"id": "q", "usage": {"dram_cached_tokens": 4, "prompt_tokens": 77}}
        ),
        used(4, 2, "m1"),
    ),
    Case(
        "groq stream",
        "openai.chat",
        sse(chunk("hi"), STOP | {"model": "m1", "x_groq": {"id": "q", "usage": tokens(4, 2)}}),
        used(4, 2),
        SSE,
    ),
    Case(
        "groq stream with both",
        "openai.chat",
        sse(STOP | {"x_groq": {"usage": tokens(4, 2)}}, last(tokens(4, 2, total_tokens=6))),
        used(4, 2, "m1"),
        SSE,
    ),
    Case(
        "groq stream whose own usage stands before a null",
        "openai.chat",
        sse(STOP | {"x_groq": {"usage": tokens(4, 2)}, "usage": None}),
        used(4, 2),
        SSE,
    ),
    Case(
        "mistral stream with usage beside a choice",
        "openai.chat",
        sse(chunk("hi"), STOP | {"model": "m1", "usage": tokens(4, 2, total_tokens=6)}),
        used(4, 2, "m1"),
        SSE,
    ),
    Case(
        "mistral cached and audio",
        "openai.chat",
        reply(tokens(40, 2, num_cached_tokens=32, prompt_audio_seconds=3)),
        used(40, 2, "m1", cache_read_tokens=32, audio_seconds=3),
    ),
    Case(
        "deepseek hits and misses",
        "openai.chat",
        reply(tokens(30, 4, total_tokens=34, prompt_cache_hit_tokens=20, prompt_cache_miss_tokens=10)),
        used(30, 4, "m1", cache_read_tokens=20),
    ),
    Case(
        "deepseek stream with comments",
        "openai.chat",
        b": keep-alive\n\n: keep-alive\n\n" + sse(HI, last(tokens(30, 4, prompt_cache_hit_tokens=20))),
        used(30, 4, "m1", cache_read_tokens=20),
        SSE,
    ),
    Case(
        "vllm running counts",
        "openai.chat",
        sse(chunk("a", usage=tokens(5, 1)), chunk("b", usage=tokens(5, 2)), last(tokens(5, 3))),
        used(5, 3, "m1"),
        SSE,
    ),
    Case(
        "vllm running counts, cut",
        "openai.chat",
        sse(chunk("a", usage=tokens(5, 1)), chunk("b", usage=tokens(5, 2)), done=False),
        used(5, 2, "m1", PARTIAL),
        SSE,
        finished=False,
    ),
    Case(
        "gemini thoughts in the total alone",
        "openai.chat",
        reply(tokens(9, 3, total_tokens=32)),
        used(9, 23, "m1", reasoning_tokens=20),
    ),
    Case(
        "xai reasoning beside output",
        "openai.chat",
        reply(tokens(9, 3, total_tokens=32, completion_tokens_details={"reasoning_tokens": 20})),
        used(9, 23, "m1", reasoning_tokens=20),
    ),
    Case(
        "completions json",
        "openai.completions",
        plain({"object": "text_completion", "model": "m1", "usage": tokens(5, 9)}),
        used(5, 9, "m1"),
    ),
    Case(
        "completions stream",
        "openai.completions",
        sse({"choices": [{"text": "hi"}], "usage": None}, {"choices": [], "usage": tokens(5, 9)}),
        used(5, 9),
        SSE,
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
    ),
    Case("embeddings without usage", "openai.embeddings", plain({"object": "list", "data": []}), None),
]

CHAT_AND_TEXT = [*CHAT, *COMPATIBLE]
