"""Produce the mock's text and count its tokens: one token per word sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from msgspec.json import encode

from tollgate.mock_llm.controls import Controls

_STEM = b"tollgate"
_BYTES_PER_TOKEN = 4
# Where the APIs keep text (a Vertex instance too). Everything else in a message (roles, images,
# tool definitions) is not prompt text.
_TEXT_FIELDS = ("text", "content", "parts")
_DEFAULT_MODEL = "tollgate-mock"


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """What one choice of a reply says: `words` times `word`.

    `truncated`: the request's output limit ended it.
    """

    word: bytes
    words: int
    truncated: bool

    @property
    def text(self) -> bytes:
        """Return the words joined; they contain nothing that JSON would escape."""
        return self.word * self.words


def answer(controls: Controls, limits: Iterable[object]) -> MockAnswer:
    """Return the words to say within a body's output limits.

    A limit that is not a whole number of tokens is ignored.
    """
    words = min([controls.chunks, *(limit for limit in limits if is_count(limit))])
    return MockAnswer(_word(controls.size, words), words, words < controls.chunks)


def _word(size: int, words: int) -> bytes:
    """Return a word and the space after it.

    The size changes the length of words, not their number, so that usage stays the same.
    """
    letters = max(1, -(-size // words) - 1) if size and words else len(_STEM)
    return _STEM[:letters].ljust(letters, b"e") + b" "


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a field holds a whole number of 0 or more.

    JSON's true does not count, although Python treats it as an int.
    """
    return type(value) is int and value >= 0


def text_bytes(*values: object) -> int:
    """Return the UTF-8 bytes of all text in prompt fields: strings, lists, and text fields of
    objects, at any depth.
    """
    total = 0
    # An explicit stack, because the client chooses how deeply a body nests.
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            total += len(value) if value.isascii() else len(value.encode())
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += [value[field] for field in _TEXT_FIELDS if field in value]
    return total


def input_tokens(prompt_bytes: int) -> int:
    """Return the tokens of a prompt: one for every four bytes begun, and at least one."""
    return max(1, -(-prompt_bytes // _BYTES_PER_TOKEN))


def model_json(model: object) -> bytes:
    """Return the body's model as JSON to echo, or the mock's own name."""
    return encode(model if isinstance(model, str) and model else _DEFAULT_MODEL)
