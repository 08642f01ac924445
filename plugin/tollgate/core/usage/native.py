"""Define which usage Envoy's own filters can read, as rules that name a path in a reply.

fields.py turns what they found into Usage. Envoy's JSON parsers know members of objects but not
items of lists. In a stream's events a rule may name an object, which is returned as JSON text; in
any other body it must name the value itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from tollgate.core.calls.usage import Usage
from tollgate.core.usage.apis.api import Api, Field
from tollgate.core.usage.apis.paths import Path
from tollgate.core.usage.reading import NOTHING_SEEN, Seen
from tollgate.core.usage.seen import BYTES_PER_TOKEN

STREAM_BYTES_PER_TOKEN = 40 * BYTES_PER_TOKEN
"""Bytes per output token assumed for a stream whose text nobody counted.

OpenAI's events hold one token each and are 160 to 250 bytes long.
"""

_SSE = "+sse"
Names = tuple[str, ...]
"""A path as the names of members, from the top."""


class Framing(Enum):
    """The framing of a reply, for those that Envoy has a filter for."""

    BODY = auto()
    SSE = auto()
    EVENT_STREAM = auto()


# Members of events that only errors have, or that are 0 in other events.
_ERRORS: Mapping[Framing, tuple[Names, ...]] = {
    Framing.SSE: (
        ("error",),
        ("base_resp", "status_code"),
        ("response", "error"),
        ("promptFeedback", "blockReason"),
    ),
    Framing.EVENT_STREAM: (("message",),),
}
_ERROR_NAMES = frozenset(".".join(names) for each in _ERRORS.values() for names in each)
# Events that only end a stream or keep it alive are no longer, and no error is shorter.
_LEAST_BYTES = 64
_ERROR_BYTES = 2_048
# Bytes of a JSON reply besides its text.
_BODY_BYTES = 512
# Their events hold a few words each, and longer names.
_SMALL_EVENTS = frozenset({"anthropic.messages", "openai.responses", "bedrock.converse_stream"})
_SMALL_EVENT_BYTES_PER_TOKEN = 30
# Their replies are vectors or scores.
_NO_TEXT = frozenset({"openai.embeddings", "gemini.embed", "vertex.predict"})


def reader_name(api_name: str, framing: Framing) -> str:
    """Return the name of the filter that reads an API's replies in one framing."""
    if framing is Framing.SSE:
        return f"{api_name}{_SSE}"
    return api_name


def rules_of(api: Api, framing: Framing) -> tuple[Names, ...]:
    """Return what to read of a document of the API."""
    found: dict[Names, None] = {}
    for root in api.roots:
        if framing is Framing.BODY and (root.early or root.stream_only):
            continue
        for paths in api.where.values():
            for path in paths:
                if root.path.plain is not None and (names := readable(path, framing)) is not None:
                    found[root.path.plain + names] = None
    if found:
        found |= dict.fromkeys(_ERRORS.get(framing, ()))
    return tuple(found)


def counts_of_body(api: Api) -> tuple[tuple[str, ...], ...]:
    """Return groups of fields of which one must exceed zero, or else ext_proc reads the body.

    Without reported input and output, only what the reply showed says what to charge.
    """
    directions = (Field.INPUT,) if api.name in _NO_TEXT else (Field.INPUT, Field.OUTPUT)
    return tuple(_body_fields(api, direction, Field.AUDIO_SECONDS) for direction in directions)


def _body_fields(api: Api, *fields: Field) -> tuple[str, ...]:
    roots = [root.path.plain for root in api.roots if not (root.early or root.stream_only)]
    paths = [path.plain for field in fields for path in api.where.get(field, ())]
    return tuple(
        ".".join((*root, *path))
        for root in roots
        for path in paths
        if root is not None and path is not None
    )


def is_told_again(api: Api, names: Names) -> bool:
    """Return whether a rule names an object that several events of a stream may report.

    The first value is then kept beside the last.
    """
    return names in objects_of(api)


def objects_of(api: Api) -> tuple[Names, ...]:
    """Return the rules that name objects."""
    within = {
        (*root.path.plain, path.steps[0].name)
        for root in api.roots
        for paths in api.where.values()
        for path in paths
        if root.path.plain is not None and len(path.steps) > 1 and not path.steps[0].each
    }
    return tuple(sorted(within))


def told_error(fields: Mapping[str, object]) -> bool:
    """Return whether the fields belong to an error."""
    return any(fields[name] not in (0, "", "null") for name in _ERROR_NAMES if name in fields)


def seen_in(api_name: str, body_bytes: int, *, stream: bool, error: bool) -> Seen:
    """Return what a reply may have shown, at least and at most, from its length alone.

    An event of a stream holds one token or a whole answer.
    """
    if body_bytes <= _LEAST_BYTES or (error and body_bytes <= _ERROR_BYTES):
        return NOTHING_SEEN
    if api_name in _NO_TEXT:
        return Seen(shown=True)
    if not stream:
        most = _tokens(max(0, body_bytes - _BODY_BYTES), BYTES_PER_TOKEN)
        return Seen(shown=True, output_tokens=1, most_tokens=max(1, most))
    most = _tokens(
        body_bytes, _SMALL_EVENT_BYTES_PER_TOKEN if api_name in _SMALL_EVENTS else BYTES_PER_TOKEN
    )
    return Seen(
        shown=True, output_tokens=_tokens(body_bytes, STREAM_BYTES_PER_TOKEN), most_tokens=most
    )


def _tokens(body_bytes: int, bytes_per_token: int) -> int:
    return -(-body_bytes // bytes_per_token)


def hidden_tokens(usage: Usage, body_bytes: int, *, stream: bool) -> int:
    """Return how much of a reported output a reply of that length cannot have shown, at least."""
    hidden = usage.output_tokens - -(-body_bytes // BYTES_PER_TOKEN)
    if stream and usage.reasoning_tokens:
        # Visible reasoning comes in events like the rest.
        in_events = -(-body_bytes // STREAM_BYTES_PER_TOKEN)
        hidden = max(hidden, min(usage.reasoning_tokens, usage.output_tokens - in_events))
    return max(0, hidden)


def readable(path: Path, framing: Framing) -> Names | None:
    """Return the part of a path that a rule can name; None if there is none."""
    if framing is Framing.BODY:
        return path.plain
    first = path.steps[0]
    if first.each:
        return None
    return (first.name,)
