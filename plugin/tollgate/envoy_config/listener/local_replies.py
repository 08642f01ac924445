"""Word Envoy's own answers as JSON errors of the API that the client speaks.

Tollgate's refusals are local replies too; they pass unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    ExtensionFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Any as AnyMessage
from envoy_data_plane.google.protobuf import Struct

from tollgate.core.answers.error_shapes import error_body, error_headers
from tollgate.core.envoy_contract import AUTHZ_FILTER, RESERVATION, ROUTE_PREFIX
from tollgate.core.requests.dialects import FAMILY_PATHS, Family
from tollgate.envoy_config.literals import Json
from tollgate.envoy_config.typed_messages import plain


@dataclass(frozen=True, slots=True)
class _LocalReply:
    """A status of Envoy's: OpenAI's error type for it, our code, and the message."""

    status: int
    kind: str
    code: str
    message: str


_REPLIES = (
    _LocalReply(
        400,
        "invalid_request_error",
        "bad_request",
        "The request is not valid HTTP (%RESPONSE_CODE_DETAILS%).",
    ),
    _LocalReply(
        401, "auth_error", "invalid_api_key", "Authentication Error, No api key passed in."
    ),
    _LocalReply(
        403,
        "invalid_request_error",
        "upgrade_not_supported",
        "This gateway serves no WebSocket and no other upgrade; call the API over plain HTTP"
        " (%RESPONSE_CODE_DETAILS%).",
    ),
    _LocalReply(
        404,
        "invalid_request_error",
        "not_found",
        "No model of this gateway is served under this path.",
    ),
    _LocalReply(
        408,
        "invalid_request_error",
        "request_timeout",
        "The request did not arrive in time (%RESPONSE_CODE_DETAILS%).",
    ),
    _LocalReply(
        413,
        "invalid_request_error",
        "request_too_large",
        "The request body is larger than this gateway takes.",
    ),
    _LocalReply(
        431,
        "invalid_request_error",
        "headers_too_large",
        "The request's headers are too long or too many.",
    ),
    _LocalReply(
        503,
        "server_error",
        "service_unavailable",
        "The model's provider, or the gateway's limiter, could not be reached, or is overloaded"
        " (%RESPONSE_CODE_DETAILS%).",
    ),
    _LocalReply(
        504,
        "server_error",
        "timeout",
        "The model's provider did not answer in time (%RESPONSE_CODE_DETAILS%).",
    ),
    # Any other answer of Envoy's: up to 499 the client's fault, from 500 on the gateway's.
    _LocalReply(
        499,
        "invalid_request_error",
        "bad_request",
        "The gateway does not take this request (%RESPONSE_CODE_DETAILS%).",
    ),
    _LocalReply(
        599,
        "server_error",
        "gateway_error",
        "The gateway could not serve this request (%RESPONSE_CODE_DETAILS%).",
    ),
)
# Each stands for all statuses up to it.
_CLASSES = (499, 599)
# Replies written by Tollgate have a content type; Envoy sets one only later. Only errors need
# wording.
_WORDED = "response.code < 400 || 'content-type' in response.headers"
# Routes of the same connection manager that are not Tollgate's. A request without a route is worded
# like ours.
_FOREIGN = f"!xds.route_name.startsWith('{ROUTE_PREFIX}')"
# Filled in by Envoy in an error's members.
_STATUS = "%RESPONSE_CODE%"
_FAMILIES = dict(FAMILY_PATHS)


def local_reply_config() -> Json:
    """Return the mappers, of which the first match counts.

    Order: Tollgate's own replies, other routes' replies, then each status of Envoy's in each
    dialect, OpenAI's last.
    """
    worded = [
        _mapper(family, reply) for reply in _REPLIES for family in (*_FAMILIES, Family.OPENAI)
    ]
    return plain(
        LocalReplyConfig(
            mappers=[
                _as_it_is(_WORDED, "application/json"),
                _as_it_is(_FOREIGN, "text/plain"),
                *worded,
            ]
        )
    )


def _as_it_is(expression: str, content_type: str) -> ResponseMapper:
    return ResponseMapper(
        filter=_cel(expression),
        body_format_override=SubstitutionFormatString(
            text_format_source=DataSource(inline_string="%LOCAL_REPLY_BODY%"),
            content_type=content_type,
        ),
    )


def _cel(expression: str) -> AccessLogFilter:
    return AccessLogFilter(
        extension_filter=ExtensionFilter(
            name="envoy.access_loggers.extension_filters.cel",
            typed_config=AnyMessage.pack(ExpressionFilter(expression=expression)),
        )
    )


def _mapper(family: Family, reply: _LocalReply) -> ResponseMapper:
    conditions = [_has_status(reply.status)]
    if family is not Family.OPENAI:
        conditions.append(_cel(_is_of(family)))
    both = (
        conditions[0]
        if len(conditions) == 1
        else AccessLogFilter(and_filter=AndFilter(filters=conditions))
    )
    headers = [
        HeaderValueOption(
            header=HeaderValue(key=each.name, value=each.value),
            append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        )
        for each in error_headers(family, reply.status)
    ]
    return ResponseMapper(
        filter=both, body_format_override=_body(family, reply), headers_to_add=headers
    )


def _has_status(status: int) -> AccessLogFilter:
    return AccessLogFilter(
        status_code_filter=StatusCodeFilter(
            comparison=ComparisonFilter(
                op=ComparisonFilterOp.LE if status in _CLASSES else ComparisonFilterOp.EQ,
                # The key is required by Envoy; no layer of our runtime sets it.
                value=RuntimeUInt32(default_value=status, runtime_key="tollgate.local_reply"),
            )
        )
    )


def _is_of(family: Family) -> str:
    """Match by what Tollgate said of the request, else by the path.

    A provider's own path may resemble another's.
    """
    said = f"metadata.filter_metadata['{AUTHZ_FILTER}']"
    told = f"'{AUTHZ_FILTER}' in metadata.filter_metadata && '{RESERVATION}' in {said}"
    path = f"request.path.matches(r'^{_FAMILIES[family]}')"
    return f"({told}) ? {said}['{RESERVATION}'].matches(r'{_names(family)}') : {path}"


def _names(family: Family) -> str:
    """Match a reservation of the family: the API's name follows the time, and no
    other text does.
    """
    return rf',[0-9]+,"{family.value}[."]'


def _body(family: Family, reply: _LocalReply) -> SubstitutionFormatString:
    """Return the family's error in Envoy's JSON format, where a lone
    %RESPONSE_CODE% becomes a number.
    """
    error = msgspec.json.decode(
        error_body(family, reply.status, reply.kind, reply.message, code=reply.code)
    )
    if isinstance(error.get("error"), dict) and "status" in error["error"]:
        error["error"]["code"] = _STATUS
    return SubstitutionFormatString(json_format=Struct.from_dict(error))
