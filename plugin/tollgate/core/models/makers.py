"""Infer the provider of a model that a configuration names without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from tollgate.core.models.model_names import parse_model_name

# From the providers' lists of models. The first matching row counts.
_MAKERS = (
    (
        "openai",
        (
            "gpt-* chatgpt-* o1 o1-* o3 o3-* o4-* text-embedding-3-* text-embedding-ada-*"
            " text-moderation-* omni-moderation-* whisper-* tts-* dall-e-* davinci-* babbage-*"
            " codex-* computer-use-* sora-*"
        ),
    ),
    ("anthropic", "claude-*"),
    ("cohere", "command command-* c4ai-* embed-english-* embed-multilingual-* embed-v* rerank-*"),
    ("gemini", "gemini-* gemma-* imagen-* veo-* text-embedding-00* text-multilingual-embedding-*"),
    (
        "mistral",
        (
            "mistral-* ministral-* codestral-* magistral-* devstral-* voxtral-* pixtral-*"
            " open-mistral-* open-mixtral-*"
        ),
    ),
    ("deepseek", "deepseek-chat deepseek-reasoner deepseek-coder"),
    ("xai", "grok-*"),
    ("perplexity", "sonar sonar-*"),
)
# arn:aws:bedrock:..., or VENDOR.MODEL after a region; no other provider puts a dot there.
# https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html
_BEDROCK = re.compile(
    r"arn:[a-z-]+:bedrock:.*|((us-gov|us|eu|apac|au|jp|ca|sa|global)\.)?"
    r"(ai21|amazon|anthropic|cohere|deepseek|luma|meta|mistral|openai|qwen|stability|twelvelabs|writer)\..+"
)


def patterns_of_makers() -> Iterator[tuple[str, str]]:
    """Yield each maker with a pattern of its models' names."""
    for maker, names in _MAKERS:
        for each in names.split():
            yield maker, each


def maker_of(model: str) -> str | None:
    """Return the provider that makes a model, by LiteLLM's name; None if unknown."""
    if _BEDROCK.fullmatch(model.lower()):
        return "bedrock"
    bare = parse_model_name(model).bare
    return next(
        (maker for maker, pattern in patterns_of_makers() if fnmatchcase(bare, pattern)), None
    )
