"""Parse command arguments: ids by position or as FIELD=VALUE, and the fields of a request."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import typer

from tollgate.commands.errors import fail

_FIELD = re.compile(r"([a-z][a-z0-9_]*)=(.*)", re.DOTALL)


def words(*places: str, fields: bool = True, optional: bool = False) -> Any:
    """Return a variadic argument: ids in the order of `places`, then fields if the command takes
    any.
    """
    help_text = (
        "fields of the request, such as rpm_limit=2 max_budget=0.5 models='[\"gpt-4o\"]'; a value"
        " is JSON if it can be read as such (null clears), else text. An id may be given as a"
        " field too"
    )
    shown = [*places, "[FIELD=VALUE]..."] if fields else list(places)
    return typer.Argument(
        None if optional else ..., metavar=" ".join(shown), help=help_text if fields else None
    )


def body_of(given: Sequence[str] | None, *places: str) -> dict[str, Any]:
    """Build a request body; words that are no fields are the ids `places`, in that order."""
    body: dict[str, Any] = {}
    ids: list[str] = []
    for word in given or ():
        match = _FIELD.fullmatch(word)
        if match is None:
            ids.append(word)
            continue
        name, text = match.groups()
        if name in body:
            fail(f"{name} is given twice")
        body[name] = text if name in places else _value(text)
    for name in places:
        if name not in body and ids:
            body[name] = ids.pop(0)
    if ids:
        fail(f"{ids[0]!r} is not FIELD=VALUE")
    return body


def ids_of(given: Sequence[str], place: str) -> list[str]:
    """Read a list of ids, each plain or as `PLACE=ID`; any other FIELD=VALUE is an error."""
    found = []
    for word in given:
        match = _FIELD.fullmatch(word)
        if match is not None and match[1] != place:
            fail(
                f"this command takes no fields, and {word!r} looks like one; if it is an id:"
                f" {place}={word}"
            )
        found.append(word if match is None else match[2])
    return found


def id_of(given: str, place: str) -> str:
    """Read one id, as `ids_of` does."""
    return ids_of([given], place)[0]


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> Any:
    """Refuse NaN and Infinity, which Python accepts and JSON does not define."""
    raise ValueError(name)
