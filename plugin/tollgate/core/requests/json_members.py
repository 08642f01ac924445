"""The members of a JSON object as bytes, in bounded time, and the names that another parser could
take for one that is read.

Parsers disagree on what is not plain JSON: of two members of one name some take the first and some
the last, and Go's encoding/json (https://pkg.go.dev/encoding/json#Unmarshal) takes a name that
differs by case only for the name itself. What two parsers could read in two ways would be limited
as one thing and served as another, so it is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Set
from enum import Enum
from urllib.parse import unquote_plus

import msgspec

from tollgate.core.errors import LONGEST_SHOWN, BadRequest, cut

MOST_MEMBERS = 2_000
"""An object that is read may have so many members. OpenAI's longest body has some forty."""
# Decoding takes 0.4 us a member. So what is shorter, or has fewer colons, takes less than 20 ms and
# need not be counted beforehand.
_SHORT_BYTES, _FEW_COLONS = 300_000, 40_000
# What stands between two top-level values: the rest of a number, a comma, the next name (group 1),
# a colon.
_NAME = re.compile(rb'[^"]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+:\s*+', re.DOTALL)
# Some readers separate by semicolons, too.
_QUERY_MEMBER = re.compile(r"(?:^|[&;])([^=&;]+)")
_UTF8_STEP_BYTES = 256 * 1024

Span = tuple[int, int]
"""Where a value stands in the body: its start, and its end, exclusive."""
Members = dict[str, msgspec.Raw]

_decode_members = msgspec.json.Decoder(Members).decode
_decode_name = msgspec.json.Decoder(str).decode
_utf8 = codecs.getincrementaldecoder("utf-8")


def check_utf8(raw: bytes) -> None:
    """Raise UnicodeDecodeError unless the bytes are UTF-8, without holding the text: decoders mend
    what is not, each in its way.
    """
    if raw.isascii():
        return
    if len(raw) <= _UTF8_STEP_BYTES:
        raw.decode()
        return
    decode = _utf8().decode
    for at in range(0, len(raw), _UTF8_STEP_BYTES):
        decode(raw[at : at + _UTF8_STEP_BYTES])
    decode(b"", final=True)


def members_of(raw: bytes) -> Members:
    """The members of an object by name, each with its value as bytes.

    Of equal names the last value, at the place of the first.

    Raises msgspec.DecodeError unless it is an object, and BadRequest when it has more than
    MOST_MEMBERS members.
    """
    if len(raw) > _SHORT_BYTES and raw.count(b":") > _FEW_COLONS:
        _check_count(raw)
    members = _decode_members(raw)
    if len(members) > MOST_MEMBERS:
        raise _too_many()
    return members


def spans_of(raw: bytes, opening: int, members: Members) -> dict[str, Span]:
    """Where the value of each member stands. Raises BadRequest when a name stands twice.

    `members` has the last value of each name, in the order of the first. So either a value differs,
    or there are as many names more as stand twice. One number may begin like another (1 and 12);
    its rest is passed over, and the names are counted still.
    """
    spans: dict[str, Span] = {}
    at = opening + 1
    for name, value in members.items():
        match = _NAME.match(raw, at)
        if match is None or not raw.startswith(value, start := match.end()):
            raise _twice(raw, [opening + 1, *(end for _, end in spans.values())])
        spans[name] = (start, at := start + len(value))
    if raw.find(b'"', at) >= 0:
        raise _twice(raw, [opening + 1, *(end for _, end in spans.values())])
    return spans


def folded(name: str) -> str:
    """The name as parsers see it that do not regard case, or take a string to end at its first NUL.

    Wider than encoding/json's own folding, which knows two characters beyond ASCII (U+017F for s,
    U+212A for k): others know more, as Java's equalsIgnoreCase does U+0130 and U+0131 for i.
    """
    name = name.partition("\0")[0]
    return name.lower() if name.isascii() else name.upper().casefold().replace("\u0307", "")


class Names:
    """The names that are read of one object (`exact`).

    `parent`: the name of the object, where it is not the body itself.
    """

    def __init__(self, names: Iterable[str], parent: str = "") -> None:
        self.exact = frozenset(names)
        self._by_folded = {folded(name): name for name in self.exact}
        self._prefix = f"{parent}." if parent else ""

    def check(self, names: Set[str]) -> None:
        """Raise BadRequest for a name that could be taken for one that is read."""
        for name in names - self.exact:
            right = self._by_folded.get(folded(name))
            if right is not None:
                right, wrong = self._prefix + right, self._prefix + name
                raise BadRequest(
                    f"The field {cut(wrong)!r} could be taken for {right!r}; write it so, and once.",
                    param=wrong[:LONGEST_SHOWN],
                )

    def find(self, name: str) -> str | None:
        """The name that is read which the most lenient reader takes the name of a query's member or
        of a form's field for.

        PHP trims such names, and makes a list of `x[]`.
        """
        return self._by_folded.get(folded(unquote_plus(name)).strip().partition("[")[0])

    def check_query(self, query: str) -> None:
        """Raise BadRequest where a query (without its question mark) has a member that is read of
        the body.

        Readers of forms take either (https://pkg.go.dev/net/http#Request.FormValue: the query's).
        """
        for member in _QUERY_MEMBER.findall(query):
            if (right := self.find(member)) is not None:
                raise BadRequest(
                    f"The field {right!r} must stand in the body, and not in the query.",
                    param=right,
                )


def _check_count(raw: bytes) -> None:
    """Raise BadRequest at the member after the last that may be, before any is kept."""
    seen = 0

    def count(names: type[Enum], _: object) -> Enum:
        nonlocal seen
        seen += 1
        if seen > MOST_MEMBERS:
            raise ValueError
        return next(iter(names))

    # msgspec asks an enumeration's `_missing_` for each name that it lacks. The one that it has is
    # so long, written as JSON, that a body has no room for many of them.
    names = Enum("names", {"UNLIKELY": "\0" * 100, "_missing_": classmethod(count)})
    try:
        msgspec.json.decode(raw, type=dict[names, msgspec.Raw])
    except msgspec.ValidationError as error:
        if seen > MOST_MEMBERS:
            raise _too_many() from error
        raise


def _too_many() -> BadRequest:
    return BadRequest(f"An object of the body has more than {MOST_MEMBERS} fields.")


def _twice(raw: bytes, places: list[int]) -> BadRequest:
    """The refusal of a name that stands twice: one that follows two of these places, or else the
    last of them only, and again later.
    """
    seen: set[str] = set()
    for at in places:
        match = _NAME.match(raw, at)
        name = "" if match is None else _decode_name(match[1])
        if name in seen:
            break
        seen.add(name)
    return BadRequest(
        f"The field {cut(name)!r} stands twice in the body; name it once.",
        param=name[:LONGEST_SHOWN],
    )
