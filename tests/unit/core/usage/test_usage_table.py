"""Faults in the table of APIs."""

from __future__ import annotations

import pytest

from tollgate.core.usage import load_apis

FAULTS: list[tuple[object, str]] = [
    ([], "x: must be a mapping"),
    ({1: 2}, "x: must be a mapping"),
    ({"colour": 1}, "x.colour: is not a field"),
    ({"meaning": "other"}, "x.meaning: 'other'"),
    ({"free": "yes"}, "x.free: must be a bool"),
    ({"needs": [1]}, "x.needs: must hold strings"),
    ({"needs": ["inputs"]}, "x.needs: 'inputs'"),
    ({"final": ["a..b"]}, "x.final: "),
    ({"output": {"texts": ["a"]}}, r"x.output.texts: is not a field of the table"),
    ({"where": [{"is": "input", "at": "a"}]}, r"x.where\[0\].source: must link"),
    (
        {"where": [{"is": "input", "at": "", "source": "https://x"}]},
        r"x.where\[0\].at: must name a field",
    ),
    ({"where": [{"is": "tokens", "at": "a", "source": "https://x"}]}, r"x.where\[0\].is: 'tokens'"),
    (
        {"where": [{"is": "input", "at": "a", "source": "https://x", "add": 1}]},
        r"x.where\[0\].add: is not a field",
    ),
    (
        {"headers": [{"is": "input", "at": 1, "source": "https://x"}]},
        r"x.headers\[0\].at: must be a str",
    ),
]


@pytest.mark.parametrize(("entry", "message"), FAULTS)
def test_a_bad_table_is_refused_by_name(entry: object, message: str) -> None:
    """The error names the entry and the field at fault."""
    with pytest.raises(ValueError, match=message):
        load_apis({"x": entry})
