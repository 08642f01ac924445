"""Replies of OpenAI's Responses API, and of those for pictures, sound and moderation."""

from __future__ import annotations

from typing import Any

from tests.unit.core.usage.usage_case import SSE, Case, named_sse, plain, sse, used


def response(status: str, usage: object, **more: object) -> dict[str, Any]:
    return {"id": "r1", "model": "m1", "status": status, "usage": usage} | more


RESPONSES_USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 42,
}
RESPONSES_USED = used(30, 12, "m1", cache_read_tokens=10, reasoning_tokens=4)
CREATED: dict[str, Any] = {"type": "response.created", "response": response("in_progress", None)}
DELTA: dict[str, Any] = {"type": "response.output_text.delta", "delta": "hello"}

RESPONSES = [
    Case(
        "json",
        "openai.responses",
        plain(response("completed", RESPONSES_USAGE)),
        RESPONSES_USED,
        nanousd=8_900,  # 20 x 100 + 10 x 10 + 8 x 500 + 4 x 700
    ),
    Case("json in the background", "openai.responses", plain(response("queued", None)), None),
    Case(
        "json with two searches",
        "openai.responses",
        plain(
            response(
                "completed",
                {"input_tokens": 3, "output_tokens": 4},
                output=[
                    {"type": "web_search_call"},
                    {"type": "message"},
                    {"type": "web_search_call"},
                ],
            )
        ),
        used(3, 4, "m1", searches=2),
        nanousd=20_002_300,  # 3 x 100 + 4 x 500 + 2 x 10,000,000
    ),
    *(
        Case(
            f"stream {status}",
            "openai.responses",
            named_sse(
                CREATED,
                DELTA,
                {"type": f"response.{status}", "response": response(status, RESPONSES_USAGE)},
            ),
            RESPONSES_USED,
            SSE,
            nanousd=8_900,  # 20 x 100 + 10 x 10 + 8 x 500 + 4 x 700
        )
        for status in ("completed", "incomplete", "failed")
    ),
    Case(
        "stream cut",
        "openai.responses",
        named_sse(CREATED, DELTA, DELTA),
        None,
        SSE,
        finished=False,
    ),
    Case(
        "stream with CRLF",
        "openai.responses",
        named_sse(
            CREATED,
            DELTA,
            {"type": "response.completed", "response": response("completed", RESPONSES_USAGE)},
            end="\r\n",
        ),
        RESPONSES_USED,
        SSE,
        nanousd=8_900,  # 20 x 100 + 10 x 10 + 8 x 500 + 4 x 700
    ),
]

