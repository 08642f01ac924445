"""Replies of Gemini and Vertex."""

from __future__ import annotations

from typing import Any

from tests.unit.core.usage.usage_case import PARTIAL, SSE, Case, plain, sse, used


def generated(usage: object, finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, object] = {"content": {"parts": [{"text": "hi"}], "role": "model"}}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": usage,
        "modelVersion": "g-1",
    }


def meta(prompt: object, **more: object) -> dict[str, object]:
    return {"promptTokenCount": prompt} | more


GEMINI_EARLY = generated(meta(9, totalTokenCount=9), None)
GEMINI_LAST = generated(meta(9, candidatesTokenCount=3, thoughtsTokenCount=20, totalTokenCount=32))
GEMINI_USED = used(9, 23, "g-1", reasoning_tokens=20)
GEMINI = [
    Case(
        "json on the tier flex, as a header tells",
        "gemini.generate",
        plain(generated(meta(9, candidatesTokenCount=3, totalTokenCount=12))),
        used(9, 3, "g-1", service_tier="flex"),
        headers={"x-gemini-service-tier": "flex"},
        nanousd=1_200,  # 9 x 50 + 3 x 250
    ),
    Case(
        "json of Vertex on the tier flex",
        "gemini.generate",
        plain(
            generated(
                meta(9, candidatesTokenCount=3, totalTokenCount=12, trafficType="ON_DEMAND_FLEX")
            )
        ),
        used(9, 3, "g-1", service_tier="ON_DEMAND_FLEX"),
        nanousd=1_200,  # 9 x 50 + 3 x 250
    ),
    Case(
        "json", "gemini.generate", plain(GEMINI_LAST), GEMINI_USED, nanousd=16_400
    ),  # 9 x 100 + 3 x 500 + 20 x 700
    Case(
        "json with thoughts inside candidates",
        "gemini.generate",
        plain(
            generated(meta(9, candidatesTokenCount=23, thoughtsTokenCount=20, totalTokenCount=32))
        ),
        GEMINI_USED,
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "json without a total",
        "gemini.generate",
        plain(generated(meta(9, candidatesTokenCount=3, thoughtsTokenCount=20))),
        GEMINI_USED,
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "json without candidates",
        "gemini.generate",
        plain(generated(meta(9, thoughtsTokenCount=20, totalTokenCount=29))),
        used(9, 20, "g-1", reasoning_tokens=20),
        nanousd=14_900,  # 9 x 100 + 20 x 700
    ),
    Case(
        "json of a prompt alone",
        "gemini.generate",
        plain(generated(meta(9, totalTokenCount=9))),
        used(9, 0, "g-1", PARTIAL),
        nanousd=900,  # 9 x 100
    ),
    Case(
        "json with the prompts of tools",
        "gemini.generate",
        plain(
            generated(
                meta(9, toolUsePromptTokenCount=40, candidatesTokenCount=3, totalTokenCount=52)
            )
        ),
        used(49, 3, "g-1"),
        nanousd=6_400,  # 49 x 100 + 3 x 500
    ),
    Case(
        "json whose total is too small",
        "gemini.generate",
        plain(generated(meta(9, candidatesTokenCount=3, totalTokenCount=10))),
        used(9, 3, "g-1", PARTIAL),
        nanousd=2_400,  # 9 x 100 + 3 x 500
    ),
    Case(
        "json with cache and modalities",
        "gemini.generate",
        plain(
            generated(
                meta(
                    300,
                    cachedContentTokenCount=100,
                    candidatesTokenCount=1300,
                    totalTokenCount=1600,
                    promptTokensDetails=[
                        {"modality": "TEXT", "tokenCount": 10},
                        {"modality": "IMAGE", "tokenCount": 258},
                        {"modality": "AUDIO", "tokenCount": 32},
                    ],
                    candidatesTokensDetails=[{"modality": "IMAGE", "tokenCount": 1290}],
                    trafficType="ON_DEMAND",
                )
            )
        ),
        used(
            300,
            1300,
            "g-1",
            service_tier="ON_DEMAND",
            cache_read_tokens=100,
            input_image_tokens=258,
            input_audio_tokens=32,
            output_image_tokens=1290,
        ),
        nanousd=5_248_400,  # 100 x 10 + 32 x 1,000 + 168 x 300 + 10 x 500 + 1,290 x 4,000
    ),
    Case(
        "json of a blocked prompt",
        "gemini.generate",
        plain(
            {
                "promptFeedback": {"blockReason": "SAFETY"},
                "usageMetadata": meta(9, totalTokenCount=9),
            }
        ),
        used(9),
        nanousd=900,  # 9 x 100
    ),
    Case(
        "stream",
        "gemini.generate",
        sse(GEMINI_EARLY, GEMINI_EARLY, GEMINI_LAST, done=False),
        GEMINI_USED,
        SSE,
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "stream with CRLF",
        "gemini.generate",
        sse(GEMINI_EARLY, GEMINI_EARLY, GEMINI_LAST, done=False, end="\r\n\r\n"),
        GEMINI_USED,
        SSE,
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "stream cut",
        "gemini.generate",
        sse(
            GEMINI_EARLY,
            generated(meta(9, candidatesTokenCount=1, totalTokenCount=10), None),
            done=False,
        ),
        used(9, 1, "g-1", PARTIAL),
        SSE,
        finished=False,
        nanousd=1_400,  # 9 x 100 + 1 x 500
    ),
    Case(
        "list",
        "gemini.generate",
        b"[" + plain(GEMINI_EARLY) + b"\n,\r\n" + plain(GEMINI_LAST) + b"\n]",
        GEMINI_USED,
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "list cut",
        "gemini.generate",
        b"[" + plain(GEMINI_EARLY) + b",\n" + plain(GEMINI_EARLY)[:-30],
        used(9, 0, "g-1", PARTIAL),
        finished=False,
        nanousd=900,  # 9 x 100
    ),
    Case(
        "list cut after its last item",
        "gemini.generate",
        b"[" + plain(GEMINI_EARLY) + b",\n" + plain(GEMINI_LAST),
        GEMINI_USED,
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case(
        "list longer than is kept",
        "gemini.generate",
        b"[" + (plain(GEMINI_EARLY) + b",") * 2_500 + plain(GEMINI_LAST) + b"]",
        GEMINI_USED,
        nanousd=16_400,  # 9 x 100 + 3 x 500 + 20 x 700
    ),
    Case("embedding", "gemini.embed", plain({"embedding": {"values": [0.1]}}), None),
    Case(
        "embedding with usage",
        "gemini.embed",
        plain({"embedding": {"values": [0.1]}, "usageMetadata": meta(7)}),
        used(7),
        nanousd=700,  # 7 x 100
    ),
    Case(
        "count_tokens is free",
        "gemini.count_tokens",
        plain({"totalTokens": 31}),
        used(),
        nanousd=0,  # nothing was used
    ),
    Case(
        "vertex predict",
        "vertex.predict",
        plain(
            {
                "predictions": [
                    {"embeddings": {"statistics": {"token_count": count}, "values": [0.1]}}
                    for count in (5, 6)
                ]
            }
        ),
        used(11),
        nanousd=1_100,  # 11 x 100
    ),
    Case(
        "vertex predict in megabytes",
        "vertex.predict",
        plain(
            {
                "predictions": [
                    {"embeddings": {"values": [0.125] * 3000, "statistics": {"token_count": 5}}}
                ]
                * 20
            }
        ),
        used(100),
        nanousd=10_000,  # 100 x 100
    ),
]
