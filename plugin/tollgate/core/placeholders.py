"""Fill placeholders of the form `@NAME@` in scripts that others run."""

from __future__ import annotations

from collections.abc import Mapping

_MARK = "@"


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace every `@NAME@` of a text by the value of that name.

    The mark has no other use in such a text. Raises KeyError for a name without a value, and
    ValueError for a mark that is not closed.
    """
    parts = text.split(_MARK)
    if len(parts) % 2 == 0:
        raise ValueError(f"a placeholder is not closed: {parts[-1][:40]!r}")
    parts[1::2] = (values[name] for name in parts[1::2])
    return "".join(parts)
