"""Reading forms, which uploads of sound and pictures are."""

from __future__ import annotations

import pytest

from tollgate.core import body
from tollgate.core.errors import BadRequest
from tollgate.core.form import is_form, read_form

TYPE = "multipart/form-data; boundary=xYz"
SOUND = (
    b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n\x00\r\n--xY\xff'
)


def field(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def form(*parts: bytes) -> bytes:
    return b"".join(b"--xYz\r\n" + part + b"\r\n" for part in parts) + b"--xYz--\r\n"


def test_the_fields_that_decide_are_read() -> None:
    """Model, stream, number, customer and prompt; a file is none of them, whatever its bytes are."""
    parts = [
        field("model", "whisper-1"),
        SOUND,
        field("stream", "true"),
        field("n", "2"),
        field("user", "u"),
        field("prompt", "é"),
    ]
    facts = read_form(form(*parts), TYPE)
    assert (facts.model, facts.stream, facts.choices, facts.customer, facts.prompt_bytes) == (
        "whisper-1",
        True,
        2,
        "u",
        2,
    )


def test_renaming_the_model_leaves_every_other_byte() -> None:
    """The value is not JSON, so it has no quotation marks."""
    raw = form(SOUND, field("model", "public"), field("prompt", "public"))
    changed = body.apply(raw, (body.rename_model(read_form(raw, TYPE), "whisper-1"),))
    assert changed == form(SOUND, field("model", "whisper-1"), field("prompt", "public"))


def test_a_file_that_is_called_model_is_no_model() -> None:
    """Only text fields are read."""
    part = b'Content-Disposition: form-data; name="model"; filename="m"\r\n\r\ngpt'
    assert read_form(form(part), TYPE).model is None


def test_a_quoted_boundary_is_the_same() -> None:
    """Both spellings of RFC 2046."""
    assert read_form(form(field("model", "m")), 'Multipart/Form-Data; charset=utf-8; Boundary="xYz"').model == "m"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "begin with the boundary"),
        (b"preamble\r\n" + form(), "begin with the boundary"),
        (form(field("model", "m"))[:-8], "breaks off"),
        (form(field("model", "m")).replace(b"\r\n\r\n", b"\r\n"), "breaks off"),
        (b"--xYzmore\r\n\r\n\r\n--xYz--", "breaks off"),
        (form(field("model", "a"), field("model", "b")), "'model' stands twice"),
        (form(field("model", "")), "'model' must be the name"),
        (form(field("model", "m" * 100_001)), "'model' of the form is too long"),
        (
            form(
                field("model", "m").replace(b"m", b"\xff", 1)[:0]
                + b'Content-Disposition: form-data; name="model"\r\n\r\n\xff'
            ),
            "UTF-8",
        ),
        (form(field("n", "0")), "'n' must be a whole number"),
        (form(field("n", "1e9")), "'n' must be a whole number"),
        (form(field("n", "9" * 5000)), "'n' must be a whole number"),
        (form(field("stream", "maybe")), "'stream' must be true or false"),
        (form(b"Content-Type: text/plain\r\n\r\nx"), "one content-disposition"),
        (form(b'Content-Disposition: form-data; name="a"; name="model"\r\n\r\nx'), "one plain name"),
        (form(b'Content-Disposition: form-data; name="mo\\del"\r\n\r\nx'), "one plain name"),
        (form(b'Content-Disposition: form-data; name=model"\r\n\r\nx'), "one content-disposition"),
        (form(*[field("a", "b")] * 101), "more than 100 fields"),
    ],
)
def test_a_form_that_two_readers_could_read_differently_is_refused(raw: bytes, message: str) -> None:
    """With words that say what would be right."""
    with pytest.raises(BadRequest, match=message):
        read_form(raw, TYPE)


def test_a_form_without_a_boundary_is_refused() -> None:
    """Nobody could read it."""
    with pytest.raises(BadRequest, match="name its boundary"):
        read_form(form(), "multipart/form-data")


def test_a_filename_that_looks_like_a_name_is_a_filename() -> None:
    """Text in quotation marks is one value."""
    part = b'Content-Disposition: form-data; name="file"; filename="x\\"; name=\\"model"\r\n\r\ngpt'
    assert read_form(form(part, field("model", "m")), TYPE).model == "m"


@pytest.mark.parametrize(
    ("content_type", "wanted"), [(TYPE, True), ("Multipart/Form-Data;x", True), ("application/json", False)]
)
def test_forms_are_told_by_their_content_type(content_type: str, wanted: bool) -> None:
    """Whatever its case."""
    assert is_form(content_type) is wanted
