"""The APIs that clients speak: which path is which, who serves it, and how each writes an error.

Error shapes: OpenAI's `{"error": {...}}` (platform.openai.com/docs/guides/error-codes), Anthropic's `{"type": "error", ...}`
(docs.anthropic.com/en/api/errors).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Family(StrEnum):
    """Whose wire format: it decides which deployments can serve a path and how errors look."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API. `api` is its name in providers.yaml; `asks_for_usage`: a stream tells its usage only when asked.
    `has_output`: a call costs output tokens too."""

    api: str
    family: Family
    asks_for_usage: bool = False
    has_output: bool = True


OPENAI_CHAT = Dialect("openai.chat", Family.OPENAI, asks_for_usage=True)
_OPENAI_COMPLETIONS = Dialect("openai.completions", Family.OPENAI, asks_for_usage=True)
_OPENAI_EMBEDDINGS = Dialect("openai.embeddings", Family.OPENAI, has_output=False)
_ANTHROPIC_MESSAGES = Dialect("anthropic.messages", Family.ANTHROPIC)

_BY_PATH = {
    "/v1/chat/completions": OPENAI_CHAT,
    "/chat/completions": OPENAI_CHAT,
    "/v1/completions": _OPENAI_COMPLETIONS,
    "/completions": _OPENAI_COMPLETIONS,
    "/v1/embeddings": _OPENAI_EMBEDDINGS,
    "/embeddings": _OPENAI_EMBEDDINGS,
    "/v1/messages": _ANTHROPIC_MESSAGES,
}

# A provider that is not named here speaks OpenAI's format.
_FAMILIES = {"anthropic": Family.ANTHROPIC}

# Anthropic's error types by status.
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def find_dialect(path: str) -> Dialect | None:
    """The API that a path (without its query) belongs to."""
    return _BY_PATH.get(path)


def family_of_path(path: str) -> Family:
    """Whose errors a client of this path can read, known or not."""
    return Family.ANTHROPIC if path.startswith("/v1/messages") else Family.OPENAI


def family_of_provider(provider: str) -> Family:
    """Whose format a provider speaks."""
    return _FAMILIES.get(provider, Family.OPENAI)


def family_of_api(api: str) -> Family:
    """Whose format an API's name says: the names begin with the family."""
    return Family(api.partition(".")[0])


def paths_of(family: Family) -> str:
    """The paths of a family, for a message that says where a model can be reached."""
    return ", ".join(path for path, dialect in _BY_PATH.items() if dialect.family is family and path.startswith("/v1/"))


def error_body(
    family: Family, status: int, kind: str, message: str, *, param: str | None = None, code: str | None = None
) -> bytes:
    """An error as a client of the family reads it. `kind` and `code` are OpenAI's words; Anthropic has one word for each status."""
    if family is Family.ANTHROPIC:
        return msgspec.json.encode(
            {"type": "error", "error": {"type": _ANTHROPIC_TYPES.get(status, "api_error"), "message": message}}
        )
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})
