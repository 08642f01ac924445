"""A request body as bytes: the fields that decide, their places, and the splices that change it. The whole object is never built.

One pass checks the JSON and decodes what decides, so a long prompt costs a scan of its bytes and no objects; another, where a body is
edited, walks the top level to find places. They matter because Envoy's own JSON filters re-serialise a body, which changes what
the model sees: we splice instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from tollgate.core.dialects import OPENAI, Path, Places
from tollgate.core.entities import Edit
from tollgate.core.errors import BadRequest
from tollgate.core.memo import Memo

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_MEMBER = re.compile(rb"[\s,]*+(" + _STRING + rb")\s*+:\s*+", re.DOTALL)
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)
_SCALAR = re.compile(rb"[^\s,}\]]++")
# Up to and with the next bracket that is not inside a string: nesting costs one match a bracket, however long the strings are.
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
# Images, audio and files travel as base64, far longer than the tokens that they cost; no prose looks like this.
_MEDIA = re.compile(rb'"(?:data:[^",]{0,100};base64,)?[A-Za-z0-9+/_-]{256,}+={0,2}"')


class Span(Struct, frozen=True, gc=False):
    """Where a value stands in the body."""

    start: int
    end: int


class Body(Struct):
    """The fields of a body that admission reads.

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
    raw: bytes
    form: bool = False
    known_spans: dict[str, Span] | None = None

    @property
    def spans(self) -> dict[str, Span]:
        """Where the values of its members stand: found when the first edit asks."""
        if self.known_spans is None:
            self.known_spans = dict(_members(self.raw))
        return self.known_spans


def read(raw: bytes, places: Places = OPENAI) -> Body:
    """Read a JSON body. Raises BadRequest that names the field, the value and what would be right. OpenAI's places are the commonest.

    A member that decides something may stand there once only: decoders disagree on which of two counts, so a limit could be read from
    one and the model from the other.
    """
    try:
        if not raw.isascii():
            raw.decode()  # the decoder does not look into what it skips
        return _read(raw, places)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body must be one JSON object in UTF-8: {error}") from error


def _read(raw: bytes, places: Places) -> Body:
    reader = _readers.get(places)
    values = _Values(reader.decode(raw), reader.attributes)
    named = reader.named.findall(raw)
    # An escape can spell any letter of a name.
    if len(named) != len(set(named)) or b"\\u00" in raw:
        _refuse_repeated(raw, reader.attributes)
    limits = [limit for place in places.output_limits if (limit := values.limit(place, places)) is not None]
    choices = [count for place in places.choices if (count := values.integer(place, least=1)) is not None]
    options = values.member("stream_options")
    prompt = [bytes(text) for name in places.prompt if (text := values.member(name))] if places.prompt else [raw]
    return Body(
        model=values.model(),
        stream=values.stream(default=places.streams),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_output_tokens=max(limits, default=None),
        choices=max(choices, default=1),
        customer=next((name for place in places.customer if (name := values.text(place))), None),
        prompt_bytes=sum([_text_bytes(text) for text in prompt]),
        raw=raw,
    )


class _Reader(Struct, frozen=True):
    """How bodies of one kind are decoded: the members that decide, by name, as attributes of what `decode` makes; the others are
    checked and skipped. `named` finds their names, wherever they stand."""

    decode: Callable[[bytes], Any]
    attributes: dict[str, str]
    named: re.Pattern[bytes]

    @classmethod
    def of(cls, places: Places) -> _Reader:
        """The reader of a dialect's bodies."""
        deciding = [path[0] for path in (*places.output_limits, *places.choices, *places.customer)]
        names = list(dict.fromkeys(("model", "stream", "stream_options", *deciding, *places.prompt)))
        attributes = {name: f"member_{number}" for number, name in enumerate(names)}
        # A prompt is measured, not read.
        types = [(attributes[name], Raw if name in places.prompt else Any, UNSET) for name in names]
        fields = msgspec.defstruct("Fields", types, rename={each: name for name, each in attributes.items()})
        named = rb'"(' + b"|".join(re.escape(name.encode()) for name in names) + rb')"\s*+:'
        return cls(msgspec.json.Decoder(fields).decode, attributes, re.compile(named))


_readers: Memo[Places, _Reader] = Memo(_Reader.of)


def _refuse_repeated(raw: bytes, deciding: Collection[str]) -> None:
    names = set()
    for name, _ in _members(raw):
        if name in names and name in deciding:
            raise BadRequest(f"The field {name!r} stands twice in the body; name it once.", param=name)
        names.add(name)


def rename_model(body: Body, model: str) -> Edit:
    """The edit that puts another model name into a body that names one."""
    span = body.spans["model"]
    return Edit(span.start, span.end - span.start, model if body.form else _text(model))


def include_usage(raw: bytes, body: Body, *, running: bool = False) -> Edit:
    """The edit that asks for usage at the end of a stream, keeping the client's other stream options. `running`: with every event too."""
    asked = {"include_usage": True, "continuous_usage_stats": True} if running else {"include_usage": True}
    if (span := body.spans.get("stream_options")) is None:
        # The object has a member already (stream), so a comma always follows.
        return Edit(raw.index(b"{") + 1, 0, f'"stream_options":{_text(asked)},')
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


def _members(raw: bytes) -> Iterator[tuple[str, Span]]:
    """The names of the object's members, and where their values stand. The bytes are known to be one JSON object."""
    at = raw.index(b"{") + 1
    while member := _MEMBER.match(raw, at):
        start = member.end()
        at = _end_of_value(raw, start)
        yield str(msgspec.json.decode(member[1])), Span(start, at)


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

    def __init__(self, fields: Any, attributes: Mapping[str, str]) -> None:
        self._fields = fields
        self._attributes = attributes

    def member(self, name: str) -> Any:
        """A value at the top."""
        value = getattr(self._fields, self._attributes[name])
        return None if value is UNSET else value

    def model(self) -> str | None:
        model = getattr(self._fields, self._attributes["model"])
        if model is UNSET:
            return None
        if not isinstance(model, str) or not model:
            raise self._fault(("model",), model, "the name of a model")
        return model

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
        value = getattr(self._fields, self._attributes[place[0]])
        if value is UNSET:
            return None
        for name in place[1:]:
            # Something else than an object there holds nothing of ours: the provider will say what is wrong with it.
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _fault(self, place: Path, value: object, right: str) -> BadRequest:
        name, shown = ".".join(place), _text(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        right = right if right.endswith(",") else f"{right},"
        return BadRequest(f"The field {name!r} must be {right} got {shown}.", param=name)


def _text_bytes(value: bytes) -> int:
    """Bytes of text in a value: base64 left out, and an escaped \\uXXXX counted as the three bytes that it mostly stands for."""
    media = sum([match.end() - match.start() for match in _MEDIA.finditer(value)])
    return len(value) - media - 3 * value.count(b"\\u")


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
