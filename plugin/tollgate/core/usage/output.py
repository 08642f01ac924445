"""Describe which parts of an API's replies are output, by the names of members.

Names are searched in the raw bytes: a quote inside a JSON string is escaped, so whatever looks like
a member's name is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

Names = tuple[str, ...]

_VALUE = rb"""
    \s*:\s*
    (?: "(?P<string>(?:[^"\\]++|\\.)*)
      | (?P<open>[{\[])(?=\s*[^\s\]}])
      | (?P<bare>(?!null)[^\s"{\[,\]}])
    )
"""


@dataclass(frozen=True, slots=True)
class Output:
    """The names of members that hold output.

    - `text`: strings, each a piece of text. `arguments`: strings, or objects that count whole.
    - `pictures`, `sounds`: base64, addresses, or objects that hold them.
    - `vectors`: embeddings and scores, which are output but no tokens.
    - `answers`: members whose presence, even if empty, shows that something was served.
    - `in_documents`: further text in bodies that are no streams; events repeat it.
    - `within`: the members of a body that hold output; empty means any.
    - `plain_text`, `binary`: a reply may be text that is no JSON, or bytes of sound.
    """

    text: Names = ()
    arguments: Names = ()
    pictures: Names = ()
    sounds: Names = ()
    vectors: Names = ()
    answers: Names = ()
    in_documents: Names = ()
    within: tuple[Names, ...] = ()
    plain_text: bool = False
    binary: bool = False
    keys: tuple[bytes, ...] = field(init=False)
    """The names of text members as most events write them, with what follows."""
    in_event: re.Pattern[bytes] = field(init=False)
    in_document: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Derive search expressions from the names."""
        object.__setattr__(self, "keys", tuple(f'"{name}":'.encode() for name in self.text))
        object.__setattr__(self, "in_event", self._pattern(self.text, ()))
        object.__setattr__(
            self, "in_document", self._pattern((*self.text, *self.in_documents), self.answers)
        )

    def _pattern(self, text: Names, answers: Names) -> re.Pattern[bytes]:
        kinds = {
            "text": text,
            "arguments": self.arguments,
            "picture": self.pictures,
            "sound": self.sounds,
            "vector": self.vectors,
            "answer": answers,
        }
        named = "|".join(
            f"(?P<{kind}>{'|'.join(re.escape(name) for name in names)})"
            for kind, names in kinds.items()
            if names
        )
        # Without names the expression never matches.
        head = f'"(?:{named})"'.encode() if named else rb"(?!)"
        return re.compile(head + _VALUE, re.DOTALL | re.VERBOSE)
