"""Replies of AWS Bedrock."""

from __future__ import annotations

from tests.unit.core.usage.usage_anthropic import STOP, TEXT, delta, message, start
from tests.unit.core.usage.usage_case import (
    FRAMES,
    PARTIAL,
    Case,
    chunks,
    frame,
    frames,
    plain,
    used,
)

COUNTS = {"x-amzn-bedrock-input-token-count": "9", "x-amzn-bedrock-output-token-count": "4"}
METRICS = {
    "inputTokenCount": 9,
    "outputTokenCount": 4,
    "invocationLatency": 5,
    "cacheReadInputTokenCount": 2,
    "cacheWriteInputTokenCount": 3,
}
CONVERSED = {"inputTokens": 12, "outputTokens": 34, "totalTokens": 46}
BEDROCK = [
    Case(
        "converse",
        "bedrock.converse",
        plain(
            {
                "output": {"message": {"content": [{"text": "hi"}]}},
                "usage": CONVERSED,
                "metrics": {"latencyMs": 9},
            }
        ),
        used(12, 34),
        nanousd=18_200,  # 12 x 100 + 34 x 500
    ),
    Case(
        "converse with caches",
        "bedrock.converse",
        plain(
            {
                "usage": CONVERSED
                | {
                    "cacheReadInputTokens": 5,
                    "cacheWriteInputTokens": 7,
                    "cacheDetails": [
                        {"ttl": "1h", "inputTokens": 3},
                        {"ttl": "5m", "inputTokens": 4},
                    ],
                },
                "serviceTier": {"type": "flex"},
            }
        ),
        used(
            24,
            34,
            service_tier="flex",
            cache_read_tokens=5,
            cache_write_5m_tokens=4,
            cache_write_1h_tokens=3,
        ),
        nanousd=10_250,  # 12 x 50 + 5 x 10 + 4 x 125 + 3 x 200 + 34 x 250
    ),
    Case(
        "converse stream",
        "bedrock.converse_stream",
        frames(
            ("messageStart", {"role": "assistant"}),
            ("contentBlockDelta", {"delta": {"text": "hi"}}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": CONVERSED, "p": "abc"}),
        ),
        used(12, 34),
        FRAMES,
        nanousd=18_200,  # 12 x 100 + 34 x 500
    ),
    Case(
        "converse stream cut",
        "bedrock.converse_stream",
        frames(
            ("contentBlockDelta", {"delta": {"text": "hi"}}), ("metadata", {"usage": CONVERSED})
        )[:-9],
        None,
        FRAMES,
        finished=False,
    ),
    Case(
        "converse stream that fails",
        "bedrock.converse_stream",
        frame("throttlingException", b'{"message":"slow"}', "exception"),
        None,
        FRAMES,
        finished=False,
    ),
    Case(
        "converse stream with a long frame",
        "bedrock.converse_stream",
        frames(
            ("contentBlockDelta", {"delta": {"text": "x" * 300_000}}),
            ("metadata", {"usage": CONVERSED}),
        ),
        used(12, 34),
        FRAMES,
        nanousd=18_200,  # 12 x 100 + 34 x 500
    ),
    Case(
        "invoke, claude",
        "bedrock.invoke",
        message(
            {
                "input_tokens": 9,
                "output_tokens": 4,
                "cache_creation_input_tokens": 3,
                "cache_read_input_tokens": 2,
            }
        ),
        used(14, 4, "c-1", cache_read_tokens=2, cache_write_5m_tokens=3),
        headers=COUNTS,
        nanousd=3_295,  # 9 x 100 + 2 x 10 + 3 x 125 + 4 x 500
    ),
    Case(
        "invoke, nova",
        "bedrock.invoke",
        plain({"output": {}, "usage": {"inputTokens": 9, "outputTokens": 4}}),
        used(9, 4),
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
    Case(
        "invoke, titan",
        "bedrock.invoke",
        plain({"inputTextTokenCount": 9, "results": [{"tokenCount": 3}, {"tokenCount": 1}]}),
        used(9, 4),
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
    Case(
        "invoke, llama",
        "bedrock.invoke",
        plain({"generation": "hi", "prompt_token_count": 9, "generation_token_count": 4}),
        used(9, 4),
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
    Case(
        "invoke, openai's open models",
        "bedrock.invoke",
        plain({"model": "o", "usage": {"prompt_tokens": 9, "completion_tokens": 4}}),
        used(9, 4, "o"),
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
    Case(
        "invoke whose headers alone tell",
        "bedrock.invoke",
        plain({"embeddings": [[0.1]]}),
        used(9, 4),
        headers=COUNTS,
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
    Case(
        "invoke with a damaged header",
        "bedrock.invoke",
        plain({}),
        used(0, 4, None, PARTIAL),
        headers=COUNTS | {"x-amzn-bedrock-input-token-count": "-9"},
        nanousd=2_000,  # 4 x 500
    ),
    Case(
        "invoke stream, claude",
        "bedrock.invoke_stream",
        chunks(
            start(input_tokens=9, output_tokens=1),
            TEXT,
            delta(output_tokens=4),
            STOP | {"amazon-bedrock-invocationMetrics": METRICS},
        ),
        used(14, 4, "c-1", cache_read_tokens=2, cache_write_5m_tokens=3),
        FRAMES,
        nanousd=3_295,  # 9 x 100 + 2 x 10 + 3 x 125 + 4 x 500
    ),
    Case(
        "invoke stream, claude, cut",
        "bedrock.invoke_stream",
        chunks(start(input_tokens=9, output_tokens=1), TEXT),
        used(9, 1, "c-1", PARTIAL),
        FRAMES,
        finished=False,
        nanousd=1_400,  # 9 x 100 + 1 x 500
    ),
    Case(
        "invoke stream, llama",
        "bedrock.invoke_stream",
        chunks(
            {
                "generation": "a",
                "prompt_token_count": 9,
                "generation_token_count": 1,
                "stop_reason": None,
            },
            {
                "generation": "",
                "prompt_token_count": None,
                "generation_token_count": 4,
                "stop_reason": "stop",
            },
        ),
        used(9, 4),
        FRAMES,
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
    Case(
        "invoke stream, nova",
        "bedrock.invoke_stream",
        chunks(
            {"contentBlockDelta": {"delta": {"text": "hi"}}},
            {"metadata": {"usage": {"inputTokens": 9, "outputTokens": 4}}},
        ),
        used(9, 4),
        FRAMES,
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
    Case(
        "invoke stream with damaged base64",
        "bedrock.invoke_stream",
        frames(("chunk", {"bytes": "a"}))
        + chunks(
            {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 4}}
        ),
        used(9, 4),
        FRAMES,
        nanousd=2_900,  # 9 x 100 + 4 x 500
    ),
]
