"""The shapes of errors: how each family of APIs writes one.

OpenAI's
`{"error": {...}}` (platform.openai.com/docs/guides/error-codes), Anthropic's `{"type": "error",
...}` (docs.anthropic.com/en/api/errors), Google's google.rpc.Status
(cloud.google.com/apis/design/errors), Bedrock's message and header
(docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html), Cohere's
(docs.cohere.com/reference/errors), Ollama's (github.com/ollama/ollama/blob/main/docs/api.md).
"""

from __future__ import annotations

import msgspec

from tollgate.core.calls.decision import Header
from tollgate.core.requests.dialects import Family

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
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}

# google.rpc.Code by HTTP status.
_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    408: "DEADLINE_EXCEEDED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_BEDROCK_TYPES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    405: "ValidationException",
    413: "ValidationException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
}


def error_type(family: Family, status: int) -> str:
    """Return the family's word for a status: Anthropic's `type`, Google's `status`, Bedrock's
    exception.

    A status without an entry counts as a client error below 500 and as a server error from 500 on.
    """
    words = {Family.ANTHROPIC: _ANTHROPIC_TYPES, Family.BEDROCK: _BEDROCK_TYPES}.get(
        family, _GOOGLE_STATUSES
    )
    return words.get(status) or words[400 if status < 500 else 500]


def error_body(
    family: Family,
    status: int,
    kind: str,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
) -> bytes:
    """Return an error as a client of the family reads it.

    `kind`, `param` and `code` are OpenAI's fields; other families derive one word from the status.
    """
    match family:
        case Family.OPENAI:
            body: object = {
                "error": {"message": message, "type": kind, "param": param, "code": code}
            }
        case Family.ANTHROPIC:
            body = {
                "type": "error",
                "error": {"type": error_type(family, status), "message": message},
            }
        case Family.GEMINI | Family.VERTEX:
            body = {
                "error": {"code": status, "message": message, "status": error_type(family, status)}
            }
        case Family.OLLAMA:
            body = {"error": message}
        case Family.BEDROCK | Family.COHERE:
            body = {"message": message}
    return msgspec.json.encode(body)


def error_headers(family: Family, status: int) -> tuple[Header, ...]:
    """Return the headers that an error of the family carries besides its body."""
    if family is not Family.BEDROCK:
        return ()
    return (Header("x-amzn-errortype", error_type(family, status)),)
