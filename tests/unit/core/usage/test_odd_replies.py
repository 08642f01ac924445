"""Replies whose headers do not tell what their bodies are, and rare shapes of output."""

from __future__ import annotations

import gzip
import json
import zlib

import brotli
import pytest
from backports import zstd
from tests.unit.core.usage.usage_case import (
    FRAMES,
    JSON,
    NDJSON,
    SSE,
    chunks,
    frame,
    frames,
    named_sse,
    ndjson,
    plain,
    sse,
)
from tests.unit.core.usage.usage_replies import (
    APIS,
    DELTAS,
    HELD,
    REAL,
    START,
    STOP,
    WORDS,
    charged,
    chat,
    chunk,
    claude,
    delta,
    gemini,
    last,
    response,
)

from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.usage import UsageReader
from tollgate.metering.metering import used

WRITERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
BODIES = [(JSON, chat(REAL)), (SSE, sse(*[chunk(content="river ")] * 9, last(REAL)))]
TOLD = (1_000, 500, Certainty.EXACT)


def read(api: str, content_type: str, coding: str, body: bytes, step: int) -> Usage:
    """What a reply is charged that comes in pieces of so many bytes."""
    reader = UsageReader(APIS[api], content_type, coding)
    for at in range(0, len(body), step):
        assert reader.feed(body[at : at + step]) == body[at : at + step]
    reader.finish()
    return used(HELD, reader.reading(), 200, complete=True)


def told(usage: Usage) -> tuple[int, int, Certainty]:
    return usage.input_tokens, usage.output_tokens, usage.certainty


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("coding", WRITERS)
@pytest.mark.parametrize(("content_type", "body"), BODIES)
def test_a_body_that_is_not_compressed_as_its_header_says_is_read(
    content_type: str, body: bytes, coding: str, step: int
) -> None:
    """A proxy in between may inflate a body and leave the header."""
    assert told(read("openai.chat", content_type, coding, body, step)) == TOLD


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", gzip.compress(chat(REAL))),
        ("gzip", zstd.compress(chat(REAL))),
        ("zstd", brotli.compress(chat(REAL))),
        ("gzip", gzip.compress(chat(REAL))[:-8] + b"\xff" * 8),
        ("gzip", gzip.compress(chat(REAL))[:40] + b"\xff" * 400),
        ("gzip", b"\x1f\x8b" + b"\xff" * 400),
    ],
)
def test_a_body_that_cannot_be_inflated_is_not_free(coding: str, body: bytes, step: int) -> None:
    """Its client may have read it, as far as it goes."""
    usage = read("openai.chat", JSON, coding, body, step)
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.certainty is not Certainty.NONE


@pytest.mark.parametrize(
    ("api", "content_type", "body"),
    [
        ("gemini.generate", "application/x-protobuf", b"\n{\n\x0a\x05river" * 9),
        ("gemini.generate", "application/vnd.google.protobuf", b"\x0a\x64data" * 9),
        ("openai.chat", "application/grpc+proto", b"\0\0\0\0\x07river" * 9),
        ("openai.chat", "application/msgpack", b"\x81\xa1a\xa5river" * 9),
        ("openai.chat", "application/octet-stream", b"\x81\xa1a\xa5river" * 9),
        ("openai.chat", JSON, chat(REAL).decode().encode("utf-16")),
        ("openai.chat", JSON, chat(REAL).decode().encode("utf-32-be")),
    ],
)
def test_a_reply_in_another_format_is_not_free(api: str, content_type: str, body: bytes) -> None:
    """Its client may be able to read it."""
    usage = charged(api, content_type, body)
    assert usage.input_tokens == 10
    assert usage.output_tokens > 10
    assert usage.certainty is Certainty.ESTIMATED


