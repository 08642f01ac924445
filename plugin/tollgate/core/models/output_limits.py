"""Bound the output of one reply by its model, whatever the request asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache

from tollgate.core.models.deployment import Deployment
from tollgate.core.models.model_names import parse_model_name

DEFAULT_CEILING = 131_072
"""Assumed maximum of an unknown model, in tokens."""

MOST_CHOICES = 128
"""OpenAI's bound on `n`, the greatest that any provider publishes:
https://platform.openai.com/docs/api-reference/chat/create
"""


class OutputLimits:
    """The table output_limits.yaml: patterns of bare names and their maximum of output tokens.

    `ceiling` applies to a model that neither its deployment nor the table knows.
    """

    def __init__(
        self, rows: Sequence[tuple[Sequence[str], int]] = (), ceiling: int = DEFAULT_CEILING
    ) -> None:
        self._rows = [
            (re.compile("|".join(map(translate, patterns))), tokens) for patterns, tokens in rows
        ]
        self._ceiling = ceiling
        # Bounded, because a client chooses the name where a wildcard serves it.
        self._find = lru_cache(maxsize=1024)(self._find_in_table)

    def most(self, deployment: Deployment) -> int:
        """Return the most output tokens of one choice of a reply."""
        return deployment.max_output_tokens or self._find(deployment.known_as) or self._ceiling

    def find_most(self, model: str) -> int | None:
        """Return the table's entry for a model; None if it has none."""
        return self._find(model)

    def _find_in_table(self, model: str) -> int | None:
        bare = parse_model_name(model).bare
        return next((tokens for pattern, tokens in self._rows if pattern.match(bare)), None)
