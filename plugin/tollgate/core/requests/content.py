"""Choose how to read a body from its content type: JSON or a form.

The query must not carry a field that is read from the body.
"""

from __future__ import annotations

from msgspec import structs

from tollgate.core.errors import BadRequest, cut
from tollgate.core.requests import body
from tollgate.core.requests.body import Body
from tollgate.core.requests.dialects import Dialect
from tollgate.core.requests.form import NAMES, read_form
from tollgate.core.requests.media_type import check_charset, parameters_of

_FORM = "multipart/form-data"
_CURLS = "application/x-www-form-urlencoded"


def read(raw: bytes, content_type: str, query: str, dialect: Dialect) -> Body:
    """Read a body.

    JSON may come without a content type, or under another one than a form's. Under that of curl's
    `-d`, with parameters or without, it goes on as JSON (`mistyped`): a server that reads forms
    would find other fields in the same bytes. Raises BadRequest saying what would be right.
    """
    # The most common content types mean JSON and have no parameters.
    said = content_type.lower()
    if dialect.form and said.lstrip().startswith(_FORM):
        return _read_form(raw, content_type, query)
    mistyped = _CURLS in said and parameters_of(said, "content-type")[0] == _CURLS
    if not mistyped and ("urlencoded" in said or "multipart/" in said):
        raise BadRequest(f"The content-type must be application/json, got {cut(content_type)!r}.")
    if "charset" in said:
        check_charset(parameters_of(content_type, "content-type")[1], "body")
    if query:
        dialect.places.names.check_query(query)
    found = body.read(raw, dialect.places)
    return structs.replace(found, mistyped=True) if mistyped else found


def _read_form(raw: bytes, content_type: str, query: str) -> Body:
    kind, parameters = parameters_of(content_type, "content-type")
    # A `boundary` inside a quoted string is no parameter, but not every reader honours quotes.
    if kind != _FORM or content_type.lower().count("boundary") > 1:
        raise BadRequest(f"The content-type of a form must be {_FORM} with one boundary.")
    check_charset(parameters, "form")
    if query:
        NAMES.check_query(query)
    return read_form(raw, parameters.get("boundary"))
