"""Counting a stream's output by the model's own vocabulary.

The vocabularies come with an extra; without it there is nothing to load.
"""

from __future__ import annotations

import sys
from typing import ClassVar

import pytest
from pydantic import ValidationError
from tests.unit.core.usage.usage_case import SSE, sse, table

from tollgate.adapters import tokenizer
from tollgate.core.models.deployment import Deployment
from tollgate.core.usage import UsageReader
from tollgate.settings import own_section
from tollgate.settings.own_section import TollgateSettings

API = table()["openai.chat"]
WORDS = ["при", "вет", ", ", 'he said "no"\n', "😀"]


def deployment(provider: str, model: str) -> Deployment:
    return Deployment("d", "public", provider, model, "http://mock-llm")


def cut_stream(*texts: str) -> bytes:
    return sse(
        *({"choices": [{"index": 0, "delta": {"content": text}}], "usage": None} for text in texts),
        done=False,
    )


def characters(text: str) -> int:
    """A tokenizer whose tokens are characters."""
    return len(text)


def test_a_cut_stream_is_counted_by_its_tokenizer() -> None:
    """What it counts is the text itself, escapes decoded, also across the pieces that it is counted
    in.
    """
    texts = WORDS * 700
    read = UsageReader(API, SSE, count=characters)
    body = cut_stream(*texts)
    for start in range(0, len(body), 997):
        read.feed(body[start : start + 997])
    assert read.seen_output_tokens == len("".join(texts))


def test_events_that_come_one_by_one_are_counted_alike() -> None:
    """The short way of the reader counts what the long way does."""
    read = UsageReader(API, SSE, count=characters)
    for text in WORDS:
        read.feed(cut_stream(text))
    assert read.seen_output_tokens == len("".join(WORDS))


def test_asking_in_between_changes_nothing() -> None:
    """A count may be asked for at any time."""
    read = UsageReader(API, SSE, count=characters)
    read.feed(cut_stream("abc"))
    assert (read.seen_output_tokens, read.seen_output_tokens) == (3, 3)
    read.feed(cut_stream("de"))
    assert read.seen_output_tokens == 5


def test_text_that_is_no_json_is_counted_by_its_bytes() -> None:
    """Garbage is charged as without a tokenizer."""
    read = UsageReader(API, SSE, count=characters)
    read.feed(b'data: {"choices":[{"delta":{"content":"12345\\q78"}}]}\n\n')
    assert read.seen_output_tokens == 3


def test_no_more_text_is_kept_than_is_counted_at_once() -> None:
    """Whatever a stream says, memory stays."""
    longest = 0

    def counted(text: str) -> int:
        nonlocal longest
        longest = max(longest, len(text))
        return 1

    read = UsageReader(API, SSE, count=counted)
    for _ in range(100):
        read.feed(cut_stream("x" * 1_000))
    assert longest == 5_000


@pytest.mark.parametrize(
    ("provider", "model", "vocabulary"),
    [
        ("openai", "gpt-4o-mini", "o200k_base"),
        ("azure", "gpt-5.4", "o200k_base"),
        ("openai", "gpt-4-turbo", "cl100k_base"),
        ("openai", "gpt-oss-120b", "o200k_harmony"),
        ("openai", "a-name-of-ours", None),
        ("groq", "gpt-4o", None),
    ],
)
def test_openai_s_models_have_their_vocabularies(
    provider: str, model: str, vocabulary: str | None
) -> None:
    """Others are counted by bytes."""
    assert vocabulary == tokenizer.find_vocabulary(deployment(provider, model))


def test_who_asks_for_it_without_the_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts, as of any setting that cannot be had; who does not ask
    needs nothing.
    """
    monkeypatch.setattr(own_section, "find_spec", lambda _: None)
    assert not TollgateSettings().tokenizer
    with pytest.raises(ValidationError, match=r"needs the extra `tokenizer`: pip install"):
        TollgateSettings(tokenizer=True)


def test_who_asks_for_it_gets_it() -> None:
    """The development extra has the library."""
    assert TollgateSettings(tokenizer=True).tokenizer


def test_a_vocabulary_is_loaded_by_the_first_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knowing how to count takes no memory yet."""

    class Toktok:
        loaded: ClassVar[list[str]] = []

        def batch_count(self, texts: list[str], vocabulary: str, threads: int) -> list[int]:
            self.loaded.append(vocabulary)
            return [len(text) for text in texts]

    monkeypatch.setitem(sys.modules, "toktok", Toktok())  # type: ignore[arg-type]
    count = tokenizer.token_counters([deployment("openai", "gpt-4o")])["d"]
    assert Toktok.loaded == []
    assert count("three") == 5
    assert Toktok.loaded == ["o200k_base"]


def test_with_the_extra_tokens_are_openai_s() -> None:
    """o200k: "привет мир, как дела" is six tokens, of 34 bytes."""
    pytest.importorskip("toktok")
    count = tokenizer.token_counters([deployment("openai", "gpt-4o")])["d"]
    assert count("привет мир, как дела") == 6
    read = UsageReader(API, SSE, count=count)
    read.feed(cut_stream("привет мир, как дела"))
    assert read.seen_output_tokens == 6
