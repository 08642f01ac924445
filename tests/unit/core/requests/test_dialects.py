"""Errors in each API's own shape, and the table of APIs."""

from __future__ import annotations

import json

import pytest

from tollgate.core.answers.error_shapes import error_body, error_headers
from tollgate.core.calls.decision import Header
from tollgate.core.requests import dialects
from tollgate.core.requests.dialects import Dialect, Family, family_of_api, family_of_path
from tollgate.shipped_tables import api_table

DIALECTS = [each for each in vars(dialects).values() if isinstance(each, Dialect)]
APIS = api_table()


def test_every_dialect_is_an_api_that_the_usage_reader_knows() -> None:
    """The names are those of the table, and each of its entries has a path."""
    assert {each.api for each in DIALECTS} == set(APIS)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: each.api)
def test_what_is_free_is_free_for_both_sides(dialect: Dialect) -> None:
    """Neither held nor charged."""
    assert dialect.free == APIS[dialect.api].free


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/v1/chat/completions", Family.OPENAI),
        ("/v1/models", Family.OPENAI),
        ("/anything", Family.OPENAI),
        ("/v1/messages/batches", Family.ANTHROPIC),
        ("/v1beta/models/g:anything", Family.GEMINI),
        ("/v1beta/models", Family.GEMINI),
        ("/v1beta/models/g", Family.GEMINI),
        ("/v1beta/modelsx", Family.OPENAI),
        ("/api/tags", Family.OLLAMA),
        ("/api/tagsx", Family.OPENAI),
        ("/v1/projects/p/locations/l/publishers/google/models/g:predict", Family.GEMINI),
        ("/model/m/apply", Family.BEDROCK),
        ("/v2/chat", Family.COHERE),
        ("/v1/chat", Family.COHERE),
        ("/api/chat", Family.OLLAMA),
        ("/api/v1/chat/completions", Family.OPENAI),
    ],
)
def test_errors_follow_the_path(path: str, family: Family) -> None:
    """Known or not, a client reads errors of the API that it meant."""
    assert family_of_path(path) == family


@pytest.mark.parametrize("api", APIS)
def test_every_api_has_a_family(api: str) -> None:
    """The name begins with it."""
    assert family_of_api(api) in Family


@pytest.mark.parametrize(
    ("family", "body"),
    [
        (Family.OPENAI, {"error": {"message": "no", "type": "kind", "param": "p", "code": "c"}}),
        (
            Family.ANTHROPIC,
            {"type": "error", "error": {"type": "rate_limit_error", "message": "no"}},
        ),
        (Family.GEMINI, {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}),
        (Family.VERTEX, {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}),
        (Family.BEDROCK, {"message": "no"}),
        (Family.COHERE, {"message": "no"}),
        (Family.OLLAMA, {"error": "no"}),
    ],
)
def test_an_error_has_its_familys_shape(family: Family, body: object) -> None:
    """So that each SDK finds the words."""
    assert json.loads(error_body(family, 429, "kind", "no", param="p", code="c")) == body


def test_bedrock_names_its_errors_in_a_header() -> None:
    """AWS's SDKs map the header to an exception."""
    assert error_headers(Family.BEDROCK, 429) == (
        Header("x-amzn-errortype", "ThrottlingException"),
    )
    assert error_headers(Family.OPENAI, 429) == ()
