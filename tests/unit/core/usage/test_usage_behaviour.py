"""What the usage reader does beside reading: hiding, counting deltas, decompressing, and bearing
whatever comes.
"""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Any

import brotli  # type: ignore[import-untyped]  # the wheel ships no types
import pytest
from backports import zstd
from tests.unit.core.usage.usage_case import (
    FRAMES,
    JSON,
    NDJSON,
    PARTIAL,
    SSE,
    chunks,
    plain,
    sse,
    table,
    used,
)

from tollgate.core.usage import UsageReader
from tollgate.core.usage.framing.encoding import MAX_DECODED_BYTES
from tollgate.core.usage.framing.scan import MAX_STEPS

APIS = table()


def event(text: str, usage: object = None) -> dict[str, Any]:
    return {
        "model": "m1",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        "usage": usage,
    }


USAGE_EVENT = sse(
    {"model": "m1", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 7}},
    done=False,
)
HI = sse(event("hi"), done=False)
DONE = b"data: [DONE]\n\n"
USED = used(12, 7, "m1")


def chat(
    content_type: str = SSE, encoding: str = "identity", *, hide_usage: bool = False
) -> UsageReader:
    return UsageReader(APIS["openai.chat"], content_type, encoding, hide_usage=hide_usage)


def test_a_chunk_comes_back_as_the_same_object() -> None:
    """Nothing is copied where nothing is hidden, whatever the chunk is."""
    read = chat()
    for chunk in (HI, HI[:9], HI[9:], USAGE_EVENT, DONE, b""):
        assert read.feed(chunk) is chunk
    assert read.finish() == b""


def test_whole_events_come_back_as_the_same_object_when_usage_is_hidden() -> None:
    """Hiding copies nothing either, but where an event is cut out or was not whole."""
    read = chat(hide_usage=True)
    assert read.feed(HI) is HI
    assert read.feed(DONE) is DONE


def test_the_usage_event_is_hidden_and_read() -> None:
    """The client does not see the event that it did not ask for; we do."""
    read = chat(hide_usage=True)
    assert read.feed(HI + USAGE_EVENT + DONE) == HI + DONE
    assert read.usage() == USED


def test_an_event_is_kept_back_until_it_is_whole() -> None:
    """A part of an event may be the usage event's, so that it waits."""
    read = chat(hide_usage=True)
    assert read.feed(HI + USAGE_EVENT[:20]) == HI
    assert read.feed(USAGE_EVENT[20:-1]) == b""
    assert read.feed(USAGE_EVENT[-1:] + DONE) == DONE


def test_what_is_kept_back_comes_at_the_end() -> None:
    """A stream that ends in the middle of an event loses none of it."""
    read = chat(hide_usage=True)
    assert read.feed(HI + HI[:30]) == HI
    assert read.finish() == HI[:30]


def test_a_usage_event_without_its_blank_line_is_hidden_at_the_end() -> None:
    """The end of the body ends the event, too."""
    read = chat(hide_usage=True)
    assert read.feed(USAGE_EVENT[:-1]) + read.finish() == b""
    assert read.usage() == USED


def test_azures_first_event_is_not_hidden() -> None:
    """Empty choices alone make no usage event."""
    first = sse(
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "usage": None}, done=False
    )
    assert chat(hide_usage=True).feed(first) is first


def test_usage_beside_text_is_not_hidden() -> None:
    """An event with text passes, although it tells usage."""
    running = sse(event("hi", {"prompt_tokens": 12, "completion_tokens": 1}), done=False)
    assert chat(hide_usage=True).feed(running) is running


def test_nothing_is_hidden_in_json() -> None:
    """Only events can be cut out."""
    body = plain({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 7}})
    read = chat(JSON, hide_usage=True)
    assert read.feed(body) is body


def test_nothing_is_hidden_in_compressed_streams() -> None:
    """What is compressed passes as it is."""
    body = gzip.compress(HI + USAGE_EVENT + DONE)
    read = chat(SSE, "gzip", hide_usage=True)
    assert read.feed(body) is body
    assert read.usage() == USED


def test_an_event_longer_than_is_kept_passes_when_usage_is_hidden() -> None:
    """A long event is no usage event: it goes on as it comes, and what follows is read as ever."""
    long = sse(event("x" * 600_000), done=False)
    read = chat(hide_usage=True)
    body = long + USAGE_EVENT + DONE
    seen = (
        b"".join(read.feed(body[start : start + 50_000]) for start in range(0, len(body), 50_000))
        + read.finish()
    )
    assert seen == long + DONE
    assert read.usage() == USED


