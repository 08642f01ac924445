"""A request body as bytes: the fields that decide, their places, and the splices that change it. The whole object is never built.

One pass in C validates the JSON and tells the top-level members as bytes; a long prompt costs a scan of its bytes and no objects.
Places matter because Envoy's own JSON filters re-serialise a body, which changes what the model sees: we splice instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from tollgate.core.dialects import OPENAI, Path, Places
from tollgate.core.entities import Edit
from tollgate.core.errors import BadRequest

# What stands between two top-level values: the rest of a number, a comma, the next name (group 1), a colon.
_NAME = re.compile(rb'[^"]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+:\s*+', re.DOTALL)
# Images, audio and files travel as base64, far longer than the tokens that they cost; no prose looks like this.
_MEDIA = re.compile(rb'"(?:data:[^",]{0,100};base64,)?[A-Za-z0-9+/_-]{256,}+={0,2}"')
_LONGEST_MEDIA_HEAD = len('"data:;base64,') + 100
_SHORTEST_MEDIA = 256
# Leaps to the last other byte of the next 256: it stops where 256 bytes of base64 begin, or fewer are left.
_NO_MEDIA = re.compile(rb"(?:.{0,255}[^A-Za-z0-9+/_-])*+", re.DOTALL)
# A search by expression is three times as fast as one by bytes.find, whose leaps over two bytes are short.
_ESCAPE = re.compile(rb"\\u")

_Members = dict[str, msgspec.Raw]

_decode_members = msgspec.json.Decoder(_Members).decode
_decode = msgspec.json.Decoder().decode


Span = tuple[int, int]
"""Where a value stands in the body: its start, and its end, exclusive."""


class Body(msgspec.Struct, frozen=True):
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
    members = _decode_members(raw)
    opening = raw.index(b"{")
    spans = _spans(raw, opening, members)
    # Where limits may be endless, negative ones are none.
    limits = _integers(members, places.output_limits, least=None if places.endless else 0)
    choices = _integers(members, places.choices, least=1)
    options = _find(members, ("stream_options",))
    prompt = [spans[name] for name in places.prompt if name in spans] if places.prompt else [(0, len(raw))]
    return Body(
        model=_model(members),
        stream=_stream(members, default=places.streams),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_output_tokens=max([limit for limit in limits if limit >= 0], default=None),
        choices=max(choices, default=1),
        customer=_customer(members, places),
        prompt_bytes=sum([_text_bytes(raw, start, end) for start, end in prompt]),
        opening=opening,
        spans=spans,
    )


def rename_model(body: Body, model: str) -> Edit:
    """The edit that puts another model name into a body that names one."""
    start, end = body.spans["model"]
    return Edit(start, end - start, model if body.form else _text(model))


def include_usage(raw: bytes, body: Body, *, running: bool = False) -> Edit:
    """The edit that asks for usage at the end of a stream, keeping the client's other stream options. `running`: with every event too."""
    asked = {"include_usage": True, "continuous_usage_stats": True} if running else {"include_usage": True}
    if (span := body.spans.get("stream_options")) is None:
        # The object has a member already (stream), so a comma always follows.
        return Edit(body.opening + 1, 0, f'"stream_options":{_text(asked)},')
    start, end = span
    options = _decode(raw[start:end])
    wanted = {**(options if isinstance(options, dict) else {}), **asked}
    return Edit(start, end - start, _text(wanted))


def apply(raw: bytes, edits: tuple[Edit, ...]) -> bytes:
    """The body after its edits, as Envoy's Lua filter makes it."""
    parts, at = [], 0
    for edit in sorted(edits, key=lambda each: each.offset):
        parts += [raw[at : edit.offset], edit.insert.encode()]
        at = edit.offset + edit.delete
    return b"".join([*parts, raw[at:]])


