"""A content type or a content disposition as a value and its parameters, read strictly: what two
readers could read in two ways is none.

The grammar is that of RFC 9110, 8.3.1 and 5.6.6. Readers of RFC 2231 know more (`name*=`,
`name*0=`), and readers differ on a backslash before a quotation mark, on a parameter that stands
twice, and on what follows a fault; all of these are refused.
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
# Every other charset is another text for a reader that obeys it. UTF-7 makes quotation marks of
# letters.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def parameters_of(header: str, where: str) -> tuple[str, Mapping[str, str]]:
    """The value, in lower case, and its parameters by their names in lower case.

    Raises BadRequest, which says `where` it stands.
    """
    if ";" not in header:
        return header.strip().lower(), _NO_PARAMETERS
    match = _VALUE.match(header)
    value, at = ("", 0) if match is None else (match[1].lower(), match.end())
    found: dict[str, str] = {}
    # A semicolon that nothing follows is no parameter to any reader.
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
    """Raise BadRequest for text that is said to be anything but UTF-8."""
    charset = parameters.get("charset", "utf-8")
    if charset.lower() not in _CHARSETS:
        raise BadRequest(f"The charset of the {where} must be utf-8, got {cut(charset)!r}.")