CONVERSED = (
    ("contentBlockDelta", {"delta": {"text": "river "}}),
    ("metadata", {"usage": {"inputTokens": 1_000, "outputTokens": 500}}),
)
INVOKED = chunks(START, *DELTAS, delta(output_tokens=500), STOP)
SPOKEN = {"usage": {"input_tokens": 1_000, "output_tokens": 500}}
WRITTEN = (
    {"type": "transcript.text.delta", "delta": "river"},
    {"type": "transcript.text.done", **SPOKEN},
)
SAID = ({"type": "speech.audio.delta", "audio": "AAAA"}, {"type": "speech.audio.done", **SPOKEN})
OTHER_TYPES = ("", "text/plain", "application/octet-stream", JSON)


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("api", "content_type", "body"),
    [
        *(("bedrock.converse_stream", each, frames(*CONVERSED)) for each in OTHER_TYPES),
        *(("bedrock.invoke_stream", each, INVOKED) for each in OTHER_TYPES),
        ("bedrock.converse_stream", FRAMES, sse(*(event for _, event in CONVERSED), done=False)),
        (
            "bedrock.converse_stream",
            FRAMES,
            plain({"usage": {"inputTokens": 1_000, "outputTokens": 500}}),
        ),
        (
            "bedrock.invoke_stream",
            FRAMES,
            named_sse(START, *DELTAS, delta(output_tokens=500), STOP),
        ),
        *(("openai.transcription", each, named_sse(*WRITTEN)) for each in OTHER_TYPES),
        *(("openai.transcription", each, sse(*WRITTEN)) for each in OTHER_TYPES),
        *(("openai.speech", each, named_sse(*SAID)) for each in OTHER_TYPES),
        *(("openai.speech", each, sse(*SAID, done=False)) for each in OTHER_TYPES),
    ],
)
def test_a_stream_is_read_under_any_content_type(
    api: str, content_type: str, body: bytes, step: int
) -> None:
    """Its first bytes tell what it is."""
    assert told(read(api, content_type, "identity", body, step)) == TOLD


@pytest.mark.parametrize(
    "body", [b"data: the river runs", b"event", b"data:", b"event: a meeting", b"dat"]
)
def test_a_transcript_that_begins_like_an_event_is_text(body: bytes) -> None:
    """It is charged by its length."""
    usage = read("openai.transcription", "text/plain", "identity", body, 1)
    assert usage.output_tokens == -(-len(body) // 4)


@pytest.mark.parametrize("at", [0, 1])
def test_a_stream_of_frames_that_is_damaged_is_not_free(at: int) -> None:
    """A length that cannot be right hides what follows."""
    whole = frames(*CONVERSED)
    broken = at * len(frame(CONVERSED[0][0], plain(CONVERSED[0][1])))
    damaged = whole[:broken] + b"\x7f" + whole[broken + 1 :]
    usage = charged("bedrock.converse_stream", FRAMES, damaged)
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.certainty is not Certainty.NONE


@pytest.mark.parametrize(
    ("api", "content_type", "body"),
    [
        (
            "openai.responses",
            JSON,
            response(None, {"type": "code_interpreter_call", "code": WORDS}),
        ),
        ("openai.responses", JSON, response(None, {"type": "custom_tool_call", "input": WORDS})),
        (
            "openai.responses",
            JSON,
            response(None, {"type": "shell_call", "action": {"commands": [WORDS]}}),
        ),
        (
            "openai.responses",
            JSON,
            response(None, {"type": "local_shell_call", "action": {"command": ["sh", WORDS]}}),
        ),
        (
            "openai.responses",
            JSON,
            response(None, {"type": "apply_patch_call", "operation": {"diff": WORDS}}),
        ),
        (
            "openai.chat",
            JSON,
            chat(None, content=None, tool_calls=[{"custom": {"name": "x", "input": WORDS}}]),
        ),
        ("openai.chat", SSE, sse(chunk(tool_calls=[{"custom": {"input": WORDS}}]))),
        ("openai.chat", JSON, chat(None, content=None, reasoning_details=[{"summary": WORDS}])),
        ("openai.chat", SSE, sse(chunk(reasoning_details=[{"summary": WORDS}]))),
        (
            "anthropic.messages",
            JSON,
            plain({"content": [{"type": "compaction", "content": WORDS}]}),
        ),
        (
            "anthropic.messages",
            SSE,
            named_sse({"type": "x", "delta": {"type": "compaction_delta", "content": WORDS}}),
        ),
    ],
)
def test_every_kind_of_text_is_seen(api: str, content_type: str, body: bytes) -> None:
    """Programs, patches, commands and summaries cost what other words do."""
    usage = charged(api, content_type, body)
    assert usage.input_tokens == 10
    assert usage.output_tokens == pytest.approx(300, abs=10)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "no", "text": "x"},
        {"errors": [{"content": "x"}]},
        {"detail": [{"text": "x"}]},
        {"type": "error", "content": "x"},
        {"object": "error", "text": "x"},
        {"code": 500, "msg": "x"},
        {"choices": [], "text": "x"},
    ],
)
def test_an_error_outside_of_the_documented_places_is_no_output(body: dict[str, object]) -> None:
    """Whatever its members are called."""
    assert charged("openai.chat", JSON, plain(body)).certainty is Certainty.NONE


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (
            "bedrock.converse",
            plain({"output": {"message": {"content": [{"image": {"source": {"bytes": "AAAA"}}}]}}}),
        ),
        ("vertex.predict", plain({"predictions": [{"gcsUri": "gs://x"}]})),
    ],
)
def test_every_kind_of_picture_is_seen(api: str, body: bytes) -> None:
    """Whether it is in the reply, or only named there."""
    assert charged(api, JSON, body).output_tokens == 1_056


