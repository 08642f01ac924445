"""Fuzz the scanner of request bodies: it agrees with a JSON decoder on what stands where, and its edits change nothing else."""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(include=["tollgate.core"]):
    from tollgate.core import body
    from tollgate.core.errors import BadRequest

MODEL = 'another model\'s "name"'


def test_one(raw: bytes) -> None:
    """One body: it is read, or it is a BadRequest."""
    try:
        facts = body.read(raw)
    except BadRequest:
        return
    try:
        before = json.loads(raw)
    except UnicodeDecodeError:
        return  # in a value that we do not read; the provider will say so
    assert list(before) == list(facts.spans)
    for name, (start, end) in facts.spans.items():
        assert json.dumps(json.loads(raw[start:end])) == json.dumps(before[name]), name
    assert facts.prompt_bytes <= len(raw)
    if not before:
        return
    edits = body.include_usage(raw, facts, running=True)
    expected = {**before, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    if isinstance(before.get("stream_options"), dict):
        expected["stream_options"] = {**before["stream_options"], **expected["stream_options"]}
    if facts.model is not None:
        edits = (body.rename_model(facts, MODEL), *edits)
        expected["model"] = MODEL
    after = json.loads(body.apply(raw, edits))
    assert json.dumps(after, sort_keys=True) == json.dumps(expected, sort_keys=True)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
