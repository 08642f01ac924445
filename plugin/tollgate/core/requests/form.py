"""Read a multipart/form-data body (RFC 7578), as used for uploads of sound and pictures.

The few text fields and their spans are read strictly. If two readers could disagree about a form,
one would limit what the other does not. In a form that passes, every reader finds the same parts,
with the same name, kind and text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tollgate.core.callers.customer_ids import customer_of_value
from tollgate.core.errors import BadRequest, cut
from tollgate.core.requests.body import Body
from tollgate.core.requests.json_members import Names, Span
from tollgate.core.requests.media_type import check_charset, parameters_of
from tollgate.core.requests.prompt_size import tokens_of

FIELDS = ("model", "prompt", "n", "stream", "user", "safety_identifier", "size", "quality")
"""The form fields that are read."""

NAMES = Names(FIELDS)
"""The same names, prepared for comparison with others."""
_UPLOAD = "file"
_CUSTOMERS = ("user", "safety_identifier")
_MEASURED = ("size", "quality")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
# Allowed transfer encodings, all meaning "none". Go's reader would decode quoted-printable.
_PLAIN = frozenset({"7bit", "8bit", "binary"})
# OpenAI's longest forms have some twenty fields and at most sixteen pictures.
_MOST_PARTS = 100
_LONGEST_VALUE = 100_000
_LONGEST_HEAD = 8_000


def read_form(raw: bytes, boundary: str | None) -> Body:
    """Read a form.

    Raises BadRequest saying what would be right.
    """
    spans: dict[str, Span] = {}
    file = None
    for name, span, is_file in _fields(raw, boundary):
        if is_file:
            file = file or (span if name == _UPLOAD else None)
            continue
        if name in spans and name in FIELDS:
            raise BadRequest(f"Duplicate field {name!r} in the form.", param=name)
        spans[name] = span
    values = {name: _text(raw, name, spans[name]) for name in FIELDS if name in spans}
    if values.get("model") == "":
        raise BadRequest("The field 'model' must be the name of a model.", param="model")
    choices = values.get("n", "1")
    if not (choices.isascii() and choices.isdigit() and int(choices[:9]) >= 1 and len(choices) < 9):
        raise BadRequest(
            f"The field 'n' must be a whole number of at least 1, got {cut(choices)!r}.", param="n"
        )
    stream = values.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0"):
        raise BadRequest(
            f"The field 'stream' must be true or false, got {cut(stream)!r}.", param="stream"
        )
    customers = [customer_of_value(name, values[name]) for name in _CUSTOMERS if name in values]
    return Body(
        model=values.get("model"),
        stream=stream in ("true", "1"),
        include_usage=False,
        max_output_tokens=None,
        choices=int(choices),
        customer=next(filter(None, customers), None),
        prompt_tokens=tokens_of(raw, *spans["prompt"]) if "prompt" in values else 0,
        opening=0,
        spans=spans,
        form=True,
        file=file,
        measured={name: values[name] for name in _MEASURED if name in values},
    )


def _fields(raw: bytes, boundary: str | None) -> Iterator[tuple[str, Span, bool]]:
    """Yield each field: its name, the span of its value, and whether it is a file."""
    if boundary is None or not _BOUNDARY.fullmatch(boundary):
        raise BadRequest(
            "The content type multipart/form-data needs a boundary parameter (RFC 2046)."
        )
    delimiter = b"--" + boundary.encode()
    if not raw.startswith(delimiter):
        raise BadRequest("The form must begin with the boundary from its content type.")
    at = len(delimiter)
    for _ in range(_MOST_PARTS):
        if raw.startswith(b"--", at):
            if raw[at + 2 : at + 5] not in (b"", b"\r\n"):
                raise BadRequest("The form must end with its closing boundary.")
            return
        start = raw.find(b"\r\n\r\n", at, at + _LONGEST_HEAD) + 4
        # The boundary counts wherever it occurs: some readers end a line at a bare line feed.
        end = raw.find(delimiter, start) - 2
        if (
            not raw.startswith(b"\r\n", at)
            or start < 4
            or end < start
            or not raw.startswith(b"\r\n", end)
        ):
            raise BadRequest(
                "The form is cut or damaged: each part needs headers and ends with the boundary "
                "on a line of its own; the last boundary ends with two hyphens."
            )
        name, is_file = _named(raw[at + 2 : start - 4])
        yield name, (start, end), is_file
        at = end + 2 + len(delimiter)
    raise BadRequest(f"The form has more than {_MOST_PARTS} fields.")


def _named(head: bytes) -> tuple[str, bool]:
    """Return a part's name, and whether it is a file."""
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None or (key := match[1].decode().lower()) in headers:
            raise BadRequest(
                "Each part of the form must start with headers 'name: value', without duplicates."
            )
        # UTF-8 and Latin-1 agree on ASCII, and the names that are read are ASCII.
        headers[key] = match[2].decode("utf-8", "replace")
    disposition, parameters = parameters_of(
        headers.get("content-disposition", ""), "content-disposition of a part"
    )
    name = parameters.get("name", "")
    if disposition != "form-data" or not name or "\\" in name:
        raise BadRequest(
            "Each part of the form needs one content-disposition of form-data with one plain name."
        )
    is_file = "filename" in parameters
    _check_name(name, is_file=is_file)
    kind, said = parameters_of(headers.get("content-type", "text/plain"), "content-type of a part")
    if (
        kind.startswith("multipart/")
        or headers.get("content-transfer-encoding", "8bit").strip().lower() not in _PLAIN
    ):
        raise BadRequest(
            "A part of the form must be neither encoded nor a form itself.", param=cut(name)
        )
    if not is_file:
        check_charset(said, f"field {cut(name)!r}")
    return name, is_file


def _check_name(name: str, *, is_file: bool) -> None:
    """Raise BadRequest for a name that another reader could take for one that is read, or for a
    file under such a name.

    Some readers decode percent signs or RFC 2047 in names.
    """
    right = NAMES.read_as(name)
    if (right is not None and (right != name or is_file)) or "=?" in name or name == "_charset_":
        what = "field" if right is None else f"field {right!r}"
        raise BadRequest(
            f"The {what} of the form must be text under its plain name, got {cut(name)!r}.",
            param=right,
        )


def _text(raw: bytes, name: str, span: Span) -> str:
    start, end = span
    if end - start > _LONGEST_VALUE:
        raise BadRequest(f"The field {name!r} of the form is too long.", param=name)
    try:
        return raw[start:end].decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The field {name!r} of the form must be UTF-8.", param=name) from error