def _spans(raw: bytes, opening: int, members: _Members) -> dict[str, Span]:
    """Where each top-level value stands. Raises BadRequest when a name stands twice.

    Decoders disagree on which of two counts, so a limit could be read from one and the model from the other. `members` has the last
    value of each name, in the order of the first. So either a value differs, or there are as many names more as stand twice. One number
    may begin like another (1 and 12); its rest is passed over, and the names are counted still.
    """
    spans: dict[str, Span] = {}
    at = opening + 1
    for name, value in members.items():
        match = _NAME.match(raw, at)
        if match is None or not raw.startswith(value, start := match.end()):
            raise _twice(raw, [opening + 1, *(end for _, end in spans.values())])
        spans[name] = (start, at := start + len(value))
    if raw.find(b'"', at) >= 0:
        raise _twice(raw, [opening + 1, *(end for _, end in spans.values())])
    return spans


def _twice(raw: bytes, places: list[int]) -> BadRequest:
    """The refusal of a name that stands twice: one that follows two of these places, or else the last of them only, and again later."""
    seen: set[str] = set()
    for at in places:
        match = _NAME.match(raw, at)
        name = "" if match is None else _decode(match[1])
        if name in seen:
            break
        seen.add(name)
    return BadRequest(f"The field {name!r} stands twice in the body; name it once.", param=name)


def _find(members: _Members, place: Path) -> Any:
    """A value by its place; null is an absent one."""
    if (member := members.get(place[0])) is None:
        return None
    value = _decode(member)
    for name in place[1:]:
        # Something else than an object there holds nothing of ours: the provider will say what is wrong with it.
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _model(members: _Members) -> str | None:
    if "model" not in members:
        return None
    model = _find(members, ("model",))
    if not isinstance(model, str) or not model:
        raise _fault(("model",), model, "the name of a model,")
    return model


def _stream(members: _Members, *, default: bool) -> bool:
    value = _find(members, ("stream",))
    if value is None:
        return default
    if type(value) is not bool:
        raise _fault(("stream",), value, "true or false,")
    return value


def _integers(members: _Members, places: tuple[Path, ...], *, least: int | None) -> list[int]:
    """The whole numbers that stand at some places, each at least `least`."""
    found = []
    for place in places:
        if (value := _find(members, place)) is None:
            continue
        if type(value) is not int or (least is not None and value < least):
            raise _fault(place, value, "a whole number," if least is None else f"a whole number, at least {least},")
        found.append(value)
    return found


def _customer(members: _Members, places: Places) -> str | None:
    """The first name that is not empty."""
    for place in places.customer:
        value = _find(members, place)
        if value is not None and not isinstance(value, str):
            raise _fault(place, value, "a string,")
        if value:
            return value
    return None


def _fault(place: Path, value: object, right: str) -> BadRequest:
    name, shown = ".".join(place), _text(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return BadRequest(f"The field {name!r} must be {right} got {shown}.", param=name)


def _text_bytes(raw: bytes, start: int, end: int) -> int:
    """Bytes of text in a value: base64 left out, and an escaped \\uXXXX counted as the three bytes that it mostly stands for."""
    text, at = 0, start
    for media in _find_media(raw, start, end):
        text += _plain_bytes(raw, at, media.start())
        at = media.end()
    return text + _plain_bytes(raw, at, end)


def _find_media(raw: bytes, start: int, end: int) -> Iterable[re.Match[bytes]]:
    if end - start < _SHORTEST_MEDIA:
        return ()
    beginning = _NO_MEDIA.match(raw, start, end).end()  # type: ignore[union-attr] # it matches nothing, too
    if end - beginning < _SHORTEST_MEDIA:
        return ()
    return _MEDIA.finditer(raw, max(start, beginning - _LONGEST_MEDIA_HEAD), end)


def _plain_bytes(raw: bytes, start: int, end: int) -> int:
    first = _ESCAPE.search(raw, start, end)
    return end - start if first is None else end - start - 3 * raw.count(b"\\u", first.start(), end)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
