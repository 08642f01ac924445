"""Read a request body as bytes: the fields that matter, their positions, and byte edits.

The body is never decoded into one object. A single pass in C validates the JSON and yields the
top-level members as raw bytes, so a long prompt costs a scan and no objects. Positions matter
because Envoy's own JSON filters re-serialise a body, which changes what the model sees; Tollgate
splices bytes instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from tollgate.core.callers.customer_ids import customer_of_value
from tollgate.core.calls.decision import Edit
from tollgate.core.errors import BadRequest, cut
from tollgate.core.requests.dialects import INCLUDE_USAGE, OPENAI, SERVICE_TIERS, Place, Places
from tollgate.core.requests.json_members import Members, Span, check_utf8, members_of, spans_of
from tollgate.core.requests.prompt_size import tokens_of

_OBJECT = ord("{")
_COMPOUND = b"{["
"""What objects and lists begin with."""

_CONVERSATIONS = ("messages", "input", "contents")
_TOOLS = frozenset({"tools", "functions", "toolConfig"})
_SHORTEST_LIST = len("null")

_decode = msgspec.json.Decoder().decode


NOTHING_MEASURED: Mapping[Place, Any] = MappingProxyType({})


class Body(msgspec.Struct, frozen=True):
    """The fields of a body that admission reads, and the spans of its top-level values.

    - `model`: None when the body names no model.
    - `prompt_tokens`: estimated tokens of the prompt, from its JSON alone.
    - `tools`: the body defines tools.
    - `max_output_tokens`: the greatest output limit in the body, for one choice. None when it sets
      none, or sets a negative one; `endless` then names the field.
    - `form`: values are written as plain text, not as JSON.
    - `file`: the span of an uploaded file.
    - `measured`: what the price may depend on besides tokens, by its place; numbers and texts.
    - `mistyped`: the content type says that it is a form, as `curl -d` does by default; it is JSON.
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
    mistyped: bool = False
    measured: Mapping[Place, Any] = NOTHING_MEASURED

    @property
    def conversation(self) -> Span:
        """Where the messages stand, under whichever name an API has them; (0, 0): nowhere."""
        for name in _CONVERSATIONS:
            if name in self.spans:
                return self.spans[name]
        return 0, 0


