"""Count tokens as OpenAI does, for streams that break off before they report usage.

Used only if the settings ask for it; the extra `tokenizer` installs the library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from tollgate.core.models.deployment import Deployment

_PROVIDERS = ("openai", "azure", "text-completion-openai")
# https://github.com/openai/tiktoken/blob/main/tiktoken/model.py; the first matching row counts.
_VOCABULARIES = (
    (("gpt-oss",), "o200k_harmony"),
    (
        ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "gpt-6", "chatgpt-4o", "o1", "o3", "o4"),
        "o200k_base",
    ),
    (("gpt-4", "gpt-3.5", "gpt-35"), "cl100k_base"),
)


def token_counters(deployments: Iterable[Deployment]) -> Mapping[str, Callable[[str], int]]:
    """Return token counters by deployment id, for OpenAI models with a known vocabulary.

    The first count loads the vocabulary, which blocks for 0.3 s and takes 64 MB. Raises ImportError
    if the library is missing.
    """
    toktok = import_module("toktok")
    found = {each.id: find_vocabulary(each) for each in deployments}
    return {
        identity: partial(_count, toktok, vocabulary)
        for identity, vocabulary in found.items()
        if vocabulary is not None
    }


def find_vocabulary(deployment: Deployment) -> str | None:
    """Return the vocabulary of a deployment's model; None if unknown."""
    if deployment.provider not in _PROVIDERS:
        return None
    return next(
        (name for prefixes, name in _VOCABULARIES if deployment.model.startswith(prefixes)), None
    )


def _count(toktok: Any, vocabulary: str, text: str) -> int:
    (tokens,) = toktok.batch_count([text], vocabulary, threads=1)
    return int(tokens)
