"""Usage as Envoy's own filters find it: over the same bodies as the usage reader, and with the same
result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.core.usage.test_usage import ALL
from tests.unit.core.usage.usage_case import FRAMES, JSON, SSE, Case, table

from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.envoy_contract import FIRST_PREFIX
from tollgate.core.usage.fields import FieldReader
from tollgate.core.usage.native import (
    Framing,
    is_told_again,
    rules_of,
)
from tollgate.core.usage.reach import Reach, left_to_ext_proc, reach_of
from tollgate.core.usage.reading import Reading, see_nothing

APIS = table()
READERS = {name: FieldReader(api) for name, api in APIS.items()}
REACHES: dict[str, Reach] = {name: reach_of(api) for name, api in APIS.items()}
FRAMINGS = {JSON: Framing.BODY, SSE: Framing.SSE, FRAMES: Framing.EVENT_STREAM}


def documents(case: Case) -> Iterator[Any]:
    """The JSON documents that Envoy parses. What is none, it passes over."""
    if case.content_type == FRAMES:
        texts = frames(case.body)
    elif case.content_type == SSE:
        events = case.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
        texts = [
            b"\n".join(li[5:] for li in event.split(b"\n") if li.startswith(b"data:"))
            for event in events
        ]
    else:
        texts = [case.body]
    for text in texts:
        try:
            yield json.loads(text)
        except ValueError:
            continue


def frames(body: bytes) -> list[bytes]:
    """The payloads of AWS event stream frames."""
    found = []
    while len(body) >= 12:
        total, headers = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
        found.append(body[12 + headers : total - 4])
        body = body[total:]
    return found


def fields(case: Case) -> dict[str, object]:
    """What Envoy 1.40's filters leave in metadata: the last value of each rule; of objects the
    text, and only in streams; nothing of lists and nulls.
    """
    framing, found = FRAMINGS[case.content_type], {}
    for document in documents(case):
        for names in rules_of(APIS[case.api], framing):
            value = document
            for name in names:
                value = value.get(name) if isinstance(value, dict) else None
            if isinstance(value, dict) and framing is not Framing.BODY:
                # Envoy writes an empty object as null.
                text = json.dumps(value or None)
                found[".".join(names)] = text
                if is_told_again(APIS[case.api], names):
                    found.setdefault(FIRST_PREFIX + ".".join(names), text)
            elif isinstance(value, str | bool | int | float):
                found[".".join(names)] = float(value) if type(value) is int else value
    return found


def told(case: Case, *, complete: bool = True) -> Reading:
    reader, stream = READERS[case.api], case.content_type != JSON
    return reader.read(fields(case), case.headers, see_nothing, stream=stream, complete=complete)


IN_LISTS = (
    "searches",
    "input_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "cache_write_1h_tokens",
)


def is_readable(case: Case) -> bool:
    """Whether Envoy is asked to read such a body.

    A cut or damaged one is charged by another rule.
    """
    words = REACHES[case.api].words.get(FRAMINGS.get(case.content_type, Framing.BODY))
    if case.content_type not in FRAMINGS or words is None or case.body.startswith(b"["):
        return False
    whole = case.finished and (case.usage is None or case.usage.certainty is Certainty.EXACT)
    return whole and not (words and any(getattr(case.usage, kind, 0) for kind in IN_LISTS))


READABLE = [case for case in ALL if is_readable(case)]


@pytest.mark.parametrize("case", READABLE, ids=[f"{case.api}: {case.name}" for case in READABLE])
def test_envoy_reads_what_the_reader_reads(case: Case) -> None:
    """Whole replies in the framings that Envoy knows cost the same in both modes."""
    assert told(case).usage == case.usage


def test_most_bodies_are_read_natively() -> None:
    """The comparison above is not empty for any framing."""
    assert {FRAMINGS[case.content_type] for case in READABLE} == set(FRAMINGS.values())
    assert len(READABLE) >= 50


@pytest.mark.parametrize(
    ("api", "body", "query", "stream", "covered"),
    [
        ("openai.chat", b"{}", "", False, True),
        ("openai.chat", b"{}", "", True, True),
        ("openai.responses", b"{}", "", True, True),
        ("openai.responses", b'{"tools":[{"type":"web_search"}]}', "", True, False),
        ("openai.responses", b'{"prompt":{"id":"pmpt_1"}}', "", False, False),
        ("openai.responses", b'{"tools":[{"type":"w\\u0065b_search"}]}', "", False, False),
        ("openai.responses", b'{"input":"\\u00e9 \\u003c"}', "", False, True),
        (
            "anthropic.messages",
            b'{"context_management":{"edits":[{"type":"compact_20260112"}]}}',
            "",
            False,
            False,
        ),
        (
            "anthropic.messages",
            b'{"context_management":{"edits":[{"type":"compact_20260112"}]}}',
            "",
            True,
            True,
        ),
        ("gemini.generate", b'{"tools":[{"googleSearch":{}}]}', "alt=sse", True, False),
        ("gemini.generate", b'{"inline\\u0044ata":{}}', "", False, False),
        ("openai.embeddings", b'{"input":["a","b"]}', "", False, True),
        ("openai.embeddings", b'{"input":[' + b"1," * 200 + b"1]}", "", False, False),
        ("openai.images", b"{}", "", False, False),
        ("openai.moderation", b"{}", "", False, True),
        ("gemini.generate", b"{}", "", False, True),
        ("gemini.generate", b'{"inlineData":{}}', "", False, False),
        ("gemini.generate", b'{"inlineData":{}}', "alt=sse", True, True),
        ("gemini.generate", b"{}", "", True, False),
        ("ollama", b"{}", "", False, True),
        ("ollama", b"{}", "", True, False),
        ("bedrock.converse_stream", b"{}", "", True, True),
        ("bedrock.invoke", b"{}", "", False, False),
        ("bedrock.invoke_stream", b"{}", "", True, False),
        ("vertex.predict", b"{}", "", False, False),
    ],
)
def test_what_envoy_cannot_read_is_left_to_ext_proc(
    api: str, body: bytes, query: str, stream: bool, covered: bool
) -> None:
    """By the API, by how its reply will be framed, and by what the request may bring about."""
    assert (REACHES[api].reader(body, query, stream=stream) is not None) is covered


@pytest.mark.parametrize(
    ("api", "conversation", "beside", "covered"),
    [
        ("openai.chat", b'[{"content":"what is web_search?"}]', b"", True),
        ("openai.chat", b'[{"content":"w\\u0065b"}]', b"", True),
        ("openai.chat", b"[]", b',"web_search_options":{}', False),
        ("openai.chat", b"[]", b',"w\\u0065b_search_options":{}', False),
        ("openai.responses", b'"draw me an image_generation"', b"", True),
        ("openai.responses", b'"x"', b',"tools":[{"type":"image_generation"}]', False),
        ("anthropic.messages", b'[{"content":"compact it"}]', b"", True),
        ("gemini.generate", b'[{"parts":[{"text":"google_search"}]}]', b"", True),
        ("gemini.generate", b'[{"parts":[{"inlineData":{}}]}]', b"", False),
        ("gemini.generate", b'[{"parts":[{"inline\\u0044ata":{}}]}]', b"", False),
        ("bedrock.converse", b'[{"content":[{"cachePoint":{}}]}]', b"", False),
    ],
)
def test_what_somebody_writes_asks_for_nothing_and_what_settings_say_does(
    api: str, conversation: bytes, beside: bytes, covered: bool
) -> None:
    """Tools are asked for beside the conversation; media and cache points stand in it."""
    before = b'{"model":"m","messages":'
    span = (len(before), len(before) + len(conversation))
    body = before + conversation + beside + b"}"
    found = REACHES[api].reader(body, "", stream=False, conversation=span)
    assert (found is not None) is covered


@pytest.mark.parametrize(
    ("api", "provider", "model", "stream", "covered"),
    [
        ("openai.chat", "moonshot", "kimi-k2", True, False),
        ("openai.chat", "moonshot", "kimi-k2", False, True),
        ("openai.chat", "vercel_ai_gateway", "openai/gpt-5", False, False),
        ("openai.chat", "openai", "gpt-4o-search-preview", True, False),
        ("gemini.generate", "gemini", "gemini-2.5-flash-image", False, False),
        ("anthropic.messages", "anthropic", "claude-sonnet-4-5", False, True),
    ],
)
def test_some_providers_and_models_tell_in_lists_whatever_they_are_asked(
    api: str, provider: str, model: str, stream: bool, covered: bool
) -> None:
    """What their requests say does not matter."""
    found = REACHES[api].reader(b"{}", "", stream=stream, provider=provider, model=model)
    assert (found is not None) is covered


def test_a_stream_that_was_cut_tells_what_it_had_told() -> None:
    """Anthropic tells its input first: that is all of the output's count that is known
    to be early.
    """
    reader = READERS["anthropic.messages"]
    start = {"message.usage": '{"input_tokens":12,"output_tokens":1}', "message.model": "claude"}
    cut = reader.read(start, {}, see_nothing, stream=True, complete=False)
    assert cut == Reading(
        Usage(12, 1, reply_model="claude", certainty=Certainty.PARTIAL), input_told=True
    )
    late = reader.read(
        {**start, "usage": '{"output_tokens":9}'}, {}, see_nothing, stream=True, complete=True
    )
    assert late == Reading(Usage(12, 9, reply_model="claude"), input_told=True, output_told=True)


@pytest.mark.parametrize(
    "value", ["{", '{"a":' * 5000 + "1" + "}" * 5000, '{"prompt_tokens":', True, "text", -1.0, 1.5]
)
def test_garbage_is_never_charged(value: object) -> None:
    """Whatever stands where usage should, it is no count."""
    for found in (
        {"usage": value},
        {"usage.prompt_tokens": value, "usage.completion_tokens": value},
    ):
        usage = (
            READERS["openai.chat"].read(found, {}, see_nothing, stream=False, complete=True).usage
        )
        assert usage is None or (usage.total_tokens, usage.certainty) == (0, Certainty.PARTIAL)


def test_a_header_tells_too() -> None:
    """Gemini names its service tier there."""
    found: dict[str, object] = {
        "usageMetadata.promptTokenCount": 3.0,
        "usageMetadata.totalTokenCount": 5.0,
    }
    headers = {"x-gemini-service-tier": "priority"}
    usage = (
        READERS["gemini.generate"]
        .read(found, headers, see_nothing, stream=False, complete=True)
        .usage
    )
    assert usage == Usage(3, 2, service_tier="priority")


def test_what_is_left_to_ext_proc_is_what_the_filters_do_not_cover() -> None:
    """Nothing is left exactly where any JSON reply and any stream of events is covered, whatever
    the request says.
    """
    asks_for_all = b", ".join(
        word for reach in REACHES.values() for words in reach.words.values() for word in words
    )
    for name, api in APIS.items():
        streams = (
            (True,) if name.endswith("_stream") else (False, True) if api.output.text else (False,)
        )
        asks = asks_for_all + b"," * 1000
        covered = all(
            REACHES[name].reader(asks, "", stream=stream) is not None for stream in streams
        )
        assert covered == (left_to_ext_proc(api) == ()), name
