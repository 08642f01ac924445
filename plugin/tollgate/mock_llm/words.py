"""The text that the mock says, and the tokens that it counts: what it reports as output is what it
sends, a token a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from msgspec.json import encode

from tollgate.mock_llm.controls import Controls

_STEM = b"tollgate"
_BYTES_PER_TOKEN = 4
# Where the APIs keep text (an instance of Vertex's too): everything else in a message (roles,
# images, tool definitions) is not prompt text.
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
        """The words joined. They hold nothing that JSON would escape."""
        return self.word * self.words


def answer(controls: Controls, limits: Iterable[object]) -> MockAnswer:
    """The words to say under the output limits that a body states; a limit that is no whole number
    of tokens is none.
    """
    words = min([controls.chunks, *(limit for limit in limits if is_count(limit))])
    return MockAnswer(_word(controls.size, words), words, words < controls.chunks)


def _word(size: int, words: int) -> bytes:
    """A word, and the space after it.

    Longer or shorter words rather than more or fewer: size must not change what usage reports.
    """
    letters = max(1, -(-size // words) - 1) if size and words else len(_STEM)
    return _STEM[:letters].ljust(letters, b"e") + b" "


def is_count(value: object) -> TypeGuard[int]:
    """Whether a field holds a whole number, 0 or more.

    JSON's true is none, though Python calls it an int.
    """
    return type(value) is int and value >= 0


def text_bytes(*values: object) -> int:
    """UTF-8 bytes of all text in prompt fields of any shape: strings, lists, and the text fields of
    objects, however deep.
    """
    total = 0
    # A stack of our own: how deep a body nests is the client's choice.
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
    """Tokens of a prompt: a token for every four bytes begun, and at least one."""
    return max(1, -(-prompt_bytes // _BYTES_PER_TOKEN))


def model_json(model: object) -> bytes:
    """The model that a body names, as JSON to echo; our own name if it names none."""
    return encode(model if isinstance(model, str) and model else _DEFAULT_MODEL)
