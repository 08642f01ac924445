"""What holds of every request body, however its names are spelled and whatever stands twice."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tollgate.core.errors import BadRequest
from tollgate.core.requests import body, dialects, prompt_size

NAMES = [
    "model",
    "max_tokens",
    "n",
    "user",
    "metadata",
    "stream_options",
    "messages",
    "a",
    "a\\u0062",
    "ab",
    '"',
    "é",
    "",
]
# Numbers that begin alike, and text that looks like more members.
VALUES = [
    1,
    12,
    1.5,
    -1,
    -12,
    True,
    None,
    "",
    "m",
    '","model":"x',
    '\\","n":2,"',
    [],
    {},
    [{"model": "y", "n": 3}],
    {"user_id": "u"},
]
names = st.sampled_from(NAMES) | st.text(max_size=3)
values = st.sampled_from(VALUES) | st.recursive(
    st.text(max_size=3) | st.integers(-20, 20),
    lambda inner: st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
spaces = st.sampled_from(["", " ", "\n\t", "\r "])


@st.composite
def texts(draw: st.DrawFn, content: str) -> str:
    """A string as JSON, some of its characters escaped that need not be."""
    if draw(st.booleans()):
        return json.dumps(content, ensure_ascii=draw(st.booleans()))
    return (
        '"'
        + "".join(f"\\u{ord(each):04x}" if ord(each) < 0x10000 else each for each in content)
        + '"'
    )


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    members = draw(st.lists(st.tuples(names, values), max_size=6))
    space = draw(spaces)
    written = [
        f"{draw(texts(n))}{space}:{draw(spaces)}{json.dumps(v)}{draw(spaces)}" for n, v in members
    ]
    return f"{space}{{{space}{(',' + space).join(written)}}}{space}".encode()


def members_of(raw: bytes) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=lambda each: each)
    return pairs


@given(raw=bodies())
@example(raw=b'{"a":12,"a":1}')
@example(raw=b'{"a":12,"b":3,"a":1}')
@example(raw=b'{"a":1,"a":1,"b":1,"c":3}')
@example(raw=b'{"ab":1,"a\\u0062":1,"a\\\\u0062":1}')
@example(raw=b'{"model":{"model":"x"},"mod\\u0065l":"b"}')
def test_a_name_that_stands_twice_is_refused_and_no_other(raw: bytes) -> None:
    """Escaped or not, alike in value or not, at the top only; the message names one that does stand
    twice.
    """
    found = [name for name, _ in members_of(raw)]
    twice = {name for name in found if found.count(name) > 1}
    try:
        body.read(raw)
        message, param = "", None
    except BadRequest as error:
        message, param = str(error), error.param
    assert ("Duplicate field" in message) == bool(twice)
    assert not twice or param in twice


@given(raw=bodies())
def test_every_value_is_where_its_place_says(raw: bytes) -> None:
    """In the order of the body."""
    try:
        facts = body.read(raw, dialects.Places())
    except BadRequest:
        return
    shown = {name: json.loads(raw[start:end]) for name, (start, end) in facts.spans.items()}
    assert list(shown.items()) == list(json.loads(raw).items())


pieces = st.sampled_from(
    [
        "A" * 255,
        "A" * 256,
        "/" * 300,
        r"\/" * 300,
        '"',
        '"data":"',
        '"bytesBase64Encoded" : "',
        '"images": ["',
        '", "',
        '"]',
        '"data:image/png;base64,',
        "=",
        "==",
        "\\u00e9",
        " ",
        "é",
        "word",
    ]
)


# The same in one expression, which takes eight times as long.
_BASE64 = rb'(?:[A-Za-z0-9+/_-]|\\/){256,}+={0,2}"'
_RUN = re.compile(_BASE64)
_MEDIA = re.compile(
    rb'"(?:' + prompt_size._FIELDS + rb')"\s{0,8}+:\s{0,8}+"' + _BASE64
    + rb'|"images"\s{0,8}+:\s{0,8}+\[\s{0,8}+"' + _BASE64
    + rb'(?:\s{0,8}+,\s{0,8}+"' + _BASE64 + rb')*+'
    + rb'|"data:[^",]{0,100};base64,' + _BASE64
)  # fmt: skip


@given(written=st.lists(pieces, max_size=12).map("".join))
def test_media_are_found_as_a_plain_search_finds_them(written: str) -> None:
    """The short ways find all that the expression finds."""
    value = written.encode()
    ends = {last for _, last in prompt_size._find_media(value, 0, len(value))}
    expected = {
        run.end()
        for media in _MEDIA.finditer(value)
        for run in _RUN.finditer(value, media.start(), media.end())
    }
    assert expected <= ends
