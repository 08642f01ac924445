"""A request body as bytes: the fields that decide, their places, and the splices that change it.

The whole object is never built.

One pass in C validates the JSON and tells the top-level members as bytes; a long prompt costs a
scan of its bytes and no objects. Places matter because Envoy's own JSON filters re-serialise a
body, which changes what the model sees: we splice instead.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tollgate.core.callers.customer_ids import customer_of_value
from tollgate.core.calls.decision import Edit
from tollgate.core.errors import BadRequest, cut
from tollgate.core.requests.dialects import INCLUDE_USAGE, OPENAI, Place, Places
from tollgate.core.requests.json_members import Members, Span, check_utf8, members_of, spans_of
from tollgate.core.requests.prompt_size import tokens_of

_OBJECT, _LIST = b"{["

_TOOLS = frozenset({"tools", "functions", "toolConfig"})
_SHORTEST_LIST = len("null")

_decode = msgspec.json.Decoder().decode


class Body(msgspec.Struct, frozen=True):
    """The fields of a body that admission reads, and where top-level values stand.

    `model` is None when the body names none. `prompt_tokens`: what the prompt may count, by its
    JSON alone; `tools`: it defines some.
    `max_output_tokens`: the greatest limit that the body names, for one choice; None when it names
    none, or one that is negative: `endless` is the field then. `form`: its values are written as
    they are, not as JSON; `file`: where an uploaded file stands in it.
    """

    model: str | None
    stream: bool
    include_usage: bool
    max_output_tokens: int | None
    choices: int
    customer: str | None
    prompt_tokens: int
    opening: int
    spans: dict[str, Span]
    form: bool = False
    endless: str | None = None
    tools: bool = False
    file: Span | None = None


def read(raw: bytes, places: Places = OPENAI) -> Body:
    """Read a JSON body.

    Raises BadRequest that names the field, the value and what would be right. OpenAI's places are
    the commonest.
    """
    try:
        return _read(raw, places)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body must be one JSON object in UTF-8: {error}") from error


def _read(raw: bytes, places: Places) -> Body:
    check_utf8(raw)
    members = members_of(raw)
    opening = raw.index(b"{")
    spans = spans_of(raw, opening, members)
    values = _values(raw, members, spans, places)
    _check_deferred(values, places)
    max_output_tokens, endless = _limit(values, places)
    prompt_tokens, tools = 0, False
    for name in places.prompt:
        if name in spans:
            start, end = spans[name]
            prompt_tokens += tokens_of(raw, start, end)
            tools = tools or (name in _TOOLS and end - start > _SHORTEST_LIST)
    return Body(
        model=_model(values),
        stream=_stream(values, default=places.streams),
        include_usage=values.get(INCLUDE_USAGE) is True,
        max_output_tokens=max_output_tokens,
        choices=_choices(values, places),
        customer=_customer(values, places),
        prompt_tokens=prompt_tokens if places.prompt else tokens_of(raw, 0, len(raw)),
        opening=opening,
        spans=spans,
        endless=endless,
        tools=tools,
    )


def rename_model(body: Body, model: str) -> Edit:
    """The edit that puts another model name into a body, or one into a JSON body that names none."""
    if "model" in body.spans:
        start, end = body.spans["model"]
        return Edit(start, end - start, model if body.form else _text(model))
    comma = "," if body.spans else ""
    return Edit(body.opening + 1, 0, f'"model":{_text(model)}{comma}')


def include_usage(raw: bytes, body: Body, *, running: bool = False) -> tuple[Edit, ...]:
    """The edits that ask for usage at the end of a stream, keeping the client's other stream
    options.

    `running`: with every event too.

    They are as short however long those options are: edits travel in headers.
    """
    asked = ("include_usage", "continuous_usage_stats") if running else ("include_usage",)
    span = body.spans.get("stream_options")
    if span is None:
        # The object has a member already (stream), so a comma always follows.
        return (
            Edit(body.opening + 1, 0, f'"stream_options":{_text(dict.fromkeys(asked, True))},'),
        )
    start, end = span
    if raw[start] != _OBJECT:
        return (Edit(start, end - start, _text(dict.fromkeys(asked, True))),)
    part = raw[start:end]
    options = members_of(part)
    spans = spans_of(part, 0, options)
    missing = [f'"{name}":true' for name in asked if name not in spans]
    edits = [
        Edit(start + spans[name][0], len(options[name]), "true") for name in asked if name in spans
    ]
    if missing:
        edits.append(Edit(start + 1, 0, ",".join(missing) + ("," if options else "")))
    return tuple(edits)


def leave_out(raw: bytes, body: Body, name: str) -> Edit:
    """The edit that takes a top-level member out of the body, with the comma that parts it from the
    others.
    """
    start, end = body.spans[name]
    before = max((stop for _, stop in body.spans.values() if stop <= start), default=None)
    if before is not None:
        return Edit(before, end - before, "")
    first = body.opening + 1
    if len(body.spans) > 1:
        end = raw.index(b",", end) + 1
    return Edit(first, end - first, "")


def apply(raw: bytes, edits: tuple[Edit, ...]) -> bytes:
    """The body after its edits, as Envoy's Lua filter makes it."""
    parts, at = [], 0
    for edit in sorted(edits, key=lambda each: each.offset):
        parts += [raw[at : edit.offset], edit.insert.encode()]
        at = edit.offset + edit.delete
    return b"".join([*parts, raw[at:]])