IMAGE_USAGE = {
    "input_tokens": 20,
    "output_tokens": 1056,
    "total_tokens": 1076,
    "input_tokens_details": {"text_tokens": 12, "image_tokens": 8},
    "output_tokens_details": {"text_tokens": 56, "image_tokens": 1000},
}
INTERACTION = {
    "total_input_tokens": 11,
    "total_tool_use_tokens": 4,
    "total_cached_tokens": 2,
    "total_output_tokens": 7,
    "total_thought_tokens": 3,
    "total_tokens": 25,
}
MEDIA = [
    Case(
        "images",
        "openai.images",
        plain({"created": 1, "data": [{"b64_json": "QUJD"}], "usage": IMAGE_USAGE}),
        used(20, 1056, input_image_tokens=8, output_image_tokens=1000),
        nanousd=4_031_600,  # 12 x 100 + 8 x 300 + 56 x 500 + 1,000 x 4,000
    ),
    Case(
        "images in megabytes",
        "openai.images",
        plain({"created": 1, "data": [{"b64_json": "QUJD" * 80_000}], "usage": IMAGE_USAGE}),
        used(20, 1056, input_image_tokens=8, output_image_tokens=1000),
        nanousd=4_031_600,  # 12 x 100 + 8 x 300 + 56 x 500 + 1,000 x 4,000
    ),
    Case(
        "images stream in megabytes",
        "openai.images",
        named_sse(
            {"type": "image_generation.partial_image", "b64_json": "QUJD"},
            {
                "type": "image_generation.completed",
                "b64_json": "QUJD" * 80_000,
                "usage": {"input_tokens": 20, "output_tokens": 1056},
            },
        ),
        used(20, 1056),
        SSE,
        nanousd=530_000,  # 20 x 100 + 1,056 x 500
    ),
    Case(
        "images without usage",
        "openai.images",
        plain({"created": 1, "data": [{"url": "https://x/y"}]}),
        None,
    ),
    Case(
        "transcription by tokens",
        "openai.transcription",
        plain(
            {
                "text": "hi",
                "usage": {
                    "type": "tokens",
                    "input_tokens": 14,
                    "output_tokens": 3,
                    "input_token_details": {"audio_tokens": 10, "text_tokens": 4},
                },
            }
        ),
        used(14, 3, input_audio_tokens=10),
        nanousd=11_900,  # 4 x 100 + 10 x 1,000 + 3 x 500
    ),
    Case(
        "transcription by time",
        "openai.transcription",
        b'{"text":"hi","usage":{"type":"duration","seconds":9}}',
        used(audio_seconds=9),
        nanousd=900_000,  # 9 x 100,000
    ),
    Case(
        "transcription by a part of a second",
        "openai.transcription",
        b'{"text":"hi","usage":{"type":"duration","seconds":8.2}}',
        used(audio_seconds=9),
        nanousd=900_000,  # 9 x 100,000
    ),
    Case(
        "transcription, verbose",
        "openai.transcription",
        b'{"text":"hi","duration":2.95}',
        used(audio_seconds=3),
        nanousd=300_000,  # 3 x 100,000
    ),
    Case(
        "transcription stream",
        "openai.transcription",
        named_sse(
            {"type": "transcript.text.delta", "delta": "hi"},
            {"type": "transcript.text.done", "usage": {"input_tokens": 14, "output_tokens": 3}},
        ),
        used(14, 3),
        SSE,
        nanousd=2_900,  # 14 x 100 + 3 x 500
    ),
    Case(
        "transcription as subtitles",
        "openai.transcription",
        b"1\n00:00:00,000 --> 00:00:02,000\nhi\n",
        None,
        "text/plain",
        finished=False,
    ),
    Case("speech", "openai.speech", b"ID3\x04\xff\xfb\x90{}[]", None, "audio/mpeg", finished=False),
    Case(
        "speech stream",
        "openai.speech",
        named_sse(
            {"type": "speech.audio.delta", "audio": "QUJD"},
            {
                "type": "speech.audio.done",
                "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
            },
        ),
        used(14, 101),
        SSE,
        nanousd=51_900,  # 14 x 100 + 101 x 500
    ),
    Case(
        "moderation is free",
        "openai.moderation",
        plain({"id": "m", "model": "omni", "results": [{"flagged": False}]}),
        used(),
        nanousd=0,  # nothing was used
    ),
    Case(
        "a path that we do not know tells as chat does",
        "openai.other",
        plain({"usage": {"prompt_tokens": 5, "completion_tokens": 7}}),
        used(5, 7),
        nanousd=4_000,  # 5 x 100 + 7 x 500
    ),
    Case(
        "or as responses do",
        "openai.other",
        plain({"usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}}),
        used(5, 7),
        nanousd=4_000,  # 5 x 100 + 7 x 500
    ),
    Case(
        "or as Gemini does",
        "openai.other",
        plain(
            {
                "usageMetadata": {
                    "promptTokenCount": 5,
                    "candidatesTokenCount": 7,
                    "totalTokenCount": 15,
                }
            }
        ),
        used(5, 10, reasoning_tokens=3),
        nanousd=6_100,  # 5 x 100 + 7 x 500 + 3 x 700
    ),
    Case(
        "a text of Anthropic's old API, which tells nothing",
        "anthropic.complete",
        plain({"completion": " hi", "stop_reason": "stop_sequence", "log_id": "x"}),
        None,
    ),
    Case("a count of tokens", "openai.count_tokens", plain({"input_tokens": 5}), used(), nanousd=0),
    Case(
        "a count of Bedrock's", "bedrock.count_tokens", plain({"inputTokens": 5}), used(), nanousd=0
    ),
    Case(
        "or as Anthropic streams",
        "openai.other",
        named_sse(
            {
                "type": "message_start",
                "message": {"usage": {"input_tokens": 5, "output_tokens": 1}},
            },
            {"type": "message_delta", "usage": {"output_tokens": 7}},
        ),
        used(5, 7),
        SSE,
        finished=False,
        nanousd=4_000,  # 5 x 100 + 7 x 500
    ),
    Case(
        "pages that were read",
        "openai.ocr",
        plain(
            {
                "model": "mistral-ocr",
                "pages": [{"markdown": "hi"}],
                "usage_info": {"pages_processed": 2},
            }
        ),
        used(model="mistral-ocr", pages=2),
        nanousd=0,  # the price has none for pages
    ),
    Case(
        "an interaction",
        "gemini.interactions",
        plain({"id": "v1_x", "model": "g", "status": "completed", "usage": INTERACTION}),
        used(15, 10, "g", cache_read_tokens=2, reasoning_tokens=3),
        nanousd=6_920,  # 13 x 100 + 2 x 10 + 7 x 500 + 3 x 700
    ),
    Case(
        "an interaction as a stream",
        "gemini.interactions",
        sse(
            {"event_type": "step.delta", "delta": {"type": "text", "text": "hi"}},
            {
                "event_type": "interaction.completed",
                "interaction": {"model": "g", "usage": INTERACTION},
            },
        ),
        used(15, 10, "g", cache_read_tokens=2, reasoning_tokens=3),
        SSE,
        nanousd=6_920,  # 13 x 100 + 2 x 10 + 7 x 500 + 3 x 700
    ),
    Case(
        "texts put in order",
        "cohere.rerank",
        plain({"results": [{"index": 0}], "meta": {"billed_units": {"search_units": 1}}}),
        used(searches=1),
        nanousd=10_000_000,
    ),
    Case(
        "texts put in order by a provider that counts their tokens",
        "cohere.rerank",
        plain({"results": [{"index": 0}], "usage": {"total_tokens": 30}}),
        used(30),
        nanousd=3_000,  # 30 x 100
    ),
]

RESPONSES_AND_MEDIA = [*RESPONSES, *MEDIA]