def test_a_stream_cut_in_a_long_event_keeps_what_came() -> None:
    """The end of the body inside a long event loses nothing and raises nothing."""
    long = b"data: " + b"x" * 600_000
    read = chat(hide_usage=True)
    assert read.feed(HI + long) + read.finish() == HI + long
    assert read.usage() is None


def test_output_seen_is_counted_by_events() -> None:
    """Short deltas count as a token each; empty ones do not count."""
    read = chat()
    for text in ("", "a", "b", "c"):
        read.feed(sse(event(text), done=False))
    assert read.seen_output_tokens == 3


def test_output_seen_is_counted_by_bytes() -> None:
    """Long deltas count as a token for each four bytes, and the rest."""
    read = chat()
    read.feed(sse(event("x" * 41), done=False))
    assert read.seen_output_tokens == 11


def test_output_seen_counts_past_escaped_quotes() -> None:
    """A quote inside of the text does not end it."""
    read = chat()
    read.feed(sse(event('say "' + "x" * 30), done=False))
    assert read.seen_output_tokens == 9


def test_output_seen_is_the_same_in_one_chunk_with_spaces() -> None:
    """Several events in a chunk, with a space after each colon, count like one by one."""
    read = chat()
    read.feed(sse(event("ab"), event("cd"), done=False).replace(b'":', b'": '))
    assert read.seen_output_tokens == 2


def test_output_seen_stops_at_the_end_of_what_came() -> None:
    """Text without its closing quote counts as far as it goes."""
    read = chat(JSON)
    read.feed(b'{"choices":[{"message":{"content":"12345678')
    assert read.seen_output_tokens == 2


