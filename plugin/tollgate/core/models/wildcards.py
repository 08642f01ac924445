"""Match public names that contain `*`, as LiteLLM's wildcard entries do.

See https://docs.litellm.ai/docs/wildcard_routing. `*` matches any run of characters, including
slashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from tollgate.core.models.probe_model import is_probe

LONGEST_NAME = 300
"""A longer name matches no wildcard. Clients choose these names, and limits and spend are kept
under them.
"""


def is_wildcard(name: str) -> bool:
    """Return whether a public name is a wildcard."""
    return "*" in name


class Wildcards:
    """The wildcards of a list of models."""

    def __init__(self, names: Iterable[str]) -> None:
        """Sort the wildcards: longer ones match first; equal lengths keep their order."""
        self._names = sorted(filter(is_wildcard, names), key=len, reverse=True)

    def find_wildcard(self, name: str) -> str | None:
        """Return the wildcard that serves a name, if any."""
        if (
            not self._names
            or not name
            or len(name) > LONGEST_NAME
            or is_wildcard(name)
            or not name.isprintable()
            or is_probe(name)
        ):
            return None
        return next((each for each in self._names if _pattern(each).fullmatch(name)), None)


def fill(wildcard: str, name: str, model: str) -> str:
    """Return the provider's `model` for a public name, its stars replaced in order by what the
    wildcard's stars matched.
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
    # Each star takes the shortest possible run, so the first of several takes the least.
    return re.compile("(.*?)".join(map(re.escape, wildcard.split("*"))), re.DOTALL)
