"""No reply that showed output is free, none that showed and told nothing costs: whatever its API,
events, counts, cuts and coding.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import brotli  # type: ignore[import-untyped]  # the wheel ships no types
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.make import reservation, tokens
from tests.unit.core.usage.usage_case import (
    FRAMES,
    JSON,
    NDJSON,
    SSE,
    chunks,
    frames,
    ndjson,
    plain,
    table,
)

from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.usage import UsageReader
from tollgate.metering.metering import used

APIS = table()
HELD = reservation("r1", tokens(10_000), tokens=1_000)
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
# The reply's first letter is a quote or a backslash at times, and at times its text looks like
# counts or like an event's end.
WORDS = st.text(min_size=1, max_size=30) | st.sampled_from(
    ['"usage":{', "data: [DONE]\n\n", "\\", '\\"', "}\n\n", "río"]
)


@dataclass(frozen=True)
class Kind:
    """How one API's replies come.

    `shows`: a document with this text; `silent`: documents that show and tell nothing.

    `tells`: a document with these counts of input and output; none: it has no counts.
    `framed`: the body of so many documents.
    """

    api: str
    content_type: str
    shows: Callable[[str], object]
    silent: Sequence[object]
    tells: Callable[[object, object], object]
    framed: Callable[[Sequence[object]], bytes]


def _one(documents: Sequence[object]) -> bytes:
    """A body that is no stream: its documents as one, members of later ones beside those of earlier
    ones.
    """
    merged: dict[str, object] = {}
    for each in documents:
        assert isinstance(each, dict)
        merged |= {name: value for name, value in each.items() if name not in merged or value}
    return plain(merged)


def _array(documents: Sequence[object]) -> bytes:
    return plain(list(documents))


def _sse(documents: Sequence[object]) -> bytes:
    return b"".join(b"data: " + plain(each) + b"\n\n" for each in documents) + b"data: [DONE]\n\n"


def _spaced(documents: Sequence[object]) -> bytes:
    """Events with names, comments, other ends, and spaces in their JSON."""
    events = (f"event: x\r\ndata: {json.dumps(each)}\r\n\r\n: ping\r\n\r\n" for each in documents)
    return "".join(events).encode()


def _frames(documents: Sequence[object]) -> bytes:
    return frames(*(("event", each) for each in documents))


def _usage(input_name: str, output_name: str) -> Callable[[object, object], object]:
    return lambda sent, got: {"usage": {input_name: sent, output_name: got}}


ERROR = {"error": {"message": "no", "type": "server_error", "code": "overloaded"}}
CHAT_USAGE = _usage("prompt_tokens", "completion_tokens")
TOKEN_USAGE = _usage("input_tokens", "output_tokens")
CHAT_SILENT = (
    ERROR,
    {"choices": []},
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"usage": None},
)


def _delta(text: str) -> object:
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": text}}]}


def _called(text: str) -> object:
    call = {"index": 0, "function": {"arguments": text}}
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": None, "tool_calls": [call]}}]}


def _thought(text: str) -> object:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]
    return {"choices": [{"index": 0, "delta": {"content": thinking}}]}


def _parts(**part: object) -> object:
    return {"candidates": [{"content": {"parts": [part]}, "index": 0}]}


def _metadata(sent: object, got: object) -> object:
    return {"usageMetadata": {"promptTokenCount": sent, "candidatesTokenCount": got}}


def _finished(sent: object, got: object) -> object:
    return {"candidates": [{"finishReason": "STOP", "index": 0}], **_dict(_metadata(sent, got))}


KINDS = [
    *(
        Kind("openai.chat", SSE, shows, CHAT_SILENT, CHAT_USAGE, framed)
        for shows in (_delta, _called, _thought)
        for framed in (_sse, _spaced)
    ),
    Kind("openai.chat", JSON, _delta, CHAT_SILENT, CHAT_USAGE, _sse),
    Kind("openai.chat", "", lambda text: {"choices": [{"message": {"content": text}}]}, (ERROR, {}),
     CHAT_USAGE, _one),
    Kind("openai.chat", JSON, lambda text: {"choices": [{"text": text}]}, (ERROR, {}), CHAT_USAGE,
     _one),
    Kind("openai.completions", SSE, lambda text: {"choices": [{"text": text}]}, CHAT_SILENT,
     CHAT_USAGE, _sse),
    Kind("openai.embeddings", JSON, lambda _: {"data": [{"embedding": [0.1]}]}, (ERROR, {}),
     CHAT_USAGE, _one),
    Kind(
        "openai.responses",
        SSE,
        lambda text: {"type": "response.output_text.delta", "delta": text},
        ({"type": "response.created", "response": {"usage": None}}, {"type": "error", **ERROR}),
        lambda sent, got: {"type": "response.completed", "response": TOKEN_USAGE(sent, got)},
        _sse,
    ),
    Kind(
        "openai.responses",
        JSON,
        lambda text: {"output": [{"type": "message",
        "content": [{"type": "output_text", "text": text}]}]},
        ({"metadata": {"text": "x"}, "instructions": "hi", "error": {"code": "x"}}, {}),
        TOKEN_USAGE,
        _one,
    ),
    Kind("openai.images", JSON, lambda _: {"data": [{"b64_json": "AAAA"}]}, (ERROR, {}),
     TOKEN_USAGE, _one),
    Kind("openai.transcription", JSON, lambda text: {"text": text}, (ERROR, {}), TOKEN_USAGE, _one),
    Kind(
        "openai.speech",
        SSE,
        lambda _: {"type": "speech.audio.delta", "audio": "AAAA"},
        (ERROR,),
        lambda sent, got: {"type": "speech.audio.done", **_dict(TOKEN_USAGE(sent, got))},
        _sse,
    ),
    Kind(
        "anthropic.messages",
        SSE,
        lambda text: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}},
        ({"type": "ping"}, {"type": "error", **ERROR}, {"type": "message_stop"}),
        lambda sent, got: {"type": "message_delta", "delta": {"stop_reason": "x"},
        **_dict(TOKEN_USAGE(sent, got))},
        _sse,
    ),
    Kind(
        "anthropic.messages",
        JSON,
        lambda text: {"content": [{"type": "tool_use", "input": {"a": text}}]},
        ({"type": "error", **ERROR}, {"content": []}),
        TOKEN_USAGE,
        _one,
    ),
    *(
        Kind("gemini.generate", content_type, shows,
         ({"promptFeedback": {"blockReason": "X"}}, ERROR), _finished, framed)
        for content_type, framed in ((SSE, _sse), (JSON, _array))
        for shows in (lambda text: _parts(text=text),
        lambda text: _parts(functionCall={"args": {"a": text}}))
    ),
    Kind("gemini.embed", JSON, lambda _: {"embedding": {"values": [0.1]}}, (ERROR, {}), _metadata,
     _one),
    Kind(
        "bedrock.converse_stream",
        FRAMES,
        lambda text: {"contentBlockIndex": 0, "delta": {"text": text}},
        ({"message": "no"}, {"role": "assistant"}),
        _usage("inputTokens", "outputTokens"),
        _frames,
    ),
    Kind(
        "bedrock.invoke_stream",
        FRAMES,
        lambda text: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}},
        ({"message": "no"},),
        lambda sent, got: {"amazon-bedrock-invocationMetrics": {"inputTokenCount": sent,
        "outputTokenCount": got}},
        lambda documents: chunks(*documents),
    ),
    Kind("bedrock.invoke", JSON, lambda text: {"generation": text}, ({"message": "no"},),
     TOKEN_USAGE, _one),
    Kind(
        "cohere.chat",
        SSE,
        lambda text: {"type": "content-delta", "delta": {"message": {"content": {"text": text}}}},
        ({"type": "message-start"}, {"message": "no"}),
        lambda sent, got: {"type": "message-end",
        "delta": {"usage": {"billed_units": _dict(TOKEN_USAGE(sent, got))["usage"]}}},
        _sse,
    ),
    Kind(
        "ollama",
        NDJSON,
        lambda text: {"message": {"content": text}, "done": False},
        ({"error": "no"}, {"message": {"content": ""}, "done": False}),
        lambda sent, got: {"done": True, "prompt_eval_count": sent, "eval_count": got},
        lambda documents: ndjson(*documents),
    ),
]  # fmt: skip


def _dict(document: object) -> dict[str, object]:
    assert isinstance(document, dict)
    return document


NO_COUNT = (None, 0, -5, 1.5, "many", True, [], {})
UNTOLD = st.sampled_from(NO_COUNT)


def charge(kind: Kind, body: bytes, encoding: str, places: list[int], *, complete: bool) -> Usage:
    """What the reply is charged, however it is cut into pieces."""
    packed = ENCODERS[encoding](body)
    reader = UsageReader(APIS[kind.api], kind.content_type, encoding)
    edges = [0, *sorted(place % (len(packed) + 1) for place in places), len(packed)]
    for start, end in pairwise(edges):
        reader.feed(packed[start:end])
    if complete:
        reader.finish()
    return used(HELD, reader.reading(), 200, complete=complete)


PLACES = st.lists(st.integers(0, 2**20), max_size=6)


@given(
    kind=st.sampled_from(KINDS),
    texts=st.lists(WORDS, min_size=1, max_size=4),
    counts=st.lists(st.tuples(UNTOLD, UNTOLD), max_size=2),
    silent=st.lists(st.integers(0, 9), max_size=2),
    encoding=st.sampled_from(sorted(ENCODERS)),
    places=PLACES,
    complete=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_reply_that_showed_output_is_free(
    kind: Kind,
    texts: list[str],
    counts: list[tuple[object, object]],
    silent: list[int],
    encoding: str,
    places: list[int],
    complete: bool,
) -> None:
    """Its counts are missing or damaged: the input is charged as estimated, the output as seen, and
    neither is called exact.
    """
    documents = [kind.shows(text) for text in texts]
    documents += [kind.silent[number % len(kind.silent)] for number in silent]
    documents += [kind.tells(sent, got) for sent, got in counts]
    charged = charge(kind, kind.framed(documents), encoding, places, complete=complete)
    textless = kind.api in ("openai.embeddings", "gemini.embed")
    free_input = kind.api == "ollama"  # a zero that is left out is one
    assert charged.input_tokens == HELD.input_tokens or free_input
    assert charged.output_tokens > 0 or textless
    assert charged.certainty in (Certainty.PARTIAL, Certainty.ESTIMATED)


@given(
    kind=st.sampled_from(KINDS),
    counts=st.lists(st.tuples(UNTOLD, UNTOLD), max_size=2),
    silent=st.lists(st.integers(0, 9), max_size=4),
    encoding=st.sampled_from(sorted(ENCODERS)),
    places=PLACES,
)
@settings(max_examples=300, deadline=None)
def test_no_reply_that_showed_and_told_nothing_costs(
    kind: Kind,
    counts: list[tuple[object, object]],
    silent: list[int],
    encoding: str,
    places: list[int],
) -> None:
    """Errors, empty events, and counts that are none."""
    documents = [kind.silent[number % len(kind.silent)] for number in silent]
    documents += [kind.tells(sent, got) for sent, got in counts]
    charged = charge(kind, kind.framed(documents), encoding, places, complete=True)
    assert charged.total_tokens == 0


@given(
    kind=st.sampled_from(KINDS),
    texts=st.lists(WORDS, min_size=1, max_size=4),
    later=st.lists(st.tuples(UNTOLD, UNTOLD), max_size=2),
    sent=st.integers(1, 10_000),
    got=st.integers(1, 10_000),
    encoding=st.sampled_from(sorted(ENCODERS)),
    places=PLACES,
)
@settings(max_examples=300, deadline=None)
def test_what_was_told_is_charged_whatever_is_told_later(
    kind: Kind,
    texts: list[str],
    later: list[tuple[object, object]],
    sent: int,
    got: int,
    encoding: str,
    places: list[int],
) -> None:
    """Counts only grow within a stream."""
    one = kind.framed is _one
    documents = [kind.shows(text) for text in texts]
    documents += [
        kind.tells(*counts) for counts in ([(sent, got)] if one else [(sent, got), *later])
    ]
    charged = charge(kind, kind.framed(documents), encoding, places, complete=True)
    got = 0 if kind.api == "gemini.embed" else got
    assert (charged.input_tokens, charged.output_tokens) == (sent, got)
    assert charged.certainty is Certainty.EXACT
