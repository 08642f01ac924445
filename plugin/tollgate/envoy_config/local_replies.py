"""What the client reads when Envoy itself answers: JSON in the dialect that the client speaks.

Tollgate's own refusals are local replies too; they pass untouched.
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
    HeaderFilter,
    MetadataFilter,
    OrFilter,
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
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.type.matcher.v3 import (
    MetadataMatcher,
    MetadataMatcherPathSegment,
    RegexMatcher,
    StringMatcher,
    ValueMatcher,
)
from envoy_data_plane.google.protobuf import Any as AnyMessage
from envoy_data_plane.google.protobuf import Struct

from tollgate.core.dialects import FAMILY_PATHS, Family, error_body, error_headers
from tollgate.envoy_config.messages import METADATA_NAMESPACE, Json, plain


@dataclass(frozen=True, slots=True)
class _Reply:
    """A status of Envoy's own: OpenAI's error type for it, our code, and what to tell the client."""

    status: int
    kind: str
    code: str
    message: str


_REPLIES = (
    _Reply(404, "invalid_request_error", "not_found", "No model of this gateway is served under this path."),
    _Reply(413, "invalid_request_error", "request_too_large", "The request body is larger than this gateway takes."),
    _Reply(
        503,
        "server_error",
        "service_unavailable",
        "The model's provider, or the gateway's limiter, could not be reached (%RESPONSE_CODE_DETAILS%).",
    ),
    _Reply(504, "server_error", "timeout", "The model's provider did not answer in time (%RESPONSE_CODE_DETAILS%)."),
)
# Any other status; 0 is none that Envoy answers with.
_OTHER = _Reply(0, "server_error", "gateway_error", "%LOCAL_REPLY_BODY% (%RESPONSE_CODE_DETAILS%)")
# Of an error's members, the two that Envoy fills in itself.
_STATUS = "%RESPONSE_CODE%"
_FAMILIES = dict(FAMILY_PATHS)


def local_reply_config() -> Json:
    """The mappers, first match wins: Tollgate's own words, then each status of Envoy's in each dialect, OpenAI's last."""
    worded = [
        _mapper(family, reply)
        for family in (*_FAMILIES, Family.OPENAI)
        for reply in (*_REPLIES, _OTHER)
        if family is not Family.OPENAI or reply is not _OTHER
    ]
    return plain(LocalReplyConfig(mappers=[_as_it_is(), *worded], body_format=_body(Family.OPENAI, _OTHER)))


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


def _mapper(family: Family, reply: _Reply) -> ResponseMapper:
    conditions = [] if reply is _OTHER else [_has_status(reply.status)]
    if family is not Family.OPENAI:
        conditions.append(_is_of(family))
    either = conditions[0] if len(conditions) == 1 else AccessLogFilter(and_filter=AndFilter(filters=conditions))
    headers = [
        HeaderValueOption(
            header=HeaderValue(key=each.name, value=each.value),
            append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        )
        for each in error_headers(family, reply.status)
    ]
    return ResponseMapper(filter=either, body_format_override=_body(family, reply), headers_to_add=headers)


def _has_status(status: int) -> AccessLogFilter:
    return AccessLogFilter(
        status_code_filter=StatusCodeFilter(
            comparison=ComparisonFilter(
                op=ComparisonFilterOp.EQ,
                # The key is required; no layer of our runtime sets it.
                value=RuntimeUInt32(default_value=status, runtime_key="tollgate.local_reply"),
            )
        )
    )


def _is_of(family: Family) -> AccessLogFilter:
    """By what Tollgate said of the request, or where it said nothing by the path: a provider's own path may look like another's."""
    path = AccessLogFilter(
        header_filter=HeaderFilter(
            header=HeaderMatcher(name=":path", string_match=_expression(f"^{_FAMILIES[family]}.*"))
        )
    )
    # The API's name follows the time in a reservation; no other text there follows a number.
    told = MetadataFilter(
        matcher=MetadataMatcher(
            filter=METADATA_NAMESPACE,
            path=[MetadataMatcherPathSegment(key="reservation")],
            value=ValueMatcher(string_match=_expression(rf'.*,[0-9]+,"{family.value}[."].*')),
        ),
        match_if_key_not_found=False,
    )
    return AccessLogFilter(or_filter=OrFilter(filters=[AccessLogFilter(metadata_filter=told), path]))


def _expression(text: str) -> StringMatcher:
    return StringMatcher(safe_regex=RegexMatcher(regex=text))


def _body(family: Family, reply: _Reply) -> SubstitutionFormatString:
    """The family's error as Envoy's JSON format: a lone %RESPONSE_CODE% becomes a number there."""
    error = msgspec.json.decode(error_body(family, reply.status, reply.kind, reply.message, code=reply.code))
    if isinstance(error.get("error"), dict) and "status" in error["error"]:
        error["error"]["code"] = _STATUS
    return SubstitutionFormatString(json_format=Struct.from_dict(error))
