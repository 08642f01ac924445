"""Build the table of APIs from the parsed contents of providers.yaml.

YAML is parsed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from tollgate.core.usage.apis.api import ANYWHERE, Api, Field, Meaning, Root
from tollgate.core.usage.apis.paths import (
    Condition,
    Path,
    Step,
    Wanted,
    parse_condition,
    parse_path,
)
from tollgate.core.usage.output import Output

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


def load_apis(document: Mapping[str, object]) -> Mapping[str, Api]:
    """Build the table.

    Raises ValueError naming the entry and the field at fault.
    """
    return {name: _api(name, _Entry(name, raw)) for name, raw in document.items()}


class _Entry:
    """One raw mapping of the file.

    Each read checks its value, so that an error names the entry and the field.
    """

    def __init__(self, where: str, raw: object) -> None:
        self.where = where
        if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
            raise ValueError(f"{where}: must be a mapping with names as keys")
        self._left = dict(raw)

    def fault(self, key: str, message: str) -> ValueError:
        return ValueError(f"{self.where}.{key}: {message}")

    def take(self, key: str, kind: type[_T], default: _T) -> _T:
        value = self._left.pop(key, default)
        if not isinstance(value, kind):
            raise self.fault(key, f"must be a {kind.__name__}, not {value!r}")
        return value

    def flag(self, key: str) -> bool:
        return self.take(key, bool, default=False)

    def rows(self, key: str) -> list[_Entry]:
        return [
            _Entry(f"{self.where}.{key}[{index}]", row)
            for index, row in enumerate(self.take(key, list, []))
        ]

    def texts(self, key: str) -> list[str]:
        texts = self.take(key, list, [])
        if not all(isinstance(text, str) for text in texts):
            raise self.fault(key, "must hold strings only")
        return texts

    def parse(self, key: str, text: str, parser: Callable[[str], _T]) -> _T:
        try:
            return parser(text)
        except ValueError as error:
            raise self.fault(key, str(error)) from None

    def choose(self, key: str, kind: type[_E], default: str) -> _E:
        return self.parse(key, self.take(key, str, default), kind)

    def close(self) -> None:
        """Raise ValueError for a key that was never read."""
        for key in self._left:
            raise self.fault(key, "is not a field of the table")

    def close_row(self) -> None:
        """Raise ValueError for a key that was never read, or for a row without a link to its
        source.
        """
        if not self.take("source", str, "").startswith("https://"):
            raise self.fault("source", "must link the provider's documentation")
        self.close()


def _api(name: str, entry: _Entry) -> Api:
    roots = tuple(_root(row) for row in entry.rows("roots")) or ANYWHERE
    where = _where(entry)
    final = tuple(entry.parse("final", text, parse_condition) for text in entry.texts("final"))
    done_when = entry.take("done_when", str, "")
    done = entry.parse("done_when", done_when, parse_condition) if done_when else None
    wrapped = entry.take("wrapped", str, "")
    listed = entry.take("passes", str, "")
    passes = entry.parse("passes", listed, parse_path) if listed else None
    api = Api(
        name=name,
        meaning=entry.choose("meaning", Meaning, Meaning.INCLUSIVE),
        free=entry.flag("free"),
        marker=entry.take("marker", str, '"usage"').encode(),
        rare_markers=tuple(text.encode() for text in entry.texts("rare_markers")),
        done_line=entry.take("done_line", str, "").encode(),
        done=done,
        final=final,
        needs=tuple(entry.parse("needs", text, Field) for text in entry.texts("needs")),
        zeros_omitted=entry.flag("zeros_omitted"),
        roots=roots,
        where=where,
        headers=_headers(entry),
        output=_output(entry),
        passes=passes,
        wrapped=wrapped,
        wanted=_wanted(roots, where, final if done is None else (*final, done), passes)
        | ({wrapped: {}} if wrapped else {}),
    )
    entry.close()
    return api


def _output(entry: _Entry) -> Output:
    row = _Entry(f"{entry.where}.output", entry.take("output", dict, {}))
    output = Output(
        text=tuple(row.texts("text")),
        arguments=tuple(row.texts("arguments")),
        pictures=tuple(row.texts("pictures")),
        sounds=tuple(row.texts("sounds")),
        vectors=tuple(row.texts("vectors")),
        answers=tuple(row.texts("answers")),
        in_documents=tuple(row.texts("in_documents")),
        within=tuple(tuple(text.split(".")) for text in row.texts("within")),
        plain_text=row.flag("plain_text"),
        binary=row.flag("binary"),
    )
    row.close()
    return output


def _root(row: _Entry) -> Root:
    root = Root(
        row.parse("at", row.take("at", str, ""), parse_path),
        row.flag("early"),
        row.flag("stream_only"),
    )
    row.close_row()
    return root


def _where(entry: _Entry) -> Mapping[Field, tuple[Path, ...]]:
    where: dict[Field, tuple[Path, ...]] = {}
    for row in entry.rows("where"):
        name = row.choose("is", Field, "")
        path = row.parse("at", row.take("at", str, ""), parse_path)
        if not path.steps:
            raise row.fault("at", "must name a field")
        where[name] = (*where.get(name, ()), path)
        row.close_row()
    return where


def _headers(entry: _Entry) -> Mapping[Field, str]:
    headers: dict[Field, str] = {}
    for row in entry.rows("headers"):
        headers[row.choose("is", Field, "")] = row.take("at", str, "").lower()
        row.close_row()
    return headers


def _wanted(
    roots: Iterable[Root],
    where: Mapping[Field, tuple[Path, ...]],
    conditions: Iterable[Condition],
    passes: Path | None,
) -> Wanted:
    wanted: Wanted = {}
    told = [path for paths in where.values() for path in paths]
    if passes is not None:
        below = [
            Path((*passes.steps, *path.steps[1:]), None)
            for path in told
            if path.steps[0].name == passes.steps[0].name
        ]
        told += [*below, *(Path((*passes.steps, Step(name)), None) for name in ("model", "type"))]
    for root in roots:
        for path in told:
            Path((*root.path.steps, *path.steps), None).want(wanted)
    for condition in conditions:
        condition.path.want(wanted)
    return wanted
