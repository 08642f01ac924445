"""What holds of the usage reader for every body and every way to cut it."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.core.usage.usage_anthropic import ANTHROPIC
from tests.unit.core.usage.usage_bedrock import BEDROCK
from tests.unit.core.usage.usage_case import (
    FRAMES,
    JSON,
    NDJSON,
    SSE,
    Case,
    plain,
    sse,
    table,
    used,
)
from tests.unit.core.usage.usage_compatible import CHAT_AND_TEXT
from tests.unit.core.usage.usage_google import GEMINI
from tests.unit.core.usage.usage_media import RESPONSES_AND_MEDIA
from tests.unit.core.usage.usage_others import COHERE_AND_OLLAMA

from tollgate.core.limits.accounts import MAX_EXACT
from tollgate.core.usage import UsageReader, fields, tally
from tollgate.core.usage.apis.api import NAMES, Field
from tollgate.core.usage.fields import FieldReader
from tollgate.core.usage.framing.json_documents import MAX_KEPT_BYTES
from tollgate.core.usage.reading import Reading, see_nothing

APIS = table()
CASES = [*CHAT_AND_TEXT, *RESPONSES_AND_MEDIA, *ANTHROPIC, *GEMINI, *BEDROCK, *COHERE_AND_OLLAMA]
CONTENT_TYPES = [JSON, SSE, NDJSON, FRAMES, "text/plain", "audio/mpeg", ""]
ENCODINGS = ["gzip", "deflate", "br", "zstd", "other"]

# Bytes that mean something to some machine, so that garbage gets past its first look.
SYLLABLES = [
    b"data: ", b"data:", b"event: x\n", b": comment\n", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r",
    b"[DONE]", b'{"usage":', b'"usage"',
    b'"usage":null', b'{"prompt_tokens":3,"completion_tokens":4}', b'"prompt_tokens":',
    b'"choices":[]', b'"model":"m"', b"{", b"}", b"[", b"]",
    b",", b":", b'"', b"\\", b'\\"', b"null", b"-1", b"1.5", b"12", b"1e400", b"true",
    b'"done":true', b'{"type":"message_stop"}',
    b'{"type":"message_delta","usage":{"output_tokens":5}}',
    b'{"usageMetadata":{"promptTokenCount":9}}', b"\xff", b"\xc3\xa9", b" ",
    b"\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
]  # fmt: skip
garbage = st.lists(st.sampled_from(SYLLABLES) | st.binary(max_size=4), max_size=40).map(b"".join)
bodies = garbage | st.sampled_from(CASES).map(lambda case: case.body[:20_000])
texts = st.text(max_size=40) | st.sampled_from(
    ['"usage":{', "[DONE]", "data: x\n\n", '\\"', "\r\n\r\n"]
)


def cut(body: bytes, places: list[int]) -> Iterator[bytes]:
    """The body in pieces, cut at these places."""
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    for start, end in pairwise(edges):
        yield body[start:end]


def outcome(read: UsageReader, pieces: Iterator[bytes]) -> tuple[bytes, object, bool]:
    """What the client sees, the usage, and whether the end was seen."""
    seen = b"".join([read.feed(piece) for piece in pieces])
    return seen + read.finish(), read.usage(), read.finished


@given(case=st.sampled_from(CASES), places=st.lists(st.integers(0, 2**20), max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_cut_of_a_reply_tells_the_same(case: Case, places: list[int]) -> None:
    """Where the network cuts a body changes neither usage nor bytes."""
    read = UsageReader(APIS[case.api], case.content_type, headers=case.headers)
    assert outcome(read, cut(case.body, places)) == (case.body, case.usage, case.finished)


@given(
    body=bodies,
    places=st.lists(st.integers(0, 2**20), max_size=8),
    api=st.sampled_from(sorted(APIS)),
    content_type=st.sampled_from(CONTENT_TYPES),
    hide=st.booleans(),
)
@settings(max_examples=500, deadline=None)
def test_any_cut_of_garbage_tells_the_same(
    body: bytes, places: list[int], api: str, content_type: str, hide: bool
) -> None:
    """Garbage never raises, and means the same however it is cut."""
    whole = UsageReader(APIS[api], content_type, hide_usage=hide)
    pieces = UsageReader(APIS[api], content_type, hide_usage=hide)
    assert outcome(whole, iter([body])) == outcome(pieces, cut(body, places))


@given(
    body=bodies,
    places=st.lists(st.integers(0, 2**20), max_size=8),
    encoding=st.sampled_from(ENCODINGS),
    packed=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_compressed_garbage_never_raises(
    body: bytes, places: list[int], encoding: str, packed: bool
) -> None:
    """Whatever a body says of its coding, it passes unchanged."""
    body = gzip.compress(body) if packed else body
    seen, _, _ = outcome(
        UsageReader(APIS["openai.chat"], SSE, encoding, hide_usage=True), cut(body, places)
    )
    assert seen == body


@given(
    before=st.lists(texts, max_size=6),
    after=st.lists(texts, max_size=3),
    end=st.sampled_from(["\n\n", "\r\n\r\n", "\r\r"]),
    places=st.lists(st.integers(0, 2**20), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_exactly_the_usage_event_is_hidden(
    before: list[str], after: list[str], end: str, places: list[int]
) -> None:
    """What the client sees is the stream without that event, to the byte."""

    def events(some: list[str]) -> bytes:
        return sse(
            *({"choices": [{"delta": {"content": text}}], "usage": None} for text in some),
            end=end,
            done=False,
        )

    hidden = sse(
        {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 7}}, end=end, done=False
    )
    done = sse(end=end)
    body = events(before) + hidden + events(after) + done
    read = UsageReader(APIS["openai.chat"], SSE, hide_usage=True)
    assert outcome(read, cut(body, places)) == (
        events(before) + events(after) + done,
        used(12, 7),
        True,
    )


@given(
    document=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-5, 2**60)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "usage",
                        "prompt_tokens",
                        "completion_tokens",
                        "total_tokens",
                        "cached_tokens",
                        "prompt_tokens_details",
                        "choices",
                        "model",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ),
    padding=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_counts_are_never_impossible(document: object, padding: bool) -> None:
    """Whatever a reply says, no count is negative or beyond what Lua counts exactly, and parts are
    within their whole.
    """
    body = plain({"usage": document} if isinstance(document, dict) else document)
    read = UsageReader(APIS["openai.chat"], JSON)
    read.feed(body)
    read.feed(b" " * 300_000 if padding else b"")
    read.finish()
    usage = read.usage()
    if usage is None:
        return
    assert 0 <= usage.total_tokens <= MAX_EXACT
    assert (
        0
        <= usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        <= usage.input_tokens
    )
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens


@given(case=st.sampled_from(CASES))
@settings(max_examples=100, deadline=None)
def test_scanning_finds_what_decoding_finds(case: Case) -> None:
    """A body too long to keep tells what it would tell if it were short: blanks behind its first
    byte change nothing.
    """
    if case.content_type != JSON:
        return
    read = UsageReader(APIS[case.api], JSON, headers=case.headers)
    assert outcome(read, iter([case.body[:1], b" " * 300_000, case.body[1:]]))[1:] == (
        case.usage,
        case.finished,
    )


@pytest.mark.parametrize("content_type", [JSON, SSE, FRAMES])
@pytest.mark.parametrize(
    "text", [b"x", b'{"choices":[{"index":', b'{"done":1}\n', b'data: {"usage":{}}\n\n']
)
def test_memory_is_bounded(text: bytes, content_type: str) -> None:
    """However much comes, no more is kept than one document of the size that is kept,
    and a little.
    """
    chunk = text * (65_536 // len(text))
    read = UsageReader(APIS["openai.chat"], content_type)
    tracemalloc.start()
    for _ in range(5):
        read.feed(chunk)
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < MAX_KEPT_BYTES + 100_000


# Whatever a count may be: plausible ones, among them two and their sum, and what is no count.
TOLD = st.sampled_from([0, 1, 12, 30, 42, -1, -12, 2**53, 2**60, True, 1.5, "", "12", "standard"])
PROVISIONED = "PROVISIONED_THROUGHPUT"


@st.composite
def envoys_fields(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """An API, and what Envoy's filters may have found of a reply: mostly an input, an output and
    their sum, and anything beside them.
    """
    api = APIS[draw(st.sampled_from(sorted(APIS)))]
    plain = {Field.INPUT: 12, Field.OUTPUT: 30, Field.TOTAL: 42}
    found: dict[str, object] = {}
    for field, paths in api.where.items():
        for path in paths:
            name = ".".join(step.name for step in path.steps)
            if field in NAMES and draw(st.booleans()):
                found[name] = draw(st.sampled_from(["m", "", "default", PROVISIONED, "x" * 300, 7]))
            elif field in plain and draw(st.integers(0, 3)):
                found[name] = draw(st.just(plain[field]) | TOLD)
            elif not draw(st.integers(0, 7)):
                found[name] = draw(st.integers(0, 9) | TOLD | st.just([]) | st.just([{}]))
    return api.name, found


PLAIN = {"usage.prompt_tokens": 12, "usage.completion_tokens": 30}
DRAWN = {
    "usage.input_tokens": 12,
    "usage.output_tokens": 30,
    "tool_usage.image_gen.input_tokens": 5,
}


@given(told=envoys_fields(), stream=st.booleans())
@example(told=("openai.chat", PLAIN | {"usage.num_search_queries": 2**60}), stream=False)
@example(told=("openai.responses", DRAWN), stream=False)
@settings(max_examples=400)
def test_an_exact_reply_is_read_as_the_rules_for_all_replies_read_it(
    told: tuple[str, dict[str, object]], stream: bool
) -> None:
    """The short way of exact replies is no rule of its own, whatever they report."""
    api, found = told

    def read() -> Reading:
        reader = FieldReader(APIS[api])
        return reader.read(found, {}, see_nothing, stream=stream, complete=True)

    short = read()
    with (
        patch.object(tally, "exact_usage", lambda *_: None),
        patch.object(fields, "exact_usage", lambda *_: None),
    ):
        assert read() == short
