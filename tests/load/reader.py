"""What tollgate.core.usage costs by itself: a stream of 500 events, an event a chunk, as ext_proc
feeds them.
"""

from __future__ import annotations

import json
import time
from importlib.resources import files
from typing import Any

import yaml
from tests.load.stats import Spread, spread

from tollgate.core.usage import Api, UsageReader, load_apis

_EVENTS = 500
# About half a second of work.
_REPEATS = 200


def reader_us_per_event() -> Spread:
    """CPU time an event (us), opening, usage and end included; a value for each reply that was
    read.
    """
    api, chunks = _chat(), _stream()
    for _ in range(10):
        _read_us(api, chunks)
    return spread(_read_us(api, chunks) / len(chunks) for _ in range(_REPEATS))


def _read_us(api: Api, chunks: list[bytes]) -> float:
    start_ns = time.process_time_ns()
    reader = UsageReader(api, "text/event-stream", hide_usage=True)
    for chunk in chunks:
        reader.feed(chunk)
    reader.finish()
    used = reader.usage()
    taken_us = (time.process_time_ns() - start_ns) / 1000
    assert used is not None
    assert used.output_tokens == _EVENTS
    return taken_us


def _chat() -> Api:
    table = yaml.safe_load(
        files("tollgate.core.usage.apis").joinpath("providers.yaml").read_text(encoding="utf-8")
    )
    return load_apis(table)["openai.chat"]


def _stream() -> list[bytes]:
    """An OpenAI reply of 500 deltas."""
    same = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
    }
    delta = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    usage = {"prompt_tokens": 20, "completion_tokens": _EVENTS, "total_tokens": 20 + _EVENTS}
    events = [same | {"choices": [delta], "usage": None}] * _EVENTS + [
        same | {"choices": [], "usage": usage}
    ]
    return [*map(_event, events), b"data: [DONE]\n\n"]


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