def read(raw: bytes, places: Places = OPENAI) -> Body:
    """Read a JSON body; the places default to OpenAI's, the most common.

    Raises BadRequest naming the field, its value and what would be right.
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
    if "model" in values and not (values["model"] and isinstance(values["model"], str)):
        raise _fault("model", values["model"], "the name of a model,")
    stream = values.get("stream", places.streams)
    if type(stream) is not bool:
        raise _fault("stream", stream, "true or false,")
    for place in places.deferred:
        if values.get(place, False) is not False:
            raise _deferred(place)
    max_output_tokens, endless = _limit(values, places)
    prompt_tokens, tools = 0, False
    for name in places.prompt:
        if name in spans:
            start, end = spans[name]
            prompt_tokens += tokens_of(raw, start, end)
            tools = tools or (name in _TOOLS and end - start > _SHORTEST_LIST)
    return Body(
        model=values.get("model"),
        stream=stream,
        include_usage=values.get(INCLUDE_USAGE) is True,
        max_output_tokens=max_output_tokens,
        choices=_choices(values, places),
        customer=_customer(values, places),
        prompt_tokens=prompt_tokens if places.prompt else tokens_of(raw, 0, len(raw)),
        opening=opening,
        spans=spans,
        endless=endless,
        tools=tools,
        measured={name: values[name] for name in places.measured if name in values}
        if places.measured
        else NOTHING_MEASURED,
    )


def rename_model(body: Body, model: str) -> Edit:
    """Return the edit that replaces the model name, or adds one to a JSON body that has none."""
    if "model" in body.spans:
        start, end = body.spans["model"]
        return Edit(start, end - start, model if body.form else _text(model))
    comma = "," if body.spans else ""
    return Edit(body.opening + 1, 0, f'"model":{_text(model)}{comma}')


def include_usage(raw: bytes, body: Body, *, running: bool = False) -> tuple[Edit, ...]:
    """Return the edits that ask for usage at the end of a stream and keep other stream options.

    `running` asks for usage with every event as well. Edits travel in headers, so they stay short
    however long the client's stream options are.
    """
    asked = ("include_usage", "continuous_usage_stats") if running else ("include_usage",)
    span = body.spans.get("stream_options")
    if span is None:
        # The object has at least one member (`stream`), so a comma always follows.
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
    """Return the edit that removes a top-level member together with its comma."""
    start, end = body.spans[name]
    before = max((stop for _, stop in body.spans.values() if stop <= start), default=None)
    if before is not None:
        return Edit(before, end - before, "")
    first = body.opening + 1
    if len(body.spans) > 1:
        end = raw.index(b",", end) + 1
    return Edit(first, end - first, "")


def is_set(raw: bytes, body: Body, place: Place) -> bool:
    """Return whether a member at any depth is set: to anything but null or an empty list.

    The body's top level was read before; what is below it is read here.
    """
    name, *below = place.split(".")
    if name not in body.spans:
        return False
    value: Any = _decode(raw[slice(*body.spans[name])])
    for each in below:
        value = value.get(each) if isinstance(value, dict) else None
    return value not in (None, [])


def _values(
    raw: bytes, members: Members, spans: dict[str, Span], places: Places
) -> dict[Place, Any]:
    """Return the non-null values at the places that are read; objects and lists stay raw.

    Raises BadRequest for a member whose name another parser could take for one that is read.
    """
    places.names.check(members.keys())
    values: dict[Place, Any] = {}
    _read_values(values, raw, members, spans, places.values)
    for parent, names, inner in places.inner:
        # A value of another type holds no fields of ours; the provider reports what is wrong with
        # it.
        if parent in members and raw[(span := spans[parent])[0]] == _OBJECT:
            part = raw[span[0] : span[1]]
            within = members_of(part)
            names.check(within.keys())
            _read_values(values, part, within, spans_of(part, 0, within), inner)
    return values


def _read_values(
    values: dict[Place, Any],
    raw: bytes,
    members: Members,
    spans: dict[str, Span],
    names: tuple[tuple[str, Place], ...],
) -> None:
    """Add the non-null values of these names, at their places."""
    place = ""
    try:
        for name, place in names:
            if name in members:
                member = members[name]
                value = member if raw[spans[name][0]] in _COMPOUND else _decode(member)
                if value is not None:
                    values[place] = value
    # Well-formed JSON may still hold a number beyond any range, such as 1e400.
    except msgspec.ValidationError as error:
        raise BadRequest(f"The field {place!r} is a number out of range.", param=place) from error


def _deferred(place: Place) -> BadRequest:
    return BadRequest(
        f"The field {place!r} must be false here: the usage of a deferred answer is reported when"
        " it is fetched, where this gateway cannot charge it. Stream the answer, or wait for it.",
        param=place,
    )


def _limit(values: dict[Place, Any], places: Places) -> tuple[int | None, Place | None]:
    """Return the greatest output limit, or the place of a value that means "no limit"."""
    greatest = endless = None
    for place in places.output_limits:
        if place in values:
            limit = _integer(place, values[place], places.least_limit)
            if limit < 0:
                endless = place
            elif greatest is None or limit > greatest:
                greatest = limit
    if endless is None:
        return (greatest, None)
    return (None, endless)


def _choices(values: dict[Place, Any], places: Places) -> int:
    greatest = 1
    for place in places.choices:
        if place in values:
            greatest = max(greatest, _integer(place, values[place], 1))
    return greatest


def _integer(place: Place, value: object, least: int) -> int:
    """Return a whole number of at least `least`.

    There is no upper bound here: the model's own maximum caps the value later.
    """
    if type(value) is not int or value < least:
        raise _fault(place, value, f"a whole number of at least {max(0, least)},")
    return value


def _customer(values: dict[Place, Any], places: Places) -> str | None:
    """Return the first customer that is named, in the order of the places; each
    must be a valid id.
    """
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


def asked_service_tier(raw: bytes, body: Body) -> str:
    """Return the service tier that a body asks for, in lower case; empty if it names none."""
    for name in SERVICE_TIERS:
        if name in body.spans and not body.form:
            tier: Any = _decode(raw[slice(*body.spans[name])])
            tier = tier.get("type") if isinstance(tier, dict) else tier
            if isinstance(tier, str):
                return tier.lower()
    return ""


def spoken_characters(raw: bytes, body: Body) -> int:
    """Return the number of characters that a body asks to be spoken."""
    span = body.spans.get("input")
    text = None if span is None else _decode(raw[slice(*span)])
    if not isinstance(text, str):
        return 0
    return len(text)
