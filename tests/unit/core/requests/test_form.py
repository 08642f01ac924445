"""Reading forms, which uploads of sound and pictures are."""

from __future__ import annotations

import pytest
from tests.edits import edited

from tollgate.core.errors import BadRequest
from tollgate.core.requests import body
from tollgate.core.requests import content as reading
from tollgate.core.requests.dialects import OPENAI_CHAT, OPENAI_TRANSCRIPTION, Dialect
from tollgate.core.requests.form import read_form

SOUND = (
    b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type:'
    b" audio/mpeg\r\n\r\n\x00\r\n--xY\xff"
)


def field(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def typed(content_type: bytes) -> bytes:
    return (
        b'Content-Disposition: form-data; name="model"\r\nContent-Type: '
        + content_type
        + b"\r\n\r\nx"
    )


def form(*parts: bytes) -> bytes:
    return b"".join(b"--xYz\r\n" + part + b"\r\n" for part in parts) + b"--xYz--\r\n"


def test_the_fields_that_decide_are_read() -> None:
    """Model, stream, number, customer and prompt; a file is none of them, whatever its
    bytes are.
    """
    parts = [
        field("model", "whisper-1"),
        SOUND,
        field("stream", "true"),
        field("n", "2"),
        field("user", "u"),
        field("prompt", "é"),
    ]
    facts = read_form(form(*parts), "xYz")
    assert (facts.model, facts.stream, facts.choices, facts.customer, facts.prompt_tokens > 0) == (
        "whisper-1",
        True,
        2,
        "u",
        True,
    )
    assert facts.file is not None


def test_renaming_the_model_leaves_every_other_byte() -> None:
    """The value is not JSON, so it has no quotation marks."""
    raw = form(SOUND, field("model", "public"), field("prompt", "public"))
    changed = edited(raw, (body.rename_model(read_form(raw, "xYz"), "whisper-1"),))
    assert changed == form(SOUND, field("model", "whisper-1"), field("prompt", "public"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "begin with the boundary"),
        (b"preamble\r\n" + form(), "begin with the boundary"),
        (b"\r\n" + form(), "begin with the boundary"),
        (form(field("model", "m"))[:-8], "is cut or damaged"),
        (form(field("model", "m"))[:-4], "is cut or damaged"),
        (form(field("model", "m")) + b"epilogue", "end with its closing boundary"),
        (form(field("model", "m")) + form(field("model", "dear")), "end with its closing boundary"),
        (form(field("model", "m")).replace(b"\r\n\r\n", b"\r\n"), "is cut or damaged"),
        (form(field("model", "m")).replace(b"\r\n", b"\n"), "is cut or damaged"),
        (form(field("a", "b\n--xYz\r\n" + field("model", "dear").decode())), "is cut or damaged"),
        (form(field("a", "b--xYz")), "is cut or damaged"),
        (form(field("a", "")).replace(b"\r\n\r\n\r\n", b"\r\n\r\n"), "is cut or damaged"),
        (form(field("model", "m")).replace(b"xYz\r\n", b"xYz  \r\n", 1), "is cut or damaged"),
        (b"--xYzmore\r\n\r\n\r\n--xYz--", "is cut or damaged"),
        (form(field("model", "a"), field("model", "b")), "Duplicate field 'model'"),
        (form(field("user", "a"), field("user", "b")), "Duplicate field 'user'"),
        (form(field("model", "")), "'model' must be the name"),
        (form(field("model", "m" * 100_001)), "'model' of the form is too long"),
        (form(b'Content-Disposition: form-data; name="model"\r\n\r\n\xff'), "UTF-8"),
        (form(field("n", "0")), "'n' must be a whole number"),
        (form(field("n", "1e9")), "'n' must be a whole number"),
        (form(field("n", "9" * 5000)), "'n' must be a whole number"),
        (form(field("stream", "maybe")), "'stream' must be true or false"),
        (form(field("user", "u" * 301)), "'user' must have at most 300"),
        (form(field("safety_identifier", "a\u0000")), "'safety_identifier' must have at most 300"),
        (form(b"Content-Type: text/plain\r\n\r\nx"), "one content-disposition"),
        (
            form(b'Content-Disposition: attachment; name="model"\r\n\r\nx'),
            "one content-disposition",
        ),
        (form(b"Content-Disposition: form-data\r\n\r\nx"), "one content-disposition"),
        (
            form(b'Content-Disposition: form-data; name="a"; name="model"\r\n\r\nx'),
            "must be a value and parameters",
        ),
        (form(b'Content-Disposition: form-data; name="mo\\del"\r\n\r\nx'), "one plain name"),
        (
            form(b'Content-Disposition: form-data; name=model"\r\n\r\nx'),
            "must be a value and parameters",
        ),
        (
            form(b"Content-Disposition: form-data; name=\"zzz\"; name*=utf-8''model\r\n\r\nx"),
            "must be a value and param",
        ),
        (
            form(b'Content-Disposition: form-data; name*0="mo"; name*1="del"\r\n\r\nx'),
            "must be a value and parameters",
        ),
        (
            form(b"Content-Disposition: form-data; name=\"f\"; filename*=utf-8''a\r\n\r\nx"),
            "must be a value and param",
        ),
        (
            form(
                b'Content-Disposition: form-data; name="f"; filename="x\\"; name=\\"model"\r\n\r\nx'
            ),
            "must be a value and",
        ),
        (
            form(b'Content-Disposition: form-data; name="model"; filename="m"\r\n\r\nx'),
            "'model' of the form must be text",
        ),
        (
            form(b'Content-Disposition: form-data; name="model"; filename=""\r\n\r\nx'),
            "'model' of the form must be text",
        ),
        (
            form(b'Content-Disposition: form-data;\r\n name="model"\r\n\r\nx'),
            "headers 'name: value'",
        ),
        (form(b'Content-Disposition : form-data; name="model"\r\n\r\nx'), "headers 'name: value'"),
        (
            form(field("a", "b").replace(b"\r\n\r\n", b"\r\nX: a\nb\r\n\r\n")),
            "headers 'name: value'",
        ),
        (form(field("mod\0el", "x")), "headers 'name: value'"),
        (
            form(field("a", "b").replace(b"\r\n", b"\r\n" + field("model", "x")[:43] + b"\r\n", 1)),
            "headers 'name: value'",
        ),
        (
            form(field("Model", "x")),
            "'model' of the form must be text under its plain name, got 'Model'",
        ),
        (form(field("\u017ftream", "x")), "'stream' of the form"),
        (form(field(" model", "x")), "'model' of the form"),
        (form(field("model[]", "x")), "'model' of the form"),
        (form(field("%6dodel", "x")), "'model' of the form"),
        (form(field("=?utf-8?B?bW9kZWw=?=", "x")), "text under its plain name"),
        (form(field("_charset_", "utf-7")), "text under its plain name"),
        (form(typed(b"multipart/mixed; boundary=q")), "neither encoded nor a form"),
        (form(typed(b"text/plain; charset=utf-7")), "charset of the field 'model' must be utf-8"),
        (
            form(typed(b"text/plain\r\nContent-Transfer-Encoding: quoted-printable")),
            "neither encoded nor a form",
        ),
        (
            form(typed(b"text/plain\r\nContent-Transfer-Encoding: base64")),
            "neither encoded nor a form",
        ),
        (form(typed(b"text/plain\r\nContent-Type: text/plain")), "without duplicates"),
        (form(*[field("a", "b")] * 101), "more than 100 fields"),
        (form(field("a" * 9_000, "b")), "is cut or damaged"),
    ],
)
def test_a_form_that_two_readers_could_read_differently_is_refused(
    raw: bytes, message: str
) -> None:
    """With words that say what would be right."""
    with pytest.raises(BadRequest, match=message):
        read_form(raw, "xYz")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (typed(b"text/plain; charset=UTF-8"), "model"),
        (typed(b"text/plain\r\nContent-Transfer-Encoding: binary\r\nContent-Length: 1"), "model"),
        (b"CONTENT-DISPOSITION: form-data;name=model\r\n\r\nx", "model"),
        (field("models", "x"), "models"),
        (field("modél", "x"), "modél"),
        (field("timestamp_granularities[]", "x"), "timestamp_granularities[]"),
    ],
)
def test_what_all_readers_read_alike_is_a_form(part: bytes, name: str) -> None:
    """However it is written."""
    raw = form(part)
    start, end = read_form(raw, "xYz").spans[name]
    assert raw[start:end] == b"x"


