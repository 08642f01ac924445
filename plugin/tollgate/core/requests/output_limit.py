"""Lower the output limit of a request: which edits of the body do it, and how far it may go."""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from tollgate.core.calls.decision import Edit
from tollgate.core.requests.body import Body
from tollgate.core.requests.dialects import Place, Places
from tollgate.core.requests.json_members import members_of, spans_of

LEAST_OUTPUT_TOKENS = 16
"""The lowest limit that is set: OpenAI's Responses API takes no lower one.

https://platform.openai.com/docs/api-reference/responses/create
"""

_OBJECT = ord("{")
_INSERTED = MappingProxyType(
    {
        "openai.chat": "max_tokens",
        "openai.completions": "max_tokens",
        "openai.responses": "max_output_tokens",
        "anthropic.messages": "max_tokens",
        "anthropic.complete": "max_tokens_to_sample",
        "gemini.generate": "generationConfig.maxOutputTokens",
        "gemini.interactions": "generation_config.max_output_tokens",
        "bedrock.converse": "inferenceConfig.maxTokens",
        "bedrock.converse_stream": "inferenceConfig.maxTokens",
        "cohere.chat": "max_tokens",
        "ollama": "options.num_predict",
    }
)
# OpenAI's own models that reason refuse max_tokens:
# https://platform.openai.com/docs/api-reference/chat/create
_NEWER = "max_completion_tokens"
_OF_NEWER = frozenset({"openai", "azure"})


def find_place(api: str, provider: str, body: Body) -> Place | None:
    """Return where a body without an output limit gets one; None: nobody knows.

    Bedrock's InvokeModel takes whatever its model does, and a form has no output limit.
    """
    if body.form:
        return None
    if api == "openai.chat" and provider in _OF_NEWER:
        return _NEWER
    if api == "gemini.generate" and "generation_config" in body.spans:
        return "generation_config.maxOutputTokens"
    return _INSERTED.get(api)


def limit_output(
    raw: bytes, body: Body, places: Places, tokens: int, insert_at: Place | None
) -> tuple[Edit, ...]:
    """Return the edits after which no output limit in the body is above `tokens`, and one is there.

    Empty if that is so already, or if no limit is there and none can be inserted.
    """
    edits: list[Edit] = []
    found = False
    for place in places.output_limits:
        span = _span_of(raw, body, place)
        if span is None:
            continue
        found = True
        start, end = span
        value = msgspec.json.decode(raw[start:end])
        if type(value) is not int or not 0 <= value <= tokens:
            edits.append(Edit(start, end - start, str(tokens)))
    if not found and insert_at is not None:
        edits.append(_inserted(raw, body, insert_at, tokens))
    return tuple(edits)


def least_output(raw: bytes, body: Body) -> int:
    """Return the lowest output limit that leaves the request what it was.

    Anthropic's budget for thinking has to be below it:
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    least = LEAST_OUTPUT_TOKENS
    if body.max_output_tokens is not None:
        least = min(least, body.max_output_tokens)
    span = body.spans.get("thinking")
    if span is None or raw[span[0]] != _OBJECT:
        return least
    budget = msgspec.json.decode(raw[slice(*span)]).get("budget_tokens")
    return max(least, budget + 1) if type(budget) is int else least


def _span_of(raw: bytes, body: Body, place: Place) -> tuple[int, int] | None:
    name, dot, inner = place.partition(".")
    span = body.spans.get(name)
    if span is None or not dot:
        return span
    start, end = span
    if raw[start] != _OBJECT:
        return None
    part = raw[start:end]
    found = spans_of(part, 0, members_of(part)).get(inner)
    return None if found is None else (start + found[0], start + found[1])


def _inserted(raw: bytes, body: Body, place: Place, tokens: int) -> Edit:
    name, dot, inner = place.partition(".")
    span = body.spans.get(name)
    if not dot or span is None:
        member = f'"{name}":{{"{inner}":{tokens}}}' if dot else f'"{name}":{tokens}'
        return Edit(body.opening + 1, 0, member + ("," if body.spans else ""))
    start, end = span
    if raw[start] != _OBJECT:
        return Edit(start, end - start, f'{{"{inner}":{tokens}}}')
    comma = "," if members_of(raw[start:end]) else ""
    return Edit(start + 1, 0, f'"{inner}":{tokens}{comma}')
