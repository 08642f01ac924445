"""Public names with `*` in them: each serves all names that fit it, as LiteLLM's wildcard entries
do.

https://docs.litellm.ai/docs/wildcard_routing. `*` stands for any run of characters, slashes too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

LONGEST_NAME = 300
"""A longer name fits no wildcard: clients choose these names, and limits and spend are kept by
them.
"""


def is_wildcard(name: str) -> bool:
    """Return whether a public name stands for others."""
    return "*" in name


class Wildcards:
    """The wildcards of a list of models."""

    def __init__(self, names: Iterable[str]) -> None:
        """Sort them: of two that fit, the longer one counts; of two of one length, the first."""
        self._names = sorted(filter(is_wildcard, names), key=len, reverse=True)

    def find(self, name: str) -> str | None:
        """Return the wildcard that serves a name."""
        if (
            not self._names
            or not name
            or len(name) > LONGEST_NAME
            or is_wildcard(name)
            or not name.isprintable()
        ):
            return None
        return next((each for each in self._names if _pattern(each).fullmatch(name)), None)


def fill(wildcard: str, name: str, model: str) -> str:
    """Return a provider's `model` for a public name: its stars are what the wildcard's stand for,
    in their order.
    """
    match = _pattern(wildcard).fullmatch(name)
    if match is None or not is_wildcard(model):
        return model
    first, *others = model.split("*")
    parts = list(match.groups())
    filled = [(parts.pop(0) if parts else "") + rest for rest in others]
    return first + "".join(filled)


@lru_cache(maxsize=1024)
def _pattern(wildcard: str) -> re.Pattern[str]:
    # A star's shortest run first: with several stars the first ones take as little as they can.
    return re.compile("(.*?)".join(map(re.escape, wildcard.split("*"))), re.DOTALL)
