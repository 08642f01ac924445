"""Whether a presented key may be used."""

from __future__ import annotations

from typing import Any

import pytest

from tollgate.core.callers.authentication import (
    hash_of,
    misplaced_bearer,
    objection_to_headers,
    objection_to_key,
)
from tollgate.core.entities import Key


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (
            {"autherization": "Bearer sk-1"},
            " The header 'autherization' carries a Bearer token; its name must be 'Authorization'.",
        ),
        ({"authorization": "Bearer sk-1"}, ""),
        ({"x-api-key": "sk-1"}, ""),
    ],
)
def test_a_misspelt_header_is_found_by_what_it_carries(headers: dict[str, str], told: str) -> None:
    """The page's own slip."""
    assert misplaced_bearer(headers) == told


NOW_US = 1_800_000_000_000_000


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, None),
        ({"expires_us": NOW_US + 1}, None),
        ({"expires_us": NOW_US}, "expired_key"),
        ({"blocked": True}, "auth_error"),
        ({"blocked": True, "expires_us": NOW_US}, "auth_error"),
    ],
)
def test_a_key_may_be_used_until_it_is_blocked_or_expires(
    changes: dict[str, Any], kind: str | None
) -> None:
    """The moment of its expiry is not in its time any more."""
    objection = objection_to_key(Key("hash", "sk-...test", **changes), NOW_US)
    assert (None if objection is None else objection.kind) == kind


def test_an_expired_key_is_told_when_it_expired() -> None:
    """In LiteLLM's words."""
    objection = objection_to_key(Key("hash", "sk-...test", expires_us=NOW_US), NOW_US)
    assert objection is not None
    assert objection.message == (
        "Authentication Error - Expired Key. Key Expiry time 2027-01-15T08:00:00+00:00 "
        "and current time 2027-01-15T08:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, "No api key passed in."),
        ({"authorization": "Basic x"}, "Malformed API Key passed in."),
        ({"auth": "Bearer sk"}, "its name must be 'Authorization'."),
    ],
)
def test_headers_without_a_key_are_told_what_they_lack(headers: dict[str, str], told: str) -> None:
    assert told in objection_to_headers(headers).message


def test_a_secret_in_any_script_has_a_hash() -> None:
    """Headers may hold bytes that are no UTF-8, which Python reads as lone surrogates."""
    assert len(hash_of("\udcff")) == 64
