"""Reading a body agrees with a plain JSON parser on any object, however its members are written and however often."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.core import body
from tollgate.core.dialects import OPENAI
from tollgate.core.errors import BadRequest

DECIDING = ("model", "stream", "stream_options", "max_tokens", "n", "user", "messages")
GOOD = {
    "model": st.sampled_from(["gpt-4o", "ünï"]),
    "stream": st.booleans(),
    "stream_options": st.sampled_from([{}, {"include_usage": True}, {"model": "inner"}]),
    "max_tokens": st.integers(0, 99),
    "n": st.integers(1, 4),
    "user": st.sampled_from(["c1", '"model": "quoted"']),
    "messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=20)}), max_size=3),
}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DECIDING, "x"]), inner, max_size=3),
    max_leaves=6,
)


def members() -> st.SearchStrategy[tuple[str, object]]:
    """A member that decides, of the right kind, or one that nobody asks for."""
    deciding = st.sampled_from(DECIDING).flatmap(lambda name: st.tuples(st.just(name), GOOD[name]))
    return deciding | st.tuples(st.sampled_from(["temperature", "seed", "x"]), anything)


@st.composite
def written(draw: st.DrawFn, name: str) -> str:
    """A name as JSON, some of its letters escaped."""
    letters = [f"\\u{ord(each):04x}" if draw(st.integers(0, 9)) == 0 else each for each in name]
    return f'"{"".join(letters)}"'


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, object]]]:
    """An object as bytes, and its members."""
    found = draw(st.lists(members(), max_size=7))
    ascii_only, space = draw(st.booleans()), draw(st.sampled_from(["", " ", "\n\t"]))
    parts = [
        f"{draw(written(name))}{space}:{space}{json.dumps(value, ensure_ascii=ascii_only)}" for name, value in found
    ]
    return f"{space}{{{space}{','.join(parts)}{space}}}".encode(), found


@given(objects())
def test_a_body_is_read_as_a_plain_parser_would(case: tuple[bytes, list[tuple[str, object]]]) -> None:
    """And refused exactly when a member that decides stands there twice."""
    raw, found = case
    counts = Counter(name for name, _ in found)
    if any(counts[name] > 1 for name in DECIDING):
        with pytest.raises(BadRequest, match="stands twice"):
            body.read(raw)
        return
    plain, facts = json.loads(raw), body.read(raw)
    assert facts.model == plain.get("model")
    assert facts.stream == plain.get("stream", False)
    assert facts.include_usage == ((plain.get("stream_options") or {}).get("include_usage") is True)
    assert (facts.max_output_tokens, facts.choices) == (plain.get("max_tokens"), plain.get("n", 1))
    assert facts.customer == plain.get("user")
    assert facts.prompt_bytes <= len(raw)
    assert list(facts.spans) == list(plain)
    for name, span in facts.spans.items():
        assert json.loads(raw[span.start : span.end]) == plain[name]


def test_openais_places_are_those_that_the_property_names() -> None:
    """So that no member that decides is left out of it unnoticed."""
    named = {path[0] for path in (*OPENAI.output_limits, *OPENAI.choices, *OPENAI.customer)} | set(OPENAI.prompt)
    assert set(DECIDING) - {"model", "stream", "stream_options"} <= named