def test_usage_can_be_asked_for_while_json_comes() -> None:
    """A list of Gemini's tells early counts, which are partial; asking changes nothing of what
    comes after.
    """
    early = plain({"candidates": [{}], "usageMetadata": {"promptTokenCount": 9}})
    last = plain(
        {
            "candidates": [{"finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3},
        }
    )
    read = UsageReader(APIS["gemini.generate"], JSON)
    read.feed(b"[" + early)
    assert (read.usage(), read.finished) == (used(9, certainty=PARTIAL), False)
    read.feed(b"," + last + b"]")
    read.finish()
    assert (read.usage(), read.finished) == (used(9, 3), True)


def test_a_content_type_may_carry_parameters() -> None:
    """What follows the semicolon does not matter, nor does case."""
    read = chat("Text/Event-Stream; charset=utf-8")
    read.feed(USAGE_EVENT)
    assert read.usage() == USED


def test_a_body_without_a_content_type_is_read_as_json() -> None:
    """Whatever is there is found."""
    read = chat("")
    read.feed(b'{"usage":{"prompt_tokens":12,"completion_tokens":7},"model":"m1"}')
    read.finish()
    assert read.usage() == USED


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
STREAM = HI * 50 + USAGE_EVENT + DONE


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_compressed_stream_tells_its_usage(encoding: str) -> None:
    """Each content coding is read, whole and byte by byte."""
    body = ENCODERS[encoding](STREAM)
    whole, single = chat(SSE, encoding), chat(SSE, encoding)
    whole.feed(body)
    for byte in body:
        single.feed(bytes([byte]))
    assert (whole.usage(), single.usage(), single.finished) == (USED, USED, True)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_compressed_in_parts_tells_its_usage(encoding: str) -> None:
    """Several members, one after the other, are one body."""
    read = chat(SSE, encoding)
    for byte in ENCODERS[encoding](STREAM[:999]) + ENCODERS[encoding](STREAM[999:]):
        read.feed(bytes([byte]))
    assert read.usage() == USED


def test_raw_deflate_tells_its_usage() -> None:
    """Some servers say deflate and leave its header out."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    read = chat(SSE, "deflate")
    read.feed(packer.compress(STREAM) + packer.flush())
    assert read.usage() == USED


@pytest.mark.parametrize("encoding", ["compress", "gzip, br"])
def test_a_coding_that_we_cannot_read_tells_nothing(encoding: str) -> None:
    """The body passes unread."""
    read = chat(SSE, encoding)
    assert read.feed(STREAM) is STREAM
    assert (read.usage(), read.finished) == (None, False)


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_identity_is_no_coding(encoding: str) -> None:
    """A body that is not compressed may say so."""
    read = chat(SSE, encoding)
    read.feed(STREAM)
    assert read.usage() == USED


@pytest.mark.parametrize("encoding", ENCODERS)
def test_damaged_compression_tells_nothing(encoding: str) -> None:
    """What cannot be decompressed passes, and raises nothing."""
    read = chat(SSE, encoding)
    for chunk in (b"\x1f\x8bno", b"more of it" * 99):
        assert read.feed(chunk) is chunk
    assert read.usage() is None


def test_a_stream_damaged_after_its_start_tells_what_was_seen() -> None:
    """Usage seen before the damage is partial, as the end was not seen."""
    running = sse(event("a", {"prompt_tokens": 12, "completion_tokens": 1}), done=False)
    packer = zlib.compressobj(wbits=31)
    read = chat(SSE, "gzip")
    read.feed(packer.compress(running) + packer.flush(zlib.Z_SYNC_FLUSH))
    read.feed(b"\xff" * 99)
    assert read.usage() == used(12, 1, "m1", PARTIAL)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_a_bomb_is_left_when_it_is_too_large(encoding: str) -> None:
    """What decodes to more than the bound is read no further; what was seen is partial, and memory
    stays small.
    """
    bomb = ENCODERS[encoding](USAGE_EVENT + b" " * (MAX_DECODED_BYTES + 1_000_000) + DONE)
    read = chat(SSE, encoding)
    tracemalloc.start()
    assert read.feed(bomb) is bomb
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (used(12, 7, "m1", PARTIAL), False) == (read.usage(), read.finished)
    assert peak_bytes < 4_000_000


def test_a_body_of_brackets_ends_the_work() -> None:
    """Nothing but brackets costs a bounded number of steps, and tells nothing."""
    read = chat(JSON)
    read.feed(b"[{" * MAX_STEPS + b'"usage":{"prompt_tokens":1}')
    read.finish()
    assert read.usage() is None


def test_a_wanted_name_may_not_be_endless() -> None:
    """A model's name of megabytes, or of more than anyone gives, is no name."""
    for size in (300, 5_000, 300_000):
        read = chat(JSON)
        body = plain({"model": "m" * size, "usage": {"prompt_tokens": 12, "completion_tokens": 7}})
        for start in range(0, len(body), 50_000):
            read.feed(body[start : start + 50_000])
        read.finish()
        assert read.usage() == used(12, 7)


def test_an_endless_number_is_damage() -> None:
    """A count of more digits than anyone can read is partial."""
    body = b'{"usage":{"prompt_tokens":' + b"9" * 300_000 + b',"completion_tokens":7}}'
    read = chat(JSON)
    for start in range(0, len(body), 1_000):
        read.feed(body[start : start + 1_000])
    read.finish()
    assert read.usage() == used(0, 7, certainty=PARTIAL)


GARBAGE = [
    b"",
    b"\x00",
    b"\xff" * 99,
    b"}}}]]]",
    b'{"usage":',
    b'{"usage":{"prompt_tokens":}}',
    b'"usage"',
    b"[" * 5_000,
    b'{"a":' * 5_000,
    b"data: {",
    b'data: {"usage"}\n\n',
    b"data: [[]]\n\n",
    b'data: [1,{"usage":2}]\n\n',
    b'{"usage":[1,2],"choices":{"a":1}}',
    b'{"usage":{"prompt_tokens":[]},"choices":[1]}',
    b'{"x":"\\',
    b"\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" * 3,
]


@pytest.mark.parametrize("content_type", [JSON, SSE, NDJSON, FRAMES, "audio/mpeg"])
@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_never_raises(content_type: str, body: bytes) -> None:
    """Whatever comes is passed on; it tells nothing, or something partial."""
    for api in APIS.values():
        read = UsageReader(api, content_type, hide_usage=True)
        assert read.feed(body) + read.finish() == body
        read.usage()


def test_frames_after_garbage_are_not_read() -> None:
    """A length that no frame has ends the reading: there is no way to find the next frame."""
    read = UsageReader(APIS["bedrock.invoke_stream"], FRAMES)
    read.feed(b"garbage that is long enough")
    read.feed(
        chunks({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 4}})
    )
    assert read.usage() is None