def _values(
    raw: bytes, members: Members, spans: dict[str, Span], places: Places
) -> dict[Place, Any]:
    """The values at the places that are read, but for those that are null.

    Objects and lists stay as they are.

    Raises BadRequest for a name that could be taken for one that is read.
    """
    places.names.check(members.keys())
    values: dict[Place, Any] = {}
    for name in places.values:
        if (
            name in members
            and (value := _value(name, members[name], raw[spans[name][0]])) is not None
        ):
            values[name] = value
    for parent, names, inner in places.inner:
        # Something else than an object there holds nothing of ours: the provider will say what is
        # wrong with it.
        if parent in members and raw[(span := spans[parent])[0]] == _OBJECT:
            part = raw[span[0] : span[1]]
            within = members_of(part)
            starts = spans_of(part, 0, within)
            names.check(within.keys())
            for name, place in inner:
                if (
                    name in within
                    and (value := _value(place, within[name], part[starts[name][0]])) is not None
                ):
                    values[place] = value
    return values


def _value(place: Place, member: msgspec.Raw, first: int) -> Any:
    if first in (_OBJECT, _LIST):
        return member
    try:
        return _decode(member)
    # What is well formed may still be beyond all numbers: 1e400.
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"The field {place!r} is a number that is out of range.", param=place
        ) from error


def _model(values: dict[Place, Any]) -> str | None:
    model = values.get("model")
    if model is None:
        return None
    if not isinstance(model, str) or not model:
        raise _fault("model", model, "the name of a model,")
    return model


def _stream(values: dict[Place, Any], *, default: bool) -> bool:
    value = values.get("stream", default)
    if type(value) is not bool:
        raise _fault("stream", value, "true or false,")
    return value


def _check_deferred(values: dict[Place, Any], places: Places) -> None:
    for place in places.deferred:
        if values.get(place, False) is not False:
            raise BadRequest(
                f"The field {place!r} must be false here: what such an answer uses is told when it is fetched, "
                "where this gateway cannot charge it. Stream the answer, or wait for it.",
                param=place,
            )


def _limit(values: dict[Place, Any], places: Places) -> tuple[int | None, Place | None]:
    """The greatest output limit; or none, and the place of one that says that there is none."""
    greatest = endless = None
    for place in places.output_limits:
        if place in values:
            limit = _integer(place, values[place], places.least_limit)
            if limit < 0:
                endless = place
            elif greatest is None or limit > greatest:
                greatest = limit
    return (greatest, None) if endless is None else (None, endless)


def _choices(values: dict[Place, Any], places: Places) -> int:
    greatest = 1
    for place in places.choices:
        if place in values:
            greatest = max(greatest, _integer(place, values[place], 1))
    return greatest


def _integer(place: Place, value: object, least: int) -> int:
    """A whole number, at least `least`.

    What is too great for another parser is bounded by the model.
    """
    if type(value) is not int or value < least:
        raise _fault(place, value, f"a whole number, at least {max(0, least)},")
    return value


def _customer(values: dict[Place, Any], places: Places) -> str | None:
    """The first that is named, by the order of the places; each must be an id."""
    found = None
    for place in places.customer:
        if place in values:
            named = customer_of_value(place, values[place])
            found = found or named
    return found


def _fault(place: Place, value: object, right: str) -> BadRequest:
    return BadRequest(f"The field {place!r} must be {right} got {cut(_text(value))}.", param=place)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def spoken_characters(raw: bytes, body: Body) -> int:
    """Return how many characters of text a body asks to be spoken."""
    span = body.spans.get("input")
    text = None if span is None else _decode(raw[slice(*span)])
    return len(text) if isinstance(text, str) else 0
