"""Reading and splicing request bodies."""

from __future__ import annotations

import json

import pytest
from tests.edits import edited
from tests.unit.core.requests.bodies import CHAT, raw

from tollgate.core.errors import BadRequest
from tollgate.core.requests import body, dialects


def test_the_fields_that_decide_are_read() -> None:
    """Model, stream, limits, choices and customer come out of the top level."""
    facts = body.read(raw(stream=True, max_tokens=7, n=2, user="palantir"))
    assert (facts.model, facts.stream, facts.max_output_tokens, facts.choices) == (
        "gpt-4o",
        True,
        7,
        2,
    )
    assert facts.customer == "palantir"


def test_the_greatest_output_limit_counts() -> None:
    """`max_tokens: 1` beside a larger limit fools nobody."""
    assert body.read(raw(max_tokens=1, max_completion_tokens=10_000)).max_output_tokens == 10_000
    assert body.read(raw(max_tokens=1, n_predict=10_000)).max_output_tokens == 10_000


def test_a_customer_of_anthropic_stands_in_metadata() -> None:
    """`metadata.user_id` names the end user in Anthropic's API."""
    assert body.read(raw(metadata={"user_id": "u1"})).customer == "u1"


def test_only_the_top_level_is_read() -> None:
    """A nested model, limit or stream is prompt, not policy."""
    facts = body.read(raw(tools=[{"model": "other", "max_tokens": 1, "stream": True}]))
    assert (facts.model, facts.max_output_tokens, facts.stream) == ("gpt-4o", None, False)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "one JSON object"),
        (b"[1]", "one JSON object"),
        (b'{"model": "gpt-4o"', "one JSON object"),
        (b'{"model": "gpt-4o"} x', "one JSON object"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "one JSON object"),
        (b'{"mod\xff": 1}', "UTF-8"),
        (b'{"model": 5}', "'model' must be the name of a model, got 5"),
        (b'{"model": ""}', "'model' must be the name"),
        (b'{"model": "a", "model": "b"}', "Duplicate field 'model'"),
        (b'{"model": "a", "mod\\u0065l": "b"}', "Duplicate field 'model'"),
        (
            b'{"model": "a", "max_tokens": "9"}',
            "'max_tokens' must be a whole number of at least 0, got \"9\"",
        ),
        (b'{"model": "a", "max_tokens": -2}', "at least 0, got -2"),
        (b'{"model": "a", "max_tokens": 1.0}', "at least 0, got 1.0"),
        (b'{"model": "a", "max_tokens": 1e2}', "at least 0, got 100.0"),
        (b'{"model": "a", "max_tokens": 1e400}', "'max_tokens' is a number out of range"),
        (b'{"model": "a", "max_tokens": [1]}', r"at least 0, got \[1]"),
        (b'{"model": "a", "max_tokens": true}', "got true"),
        (b'{"model": "a", "n": 0}', "'n' must be a whole number of at least 1, got 0"),
        (b'{"model": "a", "stream": 1}', "'stream' must be true or false, got 1"),
        (b'{"model": "a", "user": 1.5}', "'user' must be a string, got 1.5"),
        (b'{"model": "a", "user": {"id": 1}}', "'user' must be a string, got"),
        (
            b'{"model": "a", "metadata": {"user_id": true}}',
            "'metadata.user_id' must be a string, got true",
        ),
        (b'{"model": "a", "x": "\xff"}', "UTF-8"),
        (b'{"model": "a", "x": "\xed\xa0\x80"}', "UTF-8"),
        (b'{"model": "a", "x": "' + "\u00e9".encode() * 300_000 + b'\xff"}', "UTF-8"),
        (b'{"model": "a", "x": "\\ud800"}', "one JSON object"),
        (b'\xef\xbb\xbf{"model": "a"}', "one JSON object"),
        (b'{"model": "a"}\0', "one JSON object"),
        (b'{"model": "a", "x": NaN}', "one JSON object"),
        (b'{"model": "a" /* b */}', "one JSON object"),
    ],
)
def test_a_bad_body_is_refused_by_field_and_value(content: bytes, named: str) -> None:
    """The message names the field, the value and what would be right."""
    with pytest.raises(BadRequest, match=named):
        body.read(content)


def test_null_fields_are_absent_ones() -> None:
    """SDKs send null for what is not set."""
    facts = body.read(raw(stream=None, max_tokens=None, n=None, user=None, stream_options=None))
    assert (facts.stream, facts.max_output_tokens, facts.choices, facts.customer) == (
        False,
        None,
        1,
        None,
    )


