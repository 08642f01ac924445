"""Parse and follow paths into a decoded JSON document, as providers.yaml writes them.

  a.b             the value at b in a
  a[].b           b of every item of the list a
  a[kind=x].b     b of the items whose `kind` is the string x; kind=x|y means one of these
  a[kind=x]       the number of such items, where a count is wanted
  a[]             the number of items, where a count is wanted

An object stands for a list with one item.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(r"([^.\[\]=]+)(?:\[(?:([^=\[\]]+)=([^=\[\]]+))?(\]))?")

# One level of wanted fields: name to what is wanted below it. Empty: the value itself.
Wanted = dict[str, "Wanted"]


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path.

    `each`: the value is a list, of which `key` and `values` select items.
    """

    name: str
    each: bool = False
    key: str | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path.

    `plain` holds just the names if no step walks a list, which is the usual and fast case.
    """

    steps: tuple[Step, ...]
    plain: tuple[str, ...] | None

    @property
    def counts_items(self) -> bool:
        """Return whether the path ends at list items, so that their number is its value."""
        return bool(self.steps) and self.steps[-1].each

    def values_in(self, document: object) -> list[object]:
        """Return all values at this path; empty if there are none."""
        if self.plain is None:
            found = [document]
            for step in self.steps:
                if not found:
                    break
                found = _below(found, step)
            return found
        for name in self.plain:
            if not isinstance(document, dict) or name not in document:
                return []
            document = document[name]
        return [document]

    def may_lead_on(self, node: dict[str, Any]) -> bool:
        """Return whether a path that begins with a list has something at its first and second step.

        Cheaper than following the path.
        """
        if (items := node.get(self.steps[0].name)) is None:
            return False
        if len(self.steps) == 1 or type(items) is not list:
            return True
        below = self.steps[1].name
        return any(type(item) is dict and below in item for item in items)

    def want(self, wanted: Wanted) -> None:
        """Add the fields that this path reads to `wanted`."""
        for step in self.steps:
            wanted = wanted.setdefault(step.name, {})
            if step.key is not None:
                wanted.setdefault(step.key, {})


@dataclass(frozen=True, slots=True)
class Condition:
    """A test on a document: the path has a value.

    The value must be the given string (`true` also means the boolean), or anything but null if none
    is given. `empty` negates: true if there is nothing, or an empty list.
    """

    path: Path
    value: str | None = None
    empty: bool = False

    def holds(self, document: object) -> bool:
        """Return whether the condition holds for the document."""
        found = self.path.values_in(document)
        if self.empty:
            return not any(found)
        if self.value is not None:
            return self.value in found or (self.value == "true" and True in found)
        return found.count(None) < len(found)


def parse_path(text: str) -> Path:
    """Parse a path; the empty text means the document itself.

    Raises ValueError for text that is no path.
    """
    steps: list[Step] = []
    for part in _split(text) if text else ():
        match = _STEP.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} in {text!r} is not a step of a path")
        steps.append(
            Step(match[1], match[4] is not None, match[2], tuple((match[3] or "").split("|")))
        )
    plain = None if any(step.each for step in steps) else tuple(step.name for step in steps)
    return Path(tuple(steps), plain)


def parse_condition(text: str) -> Condition:
    """Parse `path`, `path=value` or `!path`.

    Raises ValueError for any other text.
    """
    if text.startswith("!"):
        return Condition(parse_path(text[1:]), empty=True)
    head, equals, value = text.rpartition("=")
    if not equals or "]" in value:
        return Condition(parse_path(text))
    return Condition(parse_path(head), value)


def _split(text: str) -> list[str]:
    return re.split(r"\.(?![^\[]*\])", text)


def _below(nodes: list[object], step: Step) -> list[object]:
    """Return what one step leads to from some nodes."""
    name, found = step.name, list[object]()
    for node in nodes:
        if not isinstance(node, dict) or name not in node:
            continue
        value = node[name]
        if not step.each:
            found.append(value)
            continue
        items = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
        if step.key is None:
            found += items
            continue
        for item in items:
            if isinstance(item, dict) and item.get(step.key) in step.values:
                found.append(item)
    return found
