"""No name in a body means one thing to us and another to a provider."""

from __future__ import annotations

import pytest
from tests.unit.core.requests.bodies import raw

from tollgate.core.errors import BadRequest
from tollgate.core.requests import body, dialects


def gemini(limit: str, value: int = 9) -> str:
    return f'{{"generationConfig":{{"{limit}":{value}}}}}'


@pytest.mark.parametrize(
    ("dialect", "content", "named"),
    [
        (
            dialects.OPENAI_CHAT,
            '{"model":"cheap","Model":"dear"}',
            "'Model' can be read as 'model'",
        ),
        (
            dialects.OPENAI_CHAT,
            '{"MODEL":"dear","model":"cheap"}',
            "'MODEL' can be read as 'model'",
        ),
        (dialects.OPENAI_CHAT, '{"model":"m","max_tokens":1,"MAX_TOKENS":9}', "'MAX_TOKENS'"),
        (
            dialects.OPENAI_CHAT,
            '{"model":"m","Stream":true}',
            "'Stream' can be read as 'stream'",
        ),
        (
            dialects.OPENAI_CHAT,
            '{"model":"m","\u017ftream":true}',
            "'\u017ftream' can be read as 'stream'",
        ),
        (
            dialects.OPENAI_CHAT,
            '{"model":"m","max_to\u212aens":1}',
            "can be read as 'max_tokens'",
        ),
        (
            dialects.OPENAI_CHAT,
            '{"model":"m","\\u004dodel":"x"}',
            "'Model' can be read as 'model'",
        ),
        (dialects.OPENAI_CHAT, '{"model":"m","model\\u0000x":"x"}', "can be read as 'model'"),
        (dialects.OPENAI_CHAT, '{"model":"m","User":"x"}', "'User' can be read as 'user'"),
        (dialects.OPENAI_CHAT, '{"model":"m","SAFETY_identifier":"x"}', "as 'safety_identifier'"),
        (dialects.OPENAI_CHAT, '{"model":"m","messages":[],"Messages":[]}', "as 'messages'"),
        (
            dialects.OPENAI_CHAT,
            '{"model":"m","stream_options":{"Include_Usage":true}}',
            "as 'stream_options.include_us",
        ),
        (dialects.OPENAI_CHAT, '{"model":"m","Stream_Options":{}}', "as 'stream_options'"),
        (
            dialects.ANTHROPIC_MESSAGES,
            '{"model":"m","metadata":{"User_ID":"x"}}',
            "as 'metadata.user_id'",
        ),
        (dialects.ANTHROPIC_MESSAGES, '{"model":"m","Metadata":{}}', "as 'metadata'"),
        (dialects.OLLAMA_GENERATE, '{"model":"small","Model":"big"}', "as 'model'"),
        (
            dialects.OLLAMA_GENERATE,
            '{"model":"m","options":{"num_predict":1,"NUM_PREDICT":9}}',
            "as 'options.num_p",
        ),
        (
            dialects.OLLAMA_GENERATE,
            '{"model":"m","options":{"Num_Predict":9}}',
            "as 'options.num_predict'",
        ),
        (
            dialects.GEMINI_GENERATE,
            gemini("MaxOutputTokens"),
            "as 'generationConfig.maxOutputTokens'",
        ),
        (
            dialects.GEMINI_GENERATE,
            gemini("max_Output_tokens"),
            "as 'generationConfig.max_output_tokens'",
        ),
        (
            dialects.GEMINI_GENERATE,
            gemini("CandidateCount"),
            "as 'generationConfig.candidateCount'",
        ),
        (dialects.GEMINI_GENERATE, '{"GenerationConfig":{}}', "as 'generationConfig'"),
        (
            dialects.BEDROCK_CONVERSE,
            '{"inferenceConfig":{"MaxTokens":9}}',
            "as 'inferenceConfig.maxTokens'",
        ),
        (
            dialects.BEDROCK_INVOKE,
            '{"textGenerationConfig":{"maxtokencount":9}}',
            "as 'textGenerationConfig.maxTok",
        ),
        (dialects.COHERE_CHAT, '{"model":"m","Max_Tokens":9}', "as 'max_tokens'"),
        (
            dialects.OPENAI_CHAT,
            '{"model":"m","metadata":{"user_id":"a","user_id":"b"}}',
            "Duplicate field 'user_id'",
        ),
        (
            dialects.OLLAMA_GENERATE,
            '{"options":{"num_predict":1,"num_predict":9}}',
            "Duplicate field 'num_predict'",
        ),
        (
            dialects.GEMINI_GENERATE,
            gemini("maxOutputTokens").replace("9", '9,"max\\u004futputTokens":9'),
            "Duplicate",
        ),
    ],
)
def test_a_name_that_another_parser_takes_for_one_that_is_read_is_refused(
    dialect: dialects.Dialect, content: str, named: str
) -> None:
    """Whatever its case, beside the right one or alone, at the top and below."""
    with pytest.raises(BadRequest, match=named):
        body.read(content.encode(), dialect.places)


def test_names_that_are_not_read_are_nobodys_business() -> None:
    """Those of tools, of prompts, and of fields that have no meaning here."""
    facts = body.read(
        b'{"model":"m","X":1,"x":2,"tools":[{"Model":"x","model":"y","model":"z"}],"Temperature":1}'
    )
    assert facts.model == "m"


@pytest.mark.parametrize("parent", ["", "metadata", "stream_options"])
@pytest.mark.parametrize("count", [2_001, 60_000])
def test_a_body_of_thousands_of_members_is_refused(parent: str, count: int) -> None:
    """Where it is read: before anything of it is kept, if they are many."""
    many = {f"k{number}": 1 for number in range(count)}
    with pytest.raises(BadRequest, match="more than 2000 fields"):
        body.read(raw(**({parent: many} if parent else many)))


@pytest.mark.parametrize("name", [b'""', b'"a"'])
def test_members_of_one_name_count_one_by_one(name: bytes) -> None:
    """However often it stands there: none is looked at beyond the last that may be."""
    many = b",".join([name + b":0"] * 60_000)
    with pytest.raises(BadRequest, match="more than 2000 fields"):
        body.read(b'{"metadata":{' + many + b'},"model":"m"}')


@pytest.mark.parametrize("twice", [b'"model":"m","model":"n"', b'"max_tokens":1,"max_tokens":2'])
def test_a_name_that_stands_twice_in_a_long_body_is_refused(twice: bytes) -> None:
    """As in a short one."""
    calls = b"[" + b",".join([b'{"id":1,"a":1}'] * 50_000) + b"]"
    with pytest.raises(BadRequest, match="Duplicate field"):
        body.read(b"{" + twice + b',"messages":' + calls + b"}")


def test_a_long_body_with_many_colons_is_read() -> None:
    """They may stand in what is not read, as a tool's arguments do."""
    calls = [{"id": number, "a": 1} for number in range(50_000)]
    assert body.read(raw(messages=calls, max_tokens=7)).max_output_tokens == 7
