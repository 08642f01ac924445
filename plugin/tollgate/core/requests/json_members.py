"""Split a JSON object into members as bytes, in bounded time, and detect ambiguous names.

Parsers disagree on irregular JSON: of two equal names some take the first and some the last, and
Go's encoding/json (https://pkg.go.dev/encoding/json#Unmarshal) also matches names that differ in
case. A body that two parsers could read differently would be limited as one thing and served as
another, so it is refused. Example: in `{"model": "a", "Model": "b"}` a Go server serves b, Python
a.
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
"""The most members of an object that is read. OpenAI's longest body has some forty."""
# Decoding takes 0.4 us a member. A body below either bound decodes in less than 20 ms, so its
# members need not be counted on the way.
_SHORT_BYTES, _FEW_COLONS = 300_000, 40_000
# What separates two top-level values: the rest of a number, a comma, the next name (group 1), a
# colon.
_NAME = re.compile(rb'[^"]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+:\s*+', re.DOTALL)
# Some readers also split a query at semicolons.
_QUERY_MEMBER = re.compile(r"(?:^|[&;])([^=&;]+)")
_UTF8_STEP_BYTES = 256 * 1024

Span = tuple[int, int]
"""The position of a value in the body: start, and end (exclusive)."""
Members = dict[str, msgspec.Raw]

_decode_members = msgspec.json.Decoder(Members).decode
_decode_name = msgspec.json.Decoder(str).decode
_utf8 = codecs.getincrementaldecoder("utf-8")


def check_utf8(raw: bytes) -> None:
    """Raise UnicodeDecodeError unless the bytes are UTF-8, without keeping the text.

    Decoders repair invalid UTF-8 in different ways, so two readers would see different text.
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
    """Return the members of an object by name, each value as raw bytes.

    For equal names, the last value is kept at the position of the first.

    Raises msgspec.DecodeError unless the bytes are an object, and BadRequest when it has more than
    MOST_MEMBERS members.
    """
    if len(raw) > _SHORT_BYTES and raw.count(b":") > _FEW_COLONS:
        return _counted_members(raw)
    members = _decode_members(raw)
    if len(members) > MOST_MEMBERS:
        raise _too_many()
    return members


def spans_of(raw: bytes, opening: int, members: Members) -> dict[str, Span]:
    """Return the span of each member's value. Raises BadRequest for a duplicate name.

    `members` holds the last value of each name in the order of the first. With a duplicate, either
    a value in the bytes differs from the one in `members`, or more names are found than `members`
    has. One number may be a prefix of another (1 and 12); its remaining digits are then skipped,
    and the count of names still reveals the duplicate.

    Example: `{"n": 1, "n": 12}` gives the member n = 12. At the first n the bytes read 1, not 12.
    """
    spans: dict[str, Span] = {}
    at, match_name, starts_with = opening + 1, _NAME.match, raw.startswith
    for name, value in members.items():
        match = match_name(raw, at)
        if match is None or not starts_with(value, start := match.end()):
            raise _twice(raw, [opening + 1, *(end for _, end in spans.values())])
        spans[name] = (start, at := start + len(value))
    if raw.find(b'"', at) >= 0:
        raise _twice(raw, [opening + 1, *(end for _, end in spans.values())])
    return spans


def folded(name: str) -> str:
    """Return the name as read by parsers that ignore case or end a string at its first NUL.

    Folds more than encoding/json does, which knows two characters beyond ASCII (U+017F for s,
    U+212A for k): Java's equalsIgnoreCase, for one, also maps U+0130 and U+0131 to i.
    """
    name = name.partition("\0")[0]
    if name.isascii():
        return name.lower()
    return name.upper().casefold().replace("\u0307", "")


class Names:
    """The names that are read from one object (`exact`).

    `parent`: the name of the object, if it is not the body itself.
    """

    def __init__(self, names: Iterable[str], parent: str = "") -> None:
        self.exact = frozenset(names)
        self._by_folded = {folded(name): name for name in self.exact}
        self._prefix = f"{parent}." if parent else ""

    def check(self, names: Set[str]) -> None:
        """Raise BadRequest for a name that another parser could take for one that is read."""
        # Many bodies hold nothing else; this builds no set of the other names.
        if self.exact.issuperset(names):
            return
        for name in names - self.exact:
            right = self._by_folded.get(folded(name))
            if right is not None:
                right, wrong = self._prefix + right, self._prefix + name
                raise BadRequest(
                    f"The field {cut(wrong)!r} can be read as {right!r}. Use that name, once.",
                    param=wrong[:LONGEST_SHOWN],
                )

    def read_as(self, name: str) -> str | None:
        """Return the name that the most lenient reader would take a query or form field for, if
        any.

        PHP trims such names and makes a list of `x[]`.
        """
        return self._by_folded.get(folded(unquote_plus(name)).strip().partition("[")[0])

    def check_query(self, query: str) -> None:
        """Raise BadRequest if a query (without its question mark) sets a field that is read from
        the body.

        Readers of forms merge the two (https://pkg.go.dev/net/http#Request.FormValue).
        """
        for member in _QUERY_MEMBER.findall(query):
            if (right := self.read_as(member)) is not None:
                raise BadRequest(
                    f"The field {right!r} belongs in the body, not in the query.",
                    param=right,
                )


def _counted_members(raw: bytes) -> Members:
    """Return the members of an object; raise BadRequest at the first member beyond the bound."""
    found: dict[str, Enum] = {}
    seen = 0

    def note(names: type[Enum], name: str) -> Enum:
        nonlocal seen
        seen += 1
        if seen > MOST_MEMBERS:
            raise ValueError
        if name not in found:
            noted = object.__new__(names)
            noted._name_ = noted._value_ = name
            found[name] = noted
        return found[name]

    # msgspec calls an enumeration's `_missing_` for each name that it lacks, which reports names
    # while the object is decoded. Its one member is so long in JSON that a body has no room for
    # many of them.
    names = Enum("names", {"UNLIKELY": "\0" * 100, "_missing_": classmethod(note)})
    try:
        members = msgspec.json.decode(raw, type=dict[names, msgspec.Raw])
    except msgspec.ValidationError as error:
        if seen > MOST_MEMBERS:
            raise _too_many() from error
        raise
    return {name.value: value for name, value in members.items()}


def _too_many() -> BadRequest:
    return BadRequest(f"An object in the body has more than {MOST_MEMBERS} fields.")


def _twice(raw: bytes, places: list[int]) -> BadRequest:
    """Return the refusal of the duplicate name.

    The duplicate follows two of these places, or follows the last one and occurs again later.
    """
    seen: set[str] = set()
    for at in places:
        match = _NAME.match(raw, at)
        name = "" if match is None else _decode_name(match[1])
        if name in seen:
            break
        seen.add(name)
    return BadRequest(
        f"Duplicate field {cut(name)!r}.",
        param=name[:LONGEST_SHOWN],
    )
