"""Read passes: runs of models within one call that are billed separately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tollgate.core.calls.usage import Counts, Pass, Usage
from tollgate.core.usage.apis.api import Api, Field
from tollgate.core.usage.counts import DAMAGED, extract, sound_counts
from tollgate.core.usage.meaning import normalise

_MOST_PASSES = 1_000
_MOST_NAME_CHARACTERS = 256
# Kinds within input and output. Fees belong to the call.
_KINDS = tuple(
    name
    for name in Counts.__struct_fields__
    if name.endswith("_tokens") and name != "citation_tokens"
)
# https://platform.openai.com/docs/guides/tools-image-generation: the tool's model if the call names
# none.
_DRAWS_WITH = "gpt-image-1"


def passes_of(api: Api, items: Sequence[object]) -> tuple[Pass, ...] | None:
    """Return the passes of a list; None if one cannot be read, so that their sum is unknown."""
    if len(items) > _MOST_PASSES:
        return None
    found = [_pass(api, each) for each in items]
    passes = tuple(each for each in found if each is not None)
    if len(passes) != len(found):
        return None
    return passes


def _pass(api: Api, item: object) -> Pass | None:
    if not isinstance(item, dict):
        return None
    told = extract(api, {"usage": item})
    total = normalise(sound_counts(told), api.meaning)
    if DAMAGED in told.values() or not (total.sound and total.input_told and total.output_told):
        return None
    tokens: dict[str, Any] = {name: count for name, count in total.tokens.items() if name in _KINDS}
    return Pass(**tokens, model=_name(item.get("model")), kind=_name(item.get("type")) or "")


def _name(value: object) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= _MOST_NAME_CHARACTERS:
        return value
    return None


def image_pass(counts: Mapping[Field, int], model: str | None) -> Pass | None:
    """Return what a hosted tool that draws used; None if nothing was reported."""
    if not counts.get(Field.IMAGE_TOOL_INPUT) and not counts.get(Field.IMAGE_TOOL_OUTPUT):
        return None
    return Pass(
        input_tokens=counts.get(Field.IMAGE_TOOL_INPUT, 0),
        output_tokens=counts.get(Field.IMAGE_TOOL_OUTPUT, 0),
        input_image_tokens=min(
            counts.get(Field.IMAGE_TOOL_INPUT_IMAGE, 0), counts.get(Field.IMAGE_TOOL_INPUT, 0)
        ),
        output_image_tokens=min(
            counts.get(Field.IMAGE_TOOL_OUTPUT_IMAGE, 0), counts.get(Field.IMAGE_TOOL_OUTPUT, 0)
        ),
        model=model or _DRAWS_WITH,
        kind="image_generation",
    )


def with_passes(usage: Usage, passes: tuple[Pass, ...]) -> Usage:
    """Return a usage that is the sum of its passes; what the call reported beyond them stays its
    own.
    """
    sums = _sums(passes)
    sums["input_tokens"] = max(sums["input_tokens"], usage.input_tokens)
    sums["output_tokens"] = max(sums["output_tokens"], usage.output_tokens)
    return replace(usage, passes=passes, **sums)


def with_pass_beside(usage: Usage, beside: Pass) -> Usage:
    """Return a usage with one more pass that its counts did not include."""
    sums = {kind: count + getattr(usage, kind) for kind, count in _sums((beside,)).items()}
    return replace(usage, passes=(*usage.passes, beside), **sums)


def _sums(passes: tuple[Pass, ...]) -> dict[str, Any]:
    return {kind: sum(getattr(each, kind) for each in passes) for kind in _KINDS}
