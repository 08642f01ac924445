"""Parse a content type or content disposition strictly into a value and its parameters.

The grammar is RFC 9110, sections 8.3.1 and 5.6.6. Whatever two readers could read differently is
refused: the extensions of RFC 2231 (`name*=`, `name*0=`), a backslash before a quotation mark, a
duplicate parameter, and anything after a fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tollgate.core.errors import BadRequest, cut

_TOKEN = r"[!#$%&'+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"((?:[^"\\\x00-\x1f\x7f]|\\(?!"))*+)"'
_VALUE = re.compile(rf"[ \t]*({_TOKEN}(?:/{_TOKEN})?)[ \t]*")
_PARAMETER = re.compile(rf";[ \t]*({_TOKEN})=(?:{_QUOTED}|({_TOKEN}))[ \t]*")
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})
# Any other charset changes the text for a reader that honours it; UTF-7 even turns letters into
# quotation marks.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def parameters_of(header: str, where: str) -> tuple[str, Mapping[str, str]]:
    """Return the value and its parameters by name, both in lower case.

    Raises BadRequest, which says `where` the header is.
    """
    if ";" not in header:
        return header.strip().lower(), _NO_PARAMETERS
    match = _VALUE.match(header)
    value, at = ("", 0) if match is None else (match[1].lower(), match.end())
    found: dict[str, str] = {}
    # Every reader ignores a trailing semicolon.
    while value and header[at:].strip(" \t;"):
        match = _PARAMETER.match(header, at)
        if match is None or (name := match[1].lower()) in found:
            break
        found[name], at = match[2] if match[2] is not None else match[3], match.end()
    if not value or header[at:].strip(" \t;"):
        right = 'a value and parameters, each name=value or name="value", once'
        raise BadRequest(f"The {where} must be {right}, got {cut(header)!r}.")
    return value, found


def check_charset(parameters: Mapping[str, str], where: str) -> None:
    """Raise BadRequest for text declared as anything but UTF-8."""
    charset = parameters.get("charset", "utf-8")
    if charset.lower() not in _CHARSETS:
        raise BadRequest(f"The charset of the {where} must be utf-8, got {cut(charset)!r}.")
