"""Replies of OpenAI's chat."""

from __future__ import annotations

from typing import Any

from tests.unit.core.usage.usage_case import PARTIAL, SSE, Case, plain, sse, used

NAMES = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m1"}


def reply(usage: object, **more: object) -> bytes:
    message = {"role": "assistant", "content": 'it said "usage": {"prompt_tokens": 99}'}
    return plain(
        NAMES
        | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        | more
    )


def chunk(text: str | None, **more: object) -> dict[str, Any]:
    return (
        NAMES
        | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        | more
    )


def last(usage: object, **more: object) -> dict[str, Any]:
    return NAMES | {"choices": [], "usage": usage} | more


def tokens(prompt: object, completion: object, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": completion} | more


STOP: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
HI = chunk("hi", usage=None)

CHAT = [
    Case(
        "json",
        "openai.chat",
        reply(tokens(12, 7, total_tokens=19)),
        used(12, 7, "m1"),
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
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
                completion_tokens_details={
                    "reasoning_tokens": 20,
                    "audio_tokens": 9,
                    "rejected_prediction_tokens": 2,
                },
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
        # 41 x 300 + 40 x 30 + 8 x 375 + 5 x 3,000 + 6 x 900 + 21 x 1,500 + 9 x 6,000 + 20 x 2,100
        nanousd=164_400,
    ),
    Case(
        "json whose details are null",
        "openai.chat",
        reply(tokens(12, 7, prompt_tokens_details=None)),
        used(12, 7, "m1"),
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "json of whole floats",
        "openai.chat",
        reply(tokens(12.0, 7.0)),
        used(12, 7, "m1"),
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "json of zero output",
        "openai.chat",
        reply(tokens(12, 0)),
        used(12, 0, "m1", PARTIAL),
        nanousd=1_200,
    ),  # 12 x 100
    Case(
        "json with spaces",
        "openai.chat",
        b'{ "model" : "m1" ,\r\n "usage" : { "prompt_tokens" : 3 , "completion_tokens" : 4 } }',
        used(3, 4, "m1"),
        nanousd=2_300,  # 3 x 100 + 4 x 500
    ),
    Case(
        "json after blank lines",
        "openai.chat",
        b"\n\n\n\n" + reply(tokens(30, 4)),
        used(30, 4, "m1"),
        nanousd=5_000,  # 30 x 100 + 4 x 500
    ),
    Case(
        "json with an escaped model",
        "openai.chat",
        b'{"model":"a\\/b","usage":{"prompt_tokens":3,"completion_tokens":4}}',
        used(3, 4, "a/b"),
        nanousd=2_300,  # 3 x 100 + 4 x 500
    ),
    Case("json without usage", "openai.chat", plain(NAMES), None),
    Case("json of an error", "openai.chat", plain({"error": {"message": "no", "code": 400}}), None),
    Case("json with usage null", "openai.chat", reply(None), None),
    Case("json with empty usage", "openai.chat", reply({}), None),
    Case(
        "json with null counts",
        "openai.chat",
        reply(tokens(None, None)),
        used(0, 0, "m1", PARTIAL),
        nanousd=0,  # nothing was used
    ),
    Case(
        "json with a null output",
        "openai.chat",
        reply(tokens(12, None)),
        used(12, 0, "m1", PARTIAL),
        nanousd=1_200,  # 12 x 100
    ),
    Case(
        "json with a negative count",
        "openai.chat",
        reply(tokens(12, -7)),
        used(12, 0, "m1", PARTIAL),
        nanousd=1_200,  # 12 x 100
    ),
    Case(
        "json with a fraction",
        "openai.chat",
        reply(tokens(12, 7.5)),
        used(12, 0, "m1", PARTIAL),
        nanousd=1_200,  # 12 x 100
    ),
    Case(
        "json with a boolean",
        "openai.chat",
        reply({"prompt_tokens": True, "completion_tokens": 7}),
        used(0, 7, "m1", PARTIAL),
        nanousd=3_500,  # 7 x 500
    ),
    Case(
        "json with text for a count",
        "openai.chat",
        reply(tokens("12", 7)),
        used(12, 7, "m1"),
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "json with an object for a count",
        "openai.chat",
        reply(tokens({"n": 12}, 7)),
        used(0, 7, "m1", PARTIAL),
        nanousd=3_500,  # 7 x 500
    ),
    Case(
        "json with 2^53",
        "openai.chat",
        reply(tokens(2**53, 7)),
        used(0, 7, "m1", PARTIAL),
        nanousd=3_500,
    ),  # 7 x 500
    Case(
        "json with a sum over 2^53",
        "openai.chat",
        reply(tokens(2**53 - 1, 7)),
        used(0, 0, "m1", PARTIAL),
        nanousd=0,  # nothing was used
    ),
    Case(
        "json with sixty digits",
        "openai.chat",
        reply(tokens(10**60, 7)),
        used(0, 7, "m1", PARTIAL),
        nanousd=3_500,  # 7 x 500
    ),
    Case(
        "json with more cached than input",
        "openai.chat",
        reply(tokens(12, 7, prompt_tokens_details={"cached_tokens": 13})),
        used(25, 7, "m1", cache_read_tokens=13),
        nanousd=4_830,  # 12 x 100 + 13 x 10 + 7 x 500
    ),
    Case(
        "json with more reasoning than output",
        "openai.chat",
        reply(tokens(12, 7, completion_tokens_details={"reasoning_tokens": 8})),
        used(12, 15, "m1", reasoning_tokens=8),
        nanousd=10_300,  # 12 x 100 + 7 x 500 + 8 x 700
    ),
    Case(
        "stream",
        "openai.chat",
        sse(HI, HI, last(tokens(12, 7))),
        used(12, 7, "m1"),
        SSE,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "stream with CRLF",
        "openai.chat",
        sse(HI, HI, last(tokens(12, 7)), end="\r\n\r\n"),
        used(12, 7, "m1"),
        SSE,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "stream with lone CR",
        "openai.chat",
        sse(HI, HI, last(tokens(12, 7)), end="\r\r"),
        used(12, 7, "m1"),
        SSE,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case("stream that nobody asked for usage", "openai.chat", sse(chunk("hi"), STOP), None, SSE),
    Case(
        "stream whose text speaks of usage",
        "openai.chat",
        sse(
            chunk('"usage":{"prompt_tokens":1}'),
            chunk("usage"),
            chunk("[DONE]"),
            last(tokens(12, 7)),
        ),
        used(12, 7, "m1"),
        SSE,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "stream in several data lines",
        "openai.chat",
        b'data: {"model":"m1","choices":[],\ndata:'
        b' "usage":{"prompt_tokens":12,"completion_tokens":7}}\n\ndata: [DONE]\n\n',
        used(12, 7, "m1"),
        SSE,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "stream without a space after the colon",
        "openai.chat",
        sse(HI, last(tokens(12, 7))).replace(b"data: ", b"data:"),
        used(12, 7, "m1"),
        SSE,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "stream cut before [DONE]",
        "openai.chat",
        sse(HI, last(tokens(12, 7)), done=False),
        used(12, 7, "m1"),
        SSE,
        finished=False,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "stream cut in its last blank line",
        "openai.chat",
        sse(HI, last(tokens(12, 7)), done=False, end="\n"),
        used(12, 7, "m1"),
        SSE,
        finished=False,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
    Case(
        "stream cut before usage", "openai.chat", sse(HI, HI, done=False), None, SSE, finished=False
    ),
    Case(
        "stream that ends in an error",
        "openai.chat",
        sse(HI, {"error": {"message": "no"}}, done=False),
        None,
        SSE,
        finished=False,
    ),
    Case(
        "stream with null counts",
        "openai.chat",
        sse(last(tokens(None, 7))),
        used(0, 7, "m1", PARTIAL),
        SSE,
        nanousd=3_500,  # 7 x 500
    ),
    Case(
        "stream whose last usage is null",
        "openai.chat",
        sse(last(tokens(12, 7)), HI),
        used(12, 7, "m1"),
        SSE,
        nanousd=4_700,  # 12 x 100 + 7 x 500
    ),
]
