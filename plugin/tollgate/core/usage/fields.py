"""Read usage from the fields that Envoy's own filters found.

Field names are rules of native.py, joined with dots. They are looked up in place, since every reply
in native mode passes here: rebuilding a document and reading that made settlement a tenth slower.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from tollgate.core.calls.usage import Usage
from tollgate.core.envoy_contract import FIRST_PREFIX, UNFINISHED_EVENT
from tollgate.core.memo import Bounded
from tollgate.core.usage.apis.api import NAMES, Api, Field, Meaning, Root
from tollgate.core.usage.apis.paths import Path
from tollgate.core.usage.counts import OTHER_UNITS, Counts, add, count, count_found
from tollgate.core.usage.native import objects_of
from tollgate.core.usage.reading import Reading, Seen, see_nothing
from tollgate.core.usage.tally import Tally, choose, exact_usage

Fields = Mapping[str, object]


class FieldReader:
    """Reads the fields of one API's replies."""

    def __init__(self, api: Api) -> None:
        self._api = api
        named = (each for each in api.roots if each.path.plain is not None)
        # Early places come first; the others are merged into them.
        self._places = [
            _Place.of(api, each) for each in sorted(named, key=lambda root: not root.early)
        ]
        # Envoy reports whole objects of a stream's events as JSON text.
        self._objects = tuple(".".join(names) for names in objects_of(api))
        self._shapes: Bounded[tuple[bool, frozenset[str]], _Shape] = Bounded()

    def read(
        self,
        fields: Fields,
        headers: Mapping[str, str],
        see: Callable[[], Seen],
        *,
        stream: bool,
        complete: bool,
    ) -> Reading:
        """Return what fields and headers report. `complete`: the reply came to its end.

        `see` estimates what the reply may have shown. It is a guess, so an output that the running
        stream reported takes precedence.
        """
        earlier: Fields = {}
        for name in self._objects:
            if name in fields:
                # A later event may report less.
                if (first := fields.get(FIRST_PREFIX + name)) is not None and first != fields[name]:
                    earlier = _with_members({**earlier, name: first}, name)
                fields = _with_members(fields, name)
        if complete and not earlier:
            key = stream, frozenset(fields)
            shape = self._shapes.get(key) or self._shape(key)
            usage = shape.exact_usage(fields, self._api.meaning)
            if usage is not None:
                return Reading(usage, input_told=True, output_told=True)
        tally = Tally(self._api, headers, stream=stream)
        self._take(tally, fields, stream=stream)
        if earlier:
            self._take(tally, earlier, stream=stream)
        if isinstance(unfinished := fields.get(UNFINISHED_EVENT), str):
            with suppress(msgspec.DecodeError, RecursionError):
                tally.read(msgspec.json.decode(unfinished))
        tally.done = complete
        return tally.reading(see_nothing if tally.tells_output else see, broken=not complete)

    def _shape(self, key: tuple[bool, frozenset[str]]) -> _Shape:
        """Return the shape of replies with these fields; the first part of `key`: of streams."""
        stream, names = key
        places = [each for each in self._places if stream or not each.stream_only]
        place = next((each for each in places if each.reads(names)), None)
        shape = _NO_SHAPE
        if not (
            place is None
            or place.early
            or self._api.headers
            or self._api.free
            or UNFINISHED_EVENT in names
        ):
            shape = place.shape(names)
        self._shapes.put(key, shape, _SHAPE_BYTES + sum(map(len, names)))
        return shape

    def _take(self, tally: Tally, fields: Fields, *, stream: bool) -> None:
        for place in self._places:
            if (stream or not place.stream_only) and (counts := place.counts(fields)):
                tally.take(counts, place.names(fields), early=place.early)
                if isinstance(passes := fields.get(place.passes), list):
                    tally.take_passes(passes)
                if not place.early:
                    break


@dataclass(frozen=True, slots=True)
class _Shape:
    """Replies that report the same fields, as those of one model mostly do.

    `counts`, `names`: the fields that count, and the others, each with its name; both are empty if
    no reply of the shape can do without a tally.
    """

    counts: tuple[tuple[Field, str], ...] = ()
    names: tuple[tuple[Field, str], ...] = ()

    def exact_usage(self, fields: Fields, meaning: Meaning) -> Usage | None:
        """Return the usage of a reply that needs no tally; None for any other."""
        counts: Counts = {}
        for field, name in self.counts:
            value = fields[name]
            if type(value) is not int:
                return None
            counts[field] = value
        names = {}
        for field, name in self.names:
            if (chosen := choose((fields[name],))) is not None:
                names[field] = chosen
        return exact_usage(counts, names, meaning)


