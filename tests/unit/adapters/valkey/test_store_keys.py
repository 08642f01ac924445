"""The list of the store's keys, which says what each holds and when it goes."""

from __future__ import annotations

import re
from pathlib import Path

from tollgate.adapters.valkey import keys

# `tollgate:NAME`, or `tollgate:{TAG}:NAME` with a fixed or a variable tag.
KEY = re.compile(r'"tollgate:(?:\{+\w+\}+:)?(\w+|\{\w+\})')


def test_every_key_is_listed() -> None:
    """With the word that tells it from others."""
    assert keys.__doc__ is not None
    listed = set(re.findall(r"tollgate:(?:\{\w+\}:)?(\w+)", keys.__doc__))
    code = Path(keys.__file__).read_text(encoding="utf-8").replace(keys.__doc__, "")
    named = {each for each in KEY.findall(code) if not each.startswith("{")}
    assert len(named) > 15
    assert named - listed == set()
