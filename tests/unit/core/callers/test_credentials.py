"""Where a client's key stands, and that it goes no further."""

from __future__ import annotations

import pytest

from tollgate.core.callers.credentials import find_secret, without_key


@pytest.mark.parametrize(
    ("headers", "query", "wanted"),
    [
        ({}, "", None),
        ({"authorization": "Bearer k"}, "", "k"),
        ({"authorization": "bEARER  k "}, "", "k"),
        ({"authorization": "k"}, "", None),
        ({"authorization": "Basic k"}, "", None),
        ({"authorization": "Basic eA=="}, "key=k", "k"),
        ({"authorization": "Bearer "}, "", None),
        ({"x-litellm-api-key": "k", "authorization": "Bearer other"}, "key=other", "k"),
        ({"x-litellm-api-key": "Bearer k"}, "", "k"),
        ({"x-litellm-api-key": "", "x-api-key": "k"}, "", "k"),
        ({"x-api-key": "k", "api-key": "other"}, "", "k"),
        ({"api-key": "k"}, "", "k"),
        ({"x-goog-api-key": "k"}, "", "k"),
        ({"ocp-apim-subscription-key": "k"}, "", "k"),
        ({}, "a=b&key=k", "k"),
        ({}, "%6bey=%6b", "k"),
        ({}, "key=&key=k", "k"),
        ({}, "KEY=k&monkey=k", None),
    ],
)
def test_the_first_place_that_has_a_key_counts(
    headers: dict[str, str], query: str, wanted: str | None
) -> None:
    """Our own header, Authorization, the providers' own headers, the query."""
    assert find_secret(headers, query) == wanted


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/p", "/p"),
        ("/p?", "/p?"),
        ("/p?a=b", "/p?a=b"),
        ("/p?key=k", "/p"),
        ("/p?a=%20&key=k&c", "/p?a=%20&c"),
        ("/p?%6Be%79=k&KEY=k&Key", "/p"),
        ("/key=/p?monkey=k&keys=k", "/key=/p?monkey=k&keys=k"),
    ],
)
def test_a_key_in_the_query_is_left_out(target: str, wanted: str) -> None:
    """In any spelling; every other byte stays."""
    assert without_key(target) == wanted