def test_a_file_may_have_any_name_of_its_own_and_any_bytes() -> None:
    """Backslashes, semicolons and equals signs too; only a quotation mark after a backslash is read
    in two ways.
    """
    head = (
        b'Content-Disposition: form-data; name="file"; filename="C:\\a;'
        b' name=model.mp3"\r\nContent-Type: audio/mpeg'
    )
    facts = read_form(form(head + b"\r\n\r\n\x00\r\n\r\n--\xff", field("model", "m")), "xYz")
    assert (facts.model, list(facts.spans)) == ("m", ["model"])


FORM = form(field("model", "m"))


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        ("multipart/form-data", "needs a boundary"),
        ("multipart/form-data; boundary=", "must be a value and parameters"),
        ('multipart/form-data; boundary=""', "needs a boundary"),
        ('multipart/form-data; boundary="' + "x" * 71 + '"', "needs a boundary"),
        ('multipart/form-data; boundary="xYz "', "needs a boundary"),
        ("multipart/form-data; boundary=FAKE; boundary=xYz", "must be a value and parameters"),
        ('multipart/form-data; x="; boundary=FAKE"; boundary=xYz', "with one boundary"),
        ("multipart/form-data; boundary*=utf-8''xYz", "must be a value and parameters"),
        ("multipart/form-data; boundary*0=xY; boundary*1=z", "must be a value and parameters"),
        (
            "multipart/form-data; boundary=xYz; boundary*=utf-8''FAKE",
            "must be a value and parameters",
        ),
        ('multipart/form-data; boundary="x\\"Yz"', "must be a value and parameters"),
        ("multipart/form-data; boundary=xYz, text/plain", "must be a value and parameters"),
        ("multipart/form-data; boundary=xYz; charset=utf-7", "charset of the form must be utf-8"),
        ("multipart/form-datax; boundary=xYz", "with one boundary"),
        ("multipart/form-data, application/json; boundary=xYz", "must be a value and parameters"),
        ("application/json", "one JSON object"),
        ("multipart/mixed; boundary=xYz", "content-type must be application/json"),
    ],
)
def test_a_content_type_that_two_readers_could_read_differently_is_refused(
    content_type: str, message: str
) -> None:
    """Its parameters stand once, and no other reader's boundary in them."""
    with pytest.raises(BadRequest, match=message):
        reading.read(FORM, content_type, "", OPENAI_TRANSCRIPTION)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=xYz",
        'Multipart/Form-Data; charset=utf-8; Boundary="xYz"',
        'multipart/form-data;boundary=xYz; x="a;b";',
    ],
)
def test_a_content_type_is_read_as_a_list_of_parameters(content_type: str) -> None:
    """Both spellings of RFC 2046."""
    assert reading.read(FORM, content_type, "", OPENAI_TRANSCRIPTION).model == "m"


