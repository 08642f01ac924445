"""Fuzz the readers of request bodies: what they find is what a decoder finds there, and their edits
change nothing else.
"""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(include=["tollgate.core"]):
    from tests.edits import edited

    from tollgate.core.errors import BadRequest
    from tollgate.core.requests import body
    from tollgate.core.requests.form import read_form

MODEL = 'another model\'s "name"'
BOUNDARY = "xYz"


def test_one(raw: bytes) -> None:
    """One body: it is read, or it is a BadRequest."""
    if raw.startswith(b"--"):
        one_form(raw)
    else:
        one_json(raw)


def one_json(raw: bytes) -> None:
    """Members stand where they are said to stand."""
    try:
        facts = body.read(raw)
    except BadRequest:
        return
    before = json.loads(raw)
    assert list(before) == list(facts.spans)
    for name, (start, end) in facts.spans.items():
        assert json.dumps(json.loads(raw[start:end])) == json.dumps(before[name]), name
    assert facts.prompt_tokens <= 4 * len(raw)
    assert facts.customer is None or (len(facts.customer) <= 300 and facts.customer.isprintable())
    if not before:
        return
    edits = body.include_usage(raw, facts, running=True)
    expected = {**before, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    if isinstance(before.get("stream_options"), dict):
        expected["stream_options"] = {**before["stream_options"], **expected["stream_options"]}
    if facts.model is not None:
        edits = (body.rename_model(facts, MODEL), *edits)
        expected["model"] = MODEL
    after = json.loads(edited(raw, edits))
    assert json.dumps(after, sort_keys=True) == json.dumps(expected, sort_keys=True)


def one_form(raw: bytes) -> None:
    """Fields are what stands between a head and a boundary, and nothing of them holds one."""
    try:
        facts = read_form(raw, BOUNDARY)
    except BadRequest:
        return
    delimiter = f"--{BOUNDARY}".encode()
    for name, (start, end) in facts.spans.items():
        assert raw[start - 4 : start] == b"\r\n\r\n", name
        assert raw[end:].startswith(b"\r\n" + delimiter), name
        assert delimiter not in raw[start:end], name
    assert facts.customer is None or (len(facts.customer) <= 300 and facts.customer.isprintable())
    if facts.model is not None:
        after = read_form(edited(raw, (body.rename_model(facts, "renamed"),)), BOUNDARY)
        assert (after.model, list(after.spans)) == ("renamed", list(facts.spans))


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