_NO_SHAPE = _Shape()
# Of a shape that is kept, besides the names of its fields.
_SHAPE_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class _Place:
    """A root of an API's table, with the table's rows by their dotted names from the top.

    `rows`: with their position in the table. `walks`: the path starts at the list.
    """

    early: bool
    stream_only: bool
    rows: Mapping[str, tuple[tuple[int, Field], ...]]
    walks: Mapping[str, tuple[tuple[Field, Path], ...]]
    named: tuple[tuple[Field, tuple[str, ...]], ...]
    passes: str

    @classmethod
    def of(cls, api: Api, root: Root) -> _Place:
        above = root.path.plain or ()
        rows: dict[str, tuple[tuple[int, Field], ...]] = {}
        walks: dict[str, tuple[tuple[Field, Path], ...]] = {}
        counted = [
            (field, path)
            for field, paths in api.where.items()
            if field not in NAMES
            for path in paths
        ]
        for number, (field, path) in enumerate(counted):
            if path.plain is not None:
                name = ".".join(above + path.plain)
                rows[name] = (*rows.get(name, ()), (number, field))
                continue
            first = next(number for number, step in enumerate(path.steps) if step.each)
            name = ".".join((*above, *(step.name for step in path.steps[: first + 1])))
            walks[name] = (*walks.get(name, ()), (field, Path(path.steps[first:], None)))
        named = tuple(
            (
                field,
                tuple(
                    ".".join(above + path.plain)
                    for path in api.where[field]
                    if path.plain is not None
                ),
            )
            for field in NAMES
            if field in api.where
        )
        passes = (
            ".".join((*above, *(step.name for step in api.passes.steps)))
            if api.passes is not None
            else ""
        )
        return cls(root.early, root.stream_only, rows, walks, named, passes)

    def reads(self, fields: Collection[str]) -> bool:
        """Return whether any of the fields may be a count here."""
        return not (self.rows.keys() | self.walks.keys()).isdisjoint(fields)

    def shape(self, fields: Collection[str]) -> _Shape:
        """Return the shape of these fields if each tells one fact, and all are whole numbers or
        names.
        """
        counts = tuple((field, name) for _, field, name in self._told(fields))
        names = tuple(
            (field, name) for field, names in self.named for name in names if name in fields
        )
        told = [field for field, _ in (*counts, *names)]
        if len(set(told)) < len(told) or not OTHER_UNITS.keys().isdisjoint(told):
            return _NO_SHAPE
        if self.passes in fields or not self.walks.keys().isdisjoint(fields):
            return _NO_SHAPE
        return _Shape(counts, names)

    def _told(self, fields: Collection[str]) -> list[tuple[int, Field, str]]:
        """Return the rows of the table that the fields report, in the table's order."""
        # A table has many more rows than a reply reports.
        told = [
            (number, field, name)
            for name in fields
            if name in self.rows
            for number, field in self.rows[name]
        ]
        told.sort()
        return told

    def counts(self, fields: Fields) -> Counts:
        """Return the counts of each field, as `extract` finds them in a document."""
        found: Counts = {}
        # Earlier rows of a field take precedence.
        for _, field, name in self._told(fields):
            add(found, field, count(field, fields[name]))
        for name in self.walks.keys() & fields.keys():
            for field, path in self.walks[name]:
                if items := path.values_in({path.steps[0].name: fields[name]}):
                    add(found, field, count_found(field, path, items))
        return found

    def names(self, fields: Fields) -> dict[Field, str]:
        """Return the values of the fields that are not counts."""
        found = {}
        for field, names in self.named:
            if (chosen := choose([fields[name] for name in names if name in fields])) is not None:
                found[field] = chosen
        return found


def _with_members(fields: Fields, name: str) -> Fields:
    """Return the fields plus the members of an object as fields of their own.

    Envoy cuts an object beyond its size limit; a cut one yields nothing.
    """
    found = dict(fields)
    text = found.pop(name)
    if isinstance(text, str):
        with suppress(msgspec.DecodeError, RecursionError):
            _add(found, name, msgspec.json.decode(text))
    return found


def _add(found: dict[str, object], name: str, value: object) -> None:
    if isinstance(value, dict):
        for member, below in value.items():
            _add(found, f"{name}.{member}", below)
    else:
        found[name] = value
