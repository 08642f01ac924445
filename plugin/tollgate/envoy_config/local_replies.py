"""What the client reads when Envoy itself answers: JSON in the dialect of the path, Anthropic's under /v1/messages, OpenAI's elsewhere.

Tollgate's own refusals are local replies too; they pass untouched.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    ExtensionFilter,
    HeaderFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import DataSource, RuntimeUInt32, SubstitutionFormatString
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage
from envoy_data_plane.google.protobuf import Struct

from tollgate.envoy_config.messages import Json, plain


@dataclass(frozen=True, slots=True)
class _Reply:
    """A status of Envoy's own: the error types that the two families use for it, our code for it, and what to tell the client."""

    status: int
    openai_type: str
    anthropic_type: str
    code: str
    message: str


_REPLIES = (
    _Reply(
        404,
        "invalid_request_error",
        "not_found_error",
        "not_found",
        "No model of this gateway is served under this path.",
    ),
    _Reply(
        413,
        "invalid_request_error",
        "request_too_large",
        "request_too_large",
        "The request body is larger than this gateway takes.",
    ),
    _Reply(
        503,
        "server_error",
        "api_error",
        "service_unavailable",
        "The model's provider, or the gateway's limiter, could not be reached (%RESPONSE_CODE_DETAILS%).",
    ),
    _Reply(
        504,
        "server_error",
        "timeout_error",
        "timeout",
        "The model's provider did not answer in time (%RESPONSE_CODE_DETAILS%).",
    ),
)
_OTHER = _Reply(0, "server_error", "api_error", "gateway_error", "%LOCAL_REPLY_BODY% (%RESPONSE_CODE_DETAILS%)")


def local_reply_config() -> Json:
    """The mappers, first match wins: Tollgate's own words, then each status of Envoy's in both dialects, then the rest."""
    mappers = [_as_it_is()]
    for reply in (*_REPLIES, _OTHER):
        mappers.append(ResponseMapper(filter=_when(reply, anthropic=True), body_format_override=_anthropic(reply)))
        if reply is not _OTHER:
            mappers.append(ResponseMapper(filter=_when(reply, anthropic=False), body_format_override=_openai(reply)))
    return plain(LocalReplyConfig(mappers=mappers, body_format=_openai(_OTHER)))


def _as_it_is() -> ResponseMapper:
    """Replies that Tollgate wrote carry a content type of their own; Envoy sets one only after this point."""
    return ResponseMapper(
        filter=AccessLogFilter(
            extension_filter=ExtensionFilter(
                name="envoy.access_loggers.extension_filters.cel",
                typed_config=AnyMessage.pack(ExpressionFilter(expression="'content-type' in response.headers")),
            )
        ),
        body_format_override=SubstitutionFormatString(
            text_format_source=DataSource(inline_string="%LOCAL_REPLY_BODY%"), content_type="application/json"
        ),
    )


def _when(reply: _Reply, *, anthropic: bool) -> AccessLogFilter:
    status = AccessLogFilter(
        status_code_filter=StatusCodeFilter(
            comparison=ComparisonFilter(
                op=ComparisonFilterOp.EQ,
                # The key is required; no layer of our runtime sets it.
                value=RuntimeUInt32(default_value=reply.status, runtime_key="tollgate.local_reply"),
            )
        )
    )
    path = AccessLogFilter(
        header_filter=HeaderFilter(
            header=HeaderMatcher(name=":path", string_match=StringMatcher(prefix="/v1/messages")),
        )
    )
    if not anthropic:
        return status
    return path if reply is _OTHER else AccessLogFilter(and_filter=AndFilter(filters=[status, path]))


def _openai(reply: _Reply) -> SubstitutionFormatString:
    error = {"message": reply.message, "type": reply.openai_type, "param": None, "code": reply.code}
    return SubstitutionFormatString(json_format=Struct.from_dict({"error": error}))


def _anthropic(reply: _Reply) -> SubstitutionFormatString:
    error = {"type": reply.anthropic_type, "message": reply.message}
    return SubstitutionFormatString(json_format=Struct.from_dict({"type": "error", "error": error}))
