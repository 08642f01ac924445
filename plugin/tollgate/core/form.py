"""A request body that is a form (multipart/form-data, RFC 7578), as uploads of sound and pictures are: its few text fields, and their places.

It is read strictly: of two readers that disagree about a form, one would limit what the other does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tollgate.core.body import Body
from tollgate.core.errors import BadRequest
from tollgate.core.members import Span

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PARAMETER = rb';\s*([A-Za-z*-]+)=(?:"((?:[^"\\\r\n]|\\.)*+)"|([^\s;"]++))'
_DISPOSITION = re.compile(rb"content-disposition:\s*form-data((?:" + _PARAMETER + rb"\s*)++)", re.IGNORECASE)
_PARAMETERS = re.compile(_PARAMETER)
# OpenAI's longest forms have some twenty fields, and at most sixteen pictures.
_MOST_PARTS = 100
_LONGEST_VALUE = 100_000


def is_form(content_type: str) -> bool:
    """Whether a content type announces a form."""
    return content_type.strip().lower().startswith("multipart/form-data")


def read_form(raw: bytes, content_type: str) -> Body:
    """Read a form. Raises BadRequest that says what would be right."""
    spans: dict[str, Span] = {}
    for name, span in _fields(raw, content_type):
        if name in spans and name in ("model", "n", "stream", "user"):
            raise BadRequest(f"The field {name!r} stands twice in the form; name it once.", param=name)
        spans[name] = span
    values = {
        name: _text(raw, name, spans[name]) for name in ("model", "prompt", "n", "stream", "user") if name in spans
    }
    if values.get("model") == "":
        raise BadRequest("The field 'model' must be the name of a model.", param="model")
    choices = values.get("n", "1")
    if not (choices.isascii() and choices.isdigit() and int(choices[:9]) >= 1 and len(choices) < 9):
        raise BadRequest(f"The field 'n' must be a whole number, at least 1, got {choices[:60]!r}.", param="n")
    stream = values.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0"):
        raise BadRequest(f"The field 'stream' must be true or false, got {stream[:60]!r}.", param="stream")
    return Body(
        model=values.get("model"),
        stream=stream in ("true", "1"),
        include_usage=False,
        max_output_tokens=None,
        choices=int(choices),
        customer=values.get("user") or None,
        prompt_bytes=len(values.get("prompt", "").encode()),
        opening=0,
        spans=spans,
        form=True,
    )


def _fields(raw: bytes, content_type: str) -> Iterator[tuple[str, Span]]:
    """The fields that are no files: name, and where the value stands."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise BadRequest("The content type multipart/form-data must name its boundary.")
    delimiter = b"--" + (match[1] or match[2]).encode()
    if not raw.startswith(delimiter):
        raise BadRequest("The form must begin with the boundary that its content type names.")
    at = len(delimiter)
    for _ in range(_MOST_PARTS):
        if raw.startswith(b"--", at):
            return
        start = raw.find(b"\r\n\r\n", at) + 4
        end = raw.find(b"\r\n" + delimiter, start - 2)
        if not raw.startswith(b"\r\n", at) or start < 4 or end < 0:
            raise BadRequest("The form breaks off: it must end with its boundary and two hyphens.")
        name, is_file = _named(raw[at : start - 2])
        if not is_file:
            yield name, (start, max(start, end))
        at = end + 2 + len(delimiter)
    raise BadRequest(f"The form has more than {_MOST_PARTS} fields.")


def _named(head: bytes) -> tuple[str, bool]:
    """A part's name, and whether it is a file."""
    dispositions = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disposition:")]
    match = _DISPOSITION.fullmatch(dispositions[0]) if len(dispositions) == 1 else None
    if match is None:
        raise BadRequest("Each field of the form must have one content-disposition that names it.")
    parameters = [(key.lower(), quoted or token) for key, quoted, token in _PARAMETERS.findall(match[1])]
    names = [value for key, value in parameters if key == b"name"]
    if len(names) != 1 or b"\\" in names[0]:
        raise BadRequest("Each field of the form must have one plain name.")
    return names[0].decode("utf-8", "replace"), any(key.startswith(b"filename") for key, _ in parameters)


def _text(raw: bytes, name: str, span: Span) -> str:
    start, end = span
    if end - start > _LONGEST_VALUE:
        raise BadRequest(f"The field {name!r} of the form is too long.", param=name)
    try:
        return raw[start:end].decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The field {name!r} of the form must be UTF-8.", param=name) from error