def test_renaming_the_model_leaves_every_other_byte() -> None:
    """Key order, white space, big integers and escapes stay as the client wrote them."""
    original = (
        b'{ "seed": 9007199254740993, "messages": [{"content": "\\u00e9 \xc3\xa9"}],\n "model" :'
        b' "gpt-4o" }'
    )
    changed = edited(original, (body.rename_model(body.read(original), 'we"ird'),))
    assert original.replace(b'"gpt-4o"', b'"we\\"ird"') == changed


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (..., {"include_usage": True}),
        (None, {"include_usage": True}),
        ({}, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": True}, {"include_obfuscation": True, "include_usage": True}),
    ],
)
def test_usage_is_asked_for_beside_what_the_client_asked(options: object, wanted: object) -> None:
    """Whatever stream_options were, include_usage is added and the rest of the body stays."""
    original = raw(stream=True) if options is ... else raw(stream=True, stream_options=options)
    facts = body.read(original)
    assert not facts.include_usage
    changed = json.loads(edited(original, body.include_usage(original, facts)))
    assert changed.pop("stream_options") == wanted
    assert changed == {**CHAT, "stream": True}


@pytest.mark.parametrize(
    "original",
    [
        b'{"stream_options":{"include_usage":true},"model":"m"}',
        b'{ "stream_options" : null , "model":"m", "x":[1,2]}',
        b'{"model":"m","stream_options":{"a":"}"},"x":1}',
        b'{"model":"m" , "stream_options" : {} }',
        b'{"stream_options":{}}',
    ],
)
def test_a_member_is_left_out(original: bytes) -> None:
    """First, in the middle, last or alone; the rest stays as it is, byte for byte."""
    facts = body.read(original)
    wanted = {
        name: value for name, value in json.loads(original).items() if name != "stream_options"
    }
    changed = edited(original, (body.leave_out(original, facts, "stream_options"),))
    assert json.loads(changed) == wanted


def test_media_costs_no_text() -> None:
    """A picture's base64 is held at what a picture costs, its question as text."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 5000}}
    content = [{"type": "text", "text": "what is this"}, picture]
    assert (
        body.read(
            json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
        ).prompt_tokens
        < 1000
    )


@pytest.mark.parametrize(
    ("dialect", "members", "limit", "choices"),
    [
        (
            dialects.GEMINI_GENERATE,
            {"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}},
            5,
            2,
        ),
        (
            dialects.GEMINI_GENERATE,
            {"generation_config": {"max_output_tokens": 5}, "generationConfig": {}},
            5,
            1,
        ),
        (dialects.BEDROCK_CONVERSE, {"inferenceConfig": {"maxTokens": 5}}, 5, 1),
        (
            dialects.BEDROCK_INVOKE,
            {"max_tokens": 4, "textGenerationConfig": {"maxTokenCount": 5}},
            5,
            1,
        ),
        (dialects.BEDROCK_INVOKE, {"max_gen_len": 5}, 5, 1),
        (dialects.COHERE_CHAT, {"max_tokens": 5}, 5, 1),
        (dialects.OLLAMA_GENERATE, {"options": {"num_predict": 5}}, 5, 1),
        (dialects.OLLAMA_GENERATE, {"options": {"num_predict": -1}}, None, 1),
        (dialects.OLLAMA_GENERATE, {"options": None}, None, 1),
        (dialects.GEMINI_GENERATE, {"generationConfig": "?"}, None, 1),
    ],
)
def test_each_api_keeps_its_limits_elsewhere(
    dialect: dialects.Dialect, members: object, limit: int | None, choices: int
) -> None:
    """The output limit and the number of answers are read where the API has them."""
    facts = body.read(json.dumps(members).encode(), dialect.places)
    assert (facts.model, facts.max_output_tokens, facts.choices) == (None, limit, choices)


@pytest.mark.parametrize(
    ("dialect", "content", "message"),
    [
        (
            dialects.GEMINI_GENERATE,
            {"generationConfig": {"maxOutputTokens": "5"}},
            "'generationConfig.maxOutputTokens' must be a whole",
        ),
        (
            dialects.OLLAMA_GENERATE,
            {"options": {"num_predict": 1.5}},
            "'options.num_predict' must be a whole number of at least 0, got 1.5",
        ),
    ],
)
def test_a_nested_field_is_named_whole(
    dialect: dialects.Dialect, content: object, message: str
) -> None:
    """From the top to the member at fault."""
    with pytest.raises(BadRequest, match=message):
        body.read(json.dumps(content).encode(), dialect.places)


@pytest.mark.parametrize(
    ("said", "streams"), [({}, True), ({"stream": None}, True), ({"stream": False}, False)]
)
def test_ollama_streams_unless_told_otherwise(said: object, streams: bool) -> None:
    """Its default is the other way round."""
    assert body.read(json.dumps(said).encode(), dialects.OLLAMA_GENERATE.places).stream is streams


def test_a_body_of_the_models_own_is_prompt_as_a_whole() -> None:
    """Bedrock's invoke hands on whatever the model takes."""
    content = b'{"inputText": "abcdefgh"}'
    assert body.read(content, dialects.BEDROCK_INVOKE.places).prompt_tokens > len(content) / 5


