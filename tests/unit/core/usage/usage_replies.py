"""Build replies of each API, and read what they are charged."""

from __future__ import annotations

from tests.make import reservation, tokens
from tests.unit.core.usage.usage_case import (
    plain,
    table,
)

from tollgate.core.calls.usage import Usage
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


DELTAS = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "river "}}] * 200


REAL = {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}
START = {"type": "message_start", "message": {"usage": {"input_tokens": 1_000, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def delta(**usage: object) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def last(usage: object) -> dict[str, object]:
    return {"choices": [], "usage": usage}