@pytest.mark.parametrize(
    "query",
    ["model=dear", "a=b&model=dear", "Model=x", "mod%65l=x", "a=b;model=x", "model[]=x", "n"],
)
def test_what_is_read_of_the_body_must_not_stand_in_the_query(query: str) -> None:
    """Readers of forms take either; those of JSON might."""
    with pytest.raises(BadRequest, match="belongs in the body, not in the query"):
        reading.read(FORM, "multipart/form-data; boundary=xYz", query, OPENAI_TRANSCRIPTION)
    with pytest.raises(BadRequest, match="belongs in the body, not in the query"):
        reading.read(b'{"model":"m"}', "application/json", query, OPENAI_CHAT)


def test_another_query_is_the_providers() -> None:
    """Azure's version, Google's framing."""
    assert (
        reading.read(
            FORM, "multipart/form-data; boundary=xYz", "api-version=1", OPENAI_TRANSCRIPTION
        ).model
        == "m"
    )
    assert reading.read(b'{"model":"m"}', "", "alt=sse&key=k", OPENAI_CHAT).model == "m"


@pytest.mark.parametrize("charset", ["utf-7", "UTF-16LE", "cp037", "iso-2022-kr"])
def test_json_in_another_charset_is_refused(charset: str) -> None:
    """A reader that obeys it finds other members: in UTF-7 +ACI- is a quotation mark."""
    with pytest.raises(BadRequest, match="charset of the body must be utf-8"):
        reading.read(b'{"model":"m"}', f"application/json; charset={charset}", "", OPENAI_CHAT)


@pytest.mark.parametrize(
    "content_type", ["", "application/json; charset=utf-8", 'a/b; Charset="UTF-8"', "text/plain;x"]
)
def test_json_is_read_whatever_it_is_said_to_be(content_type: str) -> None:
    """As UTF-8."""
    assert reading.read(b'{"model":"m"}', content_type, "", OPENAI_CHAT).model == "m"


@pytest.mark.parametrize("dialect", [OPENAI_CHAT, OPENAI_TRANSCRIPTION])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json,application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded,application/json",
        'application/json; x="application/x-www-form-urlencoded"',
        "application/x-www-form-urlencoded-too",
        "multipart/mixed; boundary=x",
    ],
)
def test_json_that_is_said_to_be_a_form_is_refused(content_type: str, dialect: Dialect) -> None:
    """A reader of forms would find the model after the ampersand."""
    body = b'{"model":"cheap","x":"&model=dear&"}'
    with pytest.raises(BadRequest, match="content-type must be application/json"):
        reading.read(body, content_type, "", dialect)


@pytest.mark.parametrize(
    "said",
    [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLencoded; charset=utf-8",
        'application/x-www-form-urlencoded;charset="UTF-8"; x=y',
        " application/x-www-form-urlencoded ; charset=us-ascii;",
    ],
)
def test_json_that_curl_takes_for_a_form_is_json(said: str) -> None:
    """`curl -d` says so, unless told otherwise; the provider is told that it is JSON."""
    body = b'{"model":"cheap","x":"&model=dear&"}'
    found = reading.read(body, said, "", OPENAI_CHAT)
    assert (found.model, found.mistyped) == ("cheap", True)
    assert not reading.read(body, "application/json", "", OPENAI_CHAT).mistyped


def test_json_that_is_said_to_be_a_form_in_another_charset_is_refused() -> None:
    """UTF-7 turns letters into quotation marks."""
    said = "application/x-www-form-urlencoded; charset=utf-7"
    with pytest.raises(BadRequest, match="charset of the body must be utf-8"):
        reading.read(b'{"model":"m"}', said, "", OPENAI_CHAT)


def test_a_form_where_json_is_expected_is_refused() -> None:
    """On the paths that take forms it is read as one."""
    with pytest.raises(BadRequest, match="content-type must be application/json"):
        reading.read(b'{"model":"m"}', "multipart/form-data; boundary=x", "", OPENAI_CHAT)
