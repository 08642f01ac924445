"""Answer every error in LiteLLM's shape: `{"error": {"message", "type", "param", "code"}}`.

Clients of other APIs than OpenAI's, which list models here, get errors in their API's shape.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tollgate import telemetry
from tollgate.adapters.http_api.queries import ProvidersRoute
from tollgate.adapters.http_api.wire.parts.not_served import NOT_SERVED
from tollgate.core.answers.error_shapes import error_body, error_headers
from tollgate.core.errors import (
    BadRequest,
    Conflict,
    HistoryUnavailable,
    NotFound,
    StoreUnavailable,
    TollgateError,
    UnknownModel,
)
from tollgate.core.requests.dialects import Family, family_of_path
from tollgate.management.administrators import Denied
from tollgate.reporting import history_telemetry

_log = logging.getLogger(__name__)
_RETRY_AFTER = {"retry-after": "1"}
_LONGEST_SHOWN = 80
# pydantic's words for common faults, and ours, which say what would be right.
_RIGHT = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long; at most 300 characters",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "int_parsing": "must be a whole number",
}
_STATUSES: dict[type[Exception], tuple[int, str]] = {
    BadRequest: (400, "invalid_request_error"),
    NotFound: (404, "not_found_error"),
    Conflict: (409, "conflict_error"),
}


def error(
    request: Request,
    status: int,
    kind: str,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in the shape that the client reads.

    LiteLLM's code is the status as text, unless there is a more specific one.
    """
    family = family_of(request)
    if family is not Family.OPENAI:
        more = {each.name: each.value for each in error_headers(family, status)}
        body = error_body(family, status, kind, message)
        return Response(body, status, {**(headers or {}), **more}, "application/json")
    told = {"message": message, "type": kind, "param": param, "code": code or str(status)}
    return JSONResponse({"error": told}, status, headers)


def family_of(request: Request) -> Family:
    """Return the API whose errors the client reads.

    Management paths may look like a provider's: /model/info resembles Bedrock's. Anthropic's
    clients list models on OpenAI's path.
    """
    if not isinstance(request.scope.get("route"), ProvidersRoute):
        return Family.OPENAI
    if "anthropic-version" in request.headers:
        return Family.ANTHROPIC
    return family_of_path(request.url.path)


def install(api: FastAPI) -> None:
    """Install handlers for everything that routes raise."""
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(TollgateError, _ours)
    api.add_exception_handler(Exception, _unexpected)


async def _invalid(request: Request, exception: Exception) -> Response:
    assert isinstance(exception, RequestValidationError)
    faults = exception.errors()
    param = ".".join(map(str, _place(faults[0])))
    message = "; ".join(fault(each, _place(each)) for each in faults)
    return error(request, 400, "invalid_request_error", message, param=param or None)


def _place(fault: Mapping[str, Any]) -> list[Any]:
    """Return where in the body or query a fault is."""
    return list(fault["loc"][1:])


def fault(found: Mapping[str, Any], place: Sequence[Any]) -> str:
    """Return what is wrong at a place of a body, and what would be right."""
    name = ".".join(map(str, place)) or "the body"
    if found["type"] == "extra_forbidden":
        served = place[-1] not in NOT_SERVED
        if served:
            return f"{name} is not a field of this request"
        return f"{name} is a field of LiteLLM that Tollgate does not serve; leave it out"
    right: str = _RIGHT.get(found["type"], found["msg"])
    if found["type"] == "missing" or not place:
        if place or found["type"] != "wrong":
            return f"{name} {right}"
        return right
    shown = repr(found.get("input"))
    if len(shown) > _LONGEST_SHOWN:
        shown = shown[:_LONGEST_SHOWN] + "..."
    return f"{name} {right}. Received: {shown}"


async def _http(request: Request, exception: Exception) -> Response:
    assert isinstance(exception, HTTPException)
    message = {404: "Not Found", 405: "Method Not Allowed"}.get(
        exception.status_code, exception.detail
    )
    headers = dict(exception.headers) if exception.headers else None
    return error(request, exception.status_code, "invalid_request_error", message, headers=headers)


async def _ours(request: Request, exception: Exception) -> Response:
    message = str(exception)
    if isinstance(exception, Denied):
        return error(request, exception.status, exception.kind, message)
    if isinstance(exception, UnknownModel):
        return error(
            request, 404, "invalid_request_error", message, param="model", code="model_not_found"
        )
    if isinstance(exception, StoreUnavailable):
        # The client library's words about the connection belong in the log, not in an answer.
        telemetry.store_failed("manage", exception)
        message = "the store is unavailable; try again"
        return error(request, 503, "internal_server_error", message, headers=_RETRY_AFTER)
    if isinstance(exception, HistoryUnavailable):
        history_telemetry.not_read(exception)
        message = "the history's database is unavailable; try again"
        return error(request, 503, "internal_server_error", message, headers=_RETRY_AFTER)
    status, kind = _STATUSES.get(type(exception), (500, "internal_server_error"))
    param = exception.param if isinstance(exception, BadRequest) else None
    return error(request, status, kind, message, param=param)


async def _unexpected(request: Request, exception: Exception) -> Response:
    # Only the path: bodies and headers contain secrets.
    _log.error("%s %s failed", request.method, request.url.path, exc_info=exception)
    return error(
        request, 500, "internal_server_error", "Tollgate failed to answer; its log says why"
    )