@pytest.mark.parametrize(
    "prediction",
    [
        {"textEmbedding": [0.1]},
        {"imageEmbedding": [0.1]},
        {"videoEmbeddings": [{"embedding": [1]}]},
    ],
)
def test_every_kind_of_vector_costs_its_input(prediction: dict[str, object]) -> None:
    """Vertex's multimodal embeddings tell no usage."""
    usage = charged("vertex.predict", JSON, plain({"predictions": [prediction]}))
    assert (usage.input_tokens, usage.output_tokens) == (10, 0)


@pytest.mark.parametrize("content_type", [NDJSON, JSON, ""])
def test_a_cut_stream_of_ollamas_is_not_free(content_type: str) -> None:
    """Zeros may be missing from its last line only."""
    body = ndjson(*[{"message": {"content": "river "}, "done": False}] * 200)
    usage = charged("ollama", content_type, body, whole=False)
    assert (usage.input_tokens, usage.output_tokens) == (10, 300)


@pytest.mark.parametrize("written", ["1000", " 1000 ", "1000.0", 1000.0])
def test_a_count_may_be_written_in_other_ways(written: object) -> None:
    """Some servers quote their numbers or write fractions."""
    usage = charged("openai.chat", JSON, chat({"prompt_tokens": written, "completion_tokens": 500}))
    assert told(usage) == TOLD


@pytest.mark.parametrize(
    "names",
    [
        ("cacheReadInputTokens", "cacheWriteInputTokens"),
        ("cacheReadInputTokenCount", "cacheWriteInputTokenCount"),
    ],
)
def test_bedrock_names_its_cached_tokens_in_two_ways(names: tuple[str, str]) -> None:
    """Replies of the first months have the longer names."""
    counts = {"inputTokens": 1_000, "outputTokens": 50, names[0]: 200, names[1]: 100}
    usage = charged("bedrock.converse", JSON, json.dumps({"usage": counts}).encode())
    assert usage.input_tokens == 1_300
    assert (usage.cache_read_tokens, usage.cache_write_5m_tokens) == (200, 100)


def test_an_anthropic_reply_without_a_type_is_read() -> None:
    """It is a document, whatever its header says."""
    counts = {"input_tokens": 1_000, "output_tokens": 500}
    assert told(charged("anthropic.messages", "", claude(counts))) == TOLD


@pytest.mark.parametrize(
    ("metadata", "searches"),
    [
        ({"webSearchQueries": ["a", "b"]}, 2),
        ({"webSearchQueries": ["", "a", "", "a", " "]}, 1),
        ({"webSearchQueries": [""]}, 0),
        ({"imageSearchQueries": ["a", "a"]}, 1),
        ({"webSearchQueries": ["a", "b"], "imageSearchQueries": ["a", "c"]}, 4),
        ({"webSearchQueries": [""], "imageSearchQueries": ["", "c"]}, 1),
        ({"webSearchQueries": [""], "groundingChunks": [{"web": {"uri": "x"}}]}, 1),
        ({"webSearchQueries": [], "groundingChunks": [{"web": {"uri": "x"}}]}, 1),
    ],
)
def test_google_bills_each_query_once(metadata: dict[str, object], searches: int) -> None:
    """Empty ones are not billed; an answer that rests on a search had one."""
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 5}
    usage = charged("gemini.generate", JSON, gemini(counts, groundingMetadata=metadata))
    assert usage.searches == searches


@pytest.mark.parametrize(
    ("written", "nanousd"),
    [("0.0093", 9_300_000), (" 1e-3 ", 1_000_000), ("1_0", None), ("\u0663", None), ("0x1", None),
     ("", None), (".", None), ("-1", None), ("Infinity", None)],
)  # fmt: skip
def test_a_told_cost_that_is_damaged_is_none(written: str, nanousd: int | None) -> None:
    """The table's price applies then."""
    counts = {"prompt_tokens": 5, "completion_tokens": 5, "cost": written}
    assert charged("openai.chat", JSON, chat(counts)).told_nanousd == nanousd
