"""A request body as bytes: the fields that decide, their places, and the splices that change it. The whole object is never built.

One pass validates the JSON; another walks the top level only, so a long prompt costs a scan of its bytes and no objects.
Places matter because Envoy's own JSON filters re-serialise a body, which changes what the model sees: we splice instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from tollgate.core.entities import Edit
from tollgate.core.errors import BadRequest

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_MEMBER = re.compile(rb"[\s,]*+(" + _STRING + rb")\s*+:\s*+", re.DOTALL)
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)
_SCALAR = re.compile(rb"[^\s,}\]]++")
# Up to and with the next bracket that is not inside a string: nesting costs one match a bracket, however long the strings are.
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
# Images, audio and files travel as base64, far longer than the tokens that they cost; no prose looks like this.
_MEDIA = re.compile(rb'"(?:data:[^",]{0,100};base64,)?[A-Za-z0-9+/_-]{256,}+={0,2}"')

_PROMPT_MEMBERS = ("messages", "prompt", "input", "system", "instructions", "tools")
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class _Object(msgspec.Struct):
    """Decoding into it checks that bytes are one JSON object and builds nothing."""


_validate = msgspec.json.Decoder(_Object).decode


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands in the body."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Body:
    """The fields of a body that admission reads, and where top-level values stand.

    `prompt_bytes`: UTF-8 bytes of the prompt's JSON, media left out. `max_output_tokens`: the greatest limit that the body
    names, for one choice; None when it names none.
    """

    model: str
    stream: bool
    include_usage: bool
    max_output_tokens: int | None
    choices: int
    customer: str | None
    prompt_bytes: int
    opening: int
    spans: dict[str, Span]


def read(raw: bytes) -> Body:
    """Read a body. Raises BadRequest that names the field, the value and what would be right."""
    try:
        _validate(raw)
        opening, spans = _members(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body must be one JSON object in UTF-8: {error}") from error
    limits = [limit for name in _OUTPUT_LIMITS if (limit := _integer(raw, spans, name, least=0)) is not None]
    options = _value(raw, spans, "stream_options")
    return Body(
        model=_model(raw, spans),
        stream=_boolean(raw, spans, "stream"),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_output_tokens=max(limits, default=None),
        choices=max(_integer(raw, spans, "n", least=1) or 1, _integer(raw, spans, "best_of", least=1) or 1),
        customer=_customer(raw, spans),
        prompt_bytes=sum(_text_bytes(raw, spans[name]) for name in _PROMPT_MEMBERS if name in spans),
        opening=opening,
        spans=spans,
    )


def rename_model(body: Body, model: str) -> Edit:
    """The edit that puts another model name into the body."""
    span = body.spans["model"]
    return Edit(span.start, span.end - span.start, _text(model))


def include_usage(raw: bytes, body: Body) -> Edit:
    """The edit that asks for usage at the end of a stream, keeping the client's other stream options."""
    if (span := body.spans.get("stream_options")) is None:
        # The object has a member already (model), so a comma always follows.
        return Edit(body.opening + 1, 0, '"stream_options":{"include_usage":true},')
    options = _value(raw, body.spans, "stream_options")
    wanted = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return Edit(span.start, span.end - span.start, _text(wanted))


def apply(raw: bytes, edits: tuple[Edit, ...]) -> bytes:
    """The body after its edits, as Envoy's Lua filter makes it."""
    parts, at = [], 0
    for edit in sorted(edits, key=lambda each: each.offset):
        parts += [raw[at : edit.offset], edit.insert.encode()]
        at = edit.offset + edit.delete
    return b"".join([*parts, raw[at:]])


def _members(raw: bytes) -> tuple[int, dict[str, Span]]:
    """Where the object opens, and where each top-level value stands. The bytes are known to be one JSON object."""
    opening = raw.index(b"{")
    spans: dict[str, Span] = {}
    at = opening + 1
    while member := _MEMBER.match(raw, at):
        name = str(msgspec.json.decode(member[1]))
        start = member.end()
        at = _end_of_value(raw, start)
        if name in spans:
            # Decoders disagree on which of two counts, so a limit could be read from one and the model from the other.
            raise BadRequest(f"The field {name!r} stands twice in the body; name it once.", param=name)
        spans[name] = Span(start, at)
    return opening, spans


def _end_of_value(raw: bytes, start: int) -> int:
    first = raw[start]
    if first == 0x22:  # a quotation mark
        return _end(_WHOLE_STRING, raw, start)
    if first not in (0x7B, 0x5B):  # neither { nor [
        return _end(_SCALAR, raw, start)
    depth, at = 0, start
    while True:
        at = _end(_TO_BRACKET, raw, at)
        depth += 1 if raw[at - 1] in (0x7B, 0x5B) else -1
        if depth == 0:
            return at


def _end(pattern: re.Pattern[bytes], raw: bytes, start: int) -> int:
    match = pattern.match(raw, start)
    if match is None:
        raise BadRequest(f"The body is not JSON that can be read, at byte {start}.")
    return match.end()


def _value(raw: bytes, spans: dict[str, Span], name: str) -> Any:
    if (span := spans.get(name)) is None:
        return None
    return msgspec.json.decode(raw[span.start : span.end])


def _shown(raw: bytes, span: Span) -> str:
    text = raw[span.start : span.end].decode("utf-8", "replace")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _model(raw: bytes, spans: dict[str, Span]) -> str:
    if (span := spans.get("model")) is None:
        raise BadRequest("The field 'model' is missing; name one of the models that /v1/models lists.", param="model")
    model = _value(raw, spans, "model")
    if not isinstance(model, str) or not model:
        raise BadRequest(f"The field 'model' must be the name of a model, got {_shown(raw, span)}.", param="model")
    return model


def _integer(raw: bytes, spans: dict[str, Span], name: str, least: int) -> int | None:
    value = _value(raw, spans, name)
    if value is None:
        return None
    if type(value) is not int or value < least:
        raise BadRequest(
            f"The field {name!r} must be a whole number, at least {least}, got {_shown(raw, spans[name])}.", param=name
        )
    return value


def _boolean(raw: bytes, spans: dict[str, Span], name: str) -> bool:
    value = _value(raw, spans, name)
    if value is not None and type(value) is not bool:
        raise BadRequest(f"The field {name!r} must be true or false, got {_shown(raw, spans[name])}.", param=name)
    return bool(value)


def _customer(raw: bytes, spans: dict[str, Span]) -> str | None:
    """OpenAI's `user`; Anthropic's `metadata.user_id`."""
    user = _value(raw, spans, "user")
    if user is None and isinstance(metadata := _value(raw, spans, "metadata"), dict):
        user = metadata.get("user_id")
    if user is not None and not isinstance(user, str):
        raise BadRequest(f"The field 'user' must be a string, got {user!r}.", param="user")
    return user or None


def _text_bytes(raw: bytes, span: Span) -> int:
    """Bytes of text in a value: base64 left out, and an escaped \\uXXXX counted as the three bytes that it mostly stands for."""
    media = sum(match.end() - match.start() for match in _MEDIA.finditer(raw, span.start, span.end))
    return span.end - span.start - media - 3 * raw.count(b"\\u", span.start, span.end)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
