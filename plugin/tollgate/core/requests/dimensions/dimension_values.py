"""Read the values of dimensions from the headers and the body of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tollgate.core.callers.customer_ids import checked_id, value_text
from tollgate.core.callers.dimensions import Dimension, Values
from tollgate.core.callers.verified import Network, VerifiedReader
from tollgate.core.errors import BadRequest
from tollgate.core.requests.json_members import Names, Span, members_of, spans_of

MOST_VALUES = 16
"""Of one dimension that a request may carry."""

_OBJECT = b"{"[0]


class DimensionReader:
    """Reads the values of dimensions from requests. `trusted`: the networks of trusted proxies."""

    def __init__(
        self, dimensions: tuple[Dimension, ...], trusted: tuple[Network, ...] = ()
    ) -> None:
        self._dimensions = dimensions
        self._verified = VerifiedReader(trusted)
        places = [place for each in dimensions for place in each.places]
        self._tops = Names(place.partition(".")[0] for place in places)
        self._plain = frozenset(place for place in places if "." not in place)
        inner: dict[str, list[str]] = {}
        for place in places:
            parent, dot, name = place.partition(".")
            if dot:
                inner.setdefault(parent, []).append(name)
        self._inner = {parent: Names(names, parent) for parent, names in inner.items()}

    def find(
        self, headers: Mapping[str, str], raw: bytes, spans: Mapping[str, Span], *, form: bool
    ) -> Values:
        """Return the values that a request tells, in the order of the dimensions.

        `spans`: where the members of the body stand. Raises BadRequest for a value that cannot be
        an id, or too many of them.
        """
        body = self._of_body(raw, spans, form=form)
        return tuple(
            (dimension.name, value)
            for dimension in self._dimensions
            for value in self._values(dimension, headers, body)
        )

    def _values(
        self, dimension: Dimension, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for value in self._sources(dimension, headers, body):
            found[value] = None
            if not dimension.several:
                break
        if len(found) > MOST_VALUES:
            raise BadRequest(
                f"A request may carry at most {MOST_VALUES} values of {dimension.name}, got"
                f" {len(found)}.",
                param=dimension.name,
            )
        return tuple(found)

    def _sources(
        self, dimension: Dimension, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yield the values that the sources tell, in their order; each is checked."""
        for source in dimension.verified:
            yield from self._verified.find(source, headers, several=dimension.several)
        yield from _told_by_client(dimension, headers, body)

    def _of_body(self, raw: bytes, spans: Mapping[str, Span], *, form: bool) -> dict[str, Any]:
        """Return the values at the places that are read."""
        names = spans.keys()
        self._tops.check(names)
        found: dict[str, Any] = {}
        for top in self._tops.exact & names:
            start, end = spans[top]
            part = raw[start:end]
            if form:
                found[top] = part.decode("utf-8", "replace")
            elif top in self._plain or part[0] != _OBJECT:
                found[top] = _decoded(top, part)
            elif (within := self._inner.get(top)) is not None:
                members = members_of(part)
                spans_of(part, 0, members)  # refuses a name that stands twice
                within.check(members.keys())
                for name in within.exact & members.keys():
                    found[f"{top}.{name}"] = _decoded(f"{top}.{name}", bytes(members[name]))
        return found


def _decoded(place: str, part: bytes) -> Any:
    try:
        return msgspec.json.decode(part)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"The field {place!r} is a number out of range.", param=place) from error


def _told_by_client(
    dimension: Dimension, headers: Mapping[str, str], body: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the values that the client itself tells; each is checked."""
    for name in dimension.headers:
        text = headers.get(name, "")
        for each in text.split(",") if dimension.several else (text,):
            if value := each.strip():
                yield checked_id(value, f"header {name!r}")
    for place in dimension.places:
        told = body.get(place)
        if dimension.several and isinstance(told, list):
            for each in told:
                yield from _checked(each, place)
        else:
            yield from _checked(told, place)


def _checked(told: Any, place: str) -> Iterator[str]:
    """Yield the id that a value of the body tells; nothing if it is empty."""
    where = f"field {place!r}"
    text = value_text(told, where, param=place)
    if text is not None:
        yield checked_id(text, where, param=place)
