"""A request body as bytes: the fields that decide, their places, and the splices that change it. The whole object is never built.

One pass validates the JSON; another walks the top level only, so a long prompt costs a scan of its bytes and no objects.
Places matter because Envoy's own JSON filters re-serialise a body, which changes what the model sees: we splice instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from tollgate.core.dialects import OPENAI, Path, Places
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

    `model` is None when the body names none. `prompt_bytes`: UTF-8 bytes of the prompt's JSON, media left out.
    `max_output_tokens`: the greatest limit that the body names, for one choice; None when it names none. `form`: its values are
    written as they are, not as JSON.
    """

    model: str | None
    stream: bool
    include_usage: bool
    max_output_tokens: int | None
    choices: int
    customer: str | None
    prompt_bytes: int
    opening: int
    spans: dict[str, Span]
    form: bool = False


def read(raw: bytes, places: Places = OPENAI) -> Body:
    """Read a JSON body. Raises BadRequest that names the field, the value and what would be right. OpenAI's places are the commonest."""
    try:
        return _read(raw, places)
    # What validation skips may still be damaged: text that is not UTF-8 shows when it is read.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body must be one JSON object in UTF-8: {error}") from error


def _read(raw: bytes, places: Places) -> Body:
    _validate(raw)
    opening, spans = _members(raw)
    values = _Values(raw, spans)
    limits = [limit for place in places.output_limits if (limit := values.limit(place, places)) is not None]
    choices = [count for place in places.choices if (count := values.integer(place, least=1)) is not None]
    options = values.member("stream_options")
    prompt = [spans[name] for name in places.prompt if name in spans] if places.prompt else [Span(0, len(raw))]
    return Body(
        model=values.model(),
        stream=values.stream(default=places.streams),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_output_tokens=max(limits, default=None),
        choices=max(choices, default=1),
        customer=next((name for place in places.customer if (name := values.text(place))), None),
        prompt_bytes=sum(_text_bytes(raw, span) for span in prompt),
        opening=opening,
        spans=spans,
    )


def rename_model(body: Body, model: str) -> Edit:
    """The edit that puts another model name into a body that names one."""
    span = body.spans["model"]
    return Edit(span.start, span.end - span.start, model if body.form else _text(model))


def include_usage(raw: bytes, body: Body, *, running: bool = False) -> Edit:
    """The edit that asks for usage at the end of a stream, keeping the client's other stream options. `running`: with every event too."""
    asked = {"include_usage": True, "continuous_usage_stats": True} if running else {"include_usage": True}
    if (span := body.spans.get("stream_options")) is None:
        # The object has a member already (stream), so a comma always follows.
        return Edit(body.opening + 1, 0, f'"stream_options":{_text(asked)},')
    options = msgspec.json.decode(raw[span.start : span.end])
    wanted = {**(options if isinstance(options, dict) else {}), **asked}
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


class _Values:
    """The values of a body by their places. A value of the wrong kind is a BadRequest that names it; null is an absent one."""

    def __init__(self, raw: bytes, spans: dict[str, Span]) -> None:
        self._raw = raw
        self._spans = spans

    def member(self, name: str) -> Any:
        """A value at the top."""
        if (span := self._spans.get(name)) is None:
            return None
        return msgspec.json.decode(self._raw[span.start : span.end])

    def model(self) -> str | None:
        model = self.member("model")
        if "model" in self._spans and (not isinstance(model, str) or not model):
            raise self._fault(("model",), model, "the name of a model")
        return model or None

    def stream(self, *, default: bool) -> bool:
        value = self.member("stream")
        if value is None:
            return default
        if type(value) is not bool:
            raise self._fault(("stream",), value, "true or false")
        return value

    def integer(self, place: Path, least: int | None) -> int | None:
        """A whole number, at least `least`."""
        value = self._find(place)
        if value is None:
            return None
        if type(value) is not int or (least is not None and value < least):
            right = "a whole number" if least is None else f"a whole number, at least {least},"
            raise self._fault(place, value, right)
        return value

    def limit(self, place: Path, places: Places) -> int | None:
        """A limit of output."""
        limit = self.integer(place, least=None if places.endless else 0)
        return None if limit is not None and limit < 0 else limit

    def text(self, place: Path) -> str | None:
        value = self._find(place)
        if value is None or isinstance(value, str):
            return value
        raise self._fault(place, value, "a string,")

    def _find(self, place: Path) -> Any:
        name, *rest = place
        value = self.member(name)
        for name in rest:
            # Something else than an object there holds nothing of ours: the provider will say what is wrong with it.
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _fault(self, place: Path, value: object, right: str) -> BadRequest:
        name, shown = ".".join(place), _text(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        right = right if right.endswith(",") else f"{right},"
        return BadRequest(f"The field {name!r} must be {right} got {shown}.", param=name)


def _text_bytes(raw: bytes, span: Span) -> int:
    """Bytes of text in a value: base64 left out, and an escaped \\uXXXX counted as the three bytes that it mostly stands for."""
    media = sum(match.end() - match.start() for match in _MEDIA.finditer(raw, span.start, span.end))
    return span.end - span.start - media - 3 * raw.count(b"\\u", span.start, span.end)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