@pytest.mark.parametrize("member", ["model", "stream_options", "user", "metadata", "n"])
def test_text_that_is_not_utf_8_is_a_bad_request(member: str) -> None:
    """Wherever it stands in what is read (found by fuzzing)."""
    with pytest.raises(BadRequest, match="must be one JSON object in UTF-8"):
        body.read(b'{"%b":{"a\x9b":"\xff"}}' % member.encode())


def test_running_usage_is_asked_for_where_the_provider_tells_it() -> None:
    """vLLM's continuous_usage_stats, beside include_usage."""
    raw = b'{"model":"m","stream":true}'
    after = edited(raw, body.include_usage(raw, body.read(raw), running=True))
    assert json.loads(after)["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }


def test_a_negative_limit_is_none() -> None:
    """Whether the server knows that is said later; the place of it is told."""
    facts = body.read(raw(max_tokens=-1, max_completion_tokens=5))
    assert (facts.max_output_tokens, facts.endless) == (None, "max_tokens")


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"user": 12345}, "12345"),
        ({"user": ""}, None),
        ({"safety_identifier": "s"}, "s"),
        ({"metadata": {"user_id": "m"}, "safety_identifier": "s"}, "m"),
        ({"litellm_metadata": {"user": "l"}, "metadata": {"user_id": "m"}}, "l"),
        ({"user": "u", "litellm_metadata": {"user": "l"}}, "u"),
        ({"metadata": {"user_id": "user_ab_account__session_1-2"}}, "user_ab_account_"),
        ({"metadata": {"user_id": "user_ab_account_c-d_session_1-2"}}, "user_ab_account_c-d"),
        ({"user": "user_ab_account__session_1-2"}, "user_ab_account__session_1-2"),
        ({"metadata": {"user_id": "my_session_key"}}, "my_session_key"),
        (
            {"metadata": {"user_id": '{"device_id":"ab","account_uuid":"c-d","session_id":"1"}'}},
            "user_ab_account_c-d",
        ),
        (
            {"metadata": {"user_id": '{"device_id":"ab","account_uuid":"","session_id":"1"}'}},
            "user_ab_account_",
        ),
        ({"metadata": {"user_id": '{"session_id":"1","who":"x"}'}}, '{"who":"x"}'),
        ({"metadata": {"user_id": '{"who":"x"}'}}, '{"who":"x"}'),
        ({"metadata": {"user_id": "{x"}}, "{x"),
        ({"metadata": "user_id"}, None),
    ],
)
def test_the_customer_is_the_first_that_is_named(content: object, wanted: str | None) -> None:
    """By the order of the places; a coding agent's without its session."""
    assert body.read(raw(**content)).customer == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["x" * 301, "x" * 1_000_000, "a\nb", "a\u0000", "\u202e"])
@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"user": ...}, "user"),
        ({"user": "fine", "safety_identifier": ...}, "safety_identifier"),
        ({"metadata": {"user_id": ...}}, "metadata.user_id"),
        ({"litellm_metadata": {"user": ...}}, "litellm_metadata.user"),
    ],
)
def test_an_id_that_is_too_long_or_unprintable_is_refused_by_its_place(
    content: dict[str, object], place: str, bad: str
) -> None:
    """Also one that another goes before; and the answer does not repeat it whole."""
    said = json.loads(json.dumps(content, default=lambda _: bad))
    with pytest.raises(BadRequest, match="at most 300 characters, all printable") as caught:
        body.read(raw(**said))
    assert caught.value.param == place
    assert len(str(caught.value)) < 250


def test_the_longest_id_passes() -> None:
    """In any script."""
    assert body.read(raw(user="\u6570" * 300)).customer == "\u6570" * 300


def test_a_number_out_of_range_in_stream_options_stays() -> None:
    """Usage is asked for beside what the client asked, whatever that is."""
    original = b'{"model":"m","stream":true,"stream_options":{"x":1e400,"include_usage":false}}'
    changed = edited(original, body.include_usage(original, body.read(original)))
    assert b'{"x":1e400,"include_usage":true}' in changed


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ('{"a": "b" }', '{"include_usage":true,"continuous_usage_stats":true,"a": "b" }'),
        ('{"include_usage" : false}', '{"continuous_usage_stats":true,"include_usage" : true}'),
        (
            '{"continuous_usage_stats":1,"include_usage":null}',
            '{"continuous_usage_stats":true,"include_usage":true}',
        ),
    ],
)
def test_the_edits_that_ask_for_usage_are_short(options: str, wanted: str) -> None:
    """Whatever else the options hold stays as it is, and is not sent twice: edits travel in
    headers.
    """
    original = f'{{"model":"m","stream":true,"stream_options":{options}}}'.encode()
    edits = body.include_usage(original, body.read(original), running=True)
    assert (
        edited(original, edits).decode()
        == f'{{"model":"m","stream":true,"stream_options":{wanted}}}'
    )
    assert sum(len(each.insert) for each in edits) < 60
