"""Configure Envoy's gRPC access log, which reports the end of each admitted request."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    MetadataFilter,
    OrFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import ApiVersion, RuntimeUInt32
from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import (
    CommonGrpcAccessLogConfig,
    HttpGrpcAccessLogConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import (
    MetadataMatcher,
    MetadataMatcherPathSegment,
    ValueMatcher,
)
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.core.envoy_contract import AUTHZ_FILTER, RESERVATION, STREAM_HEADER
from tollgate.envoy_config.http_filters import native_usage as native
from tollgate.envoy_config.http_filters.switched import is_native
from tollgate.envoy_config.typed_messages import tollgate_service
from tollgate.settings import Settings
from tollgate.shipped_tables import api_table

# In grpc mode the log is a backstop; in native mode it is the only report of usage, and until it
# arrives a call's hold stays. Entries that arrive together are settled together while admissions
# wait: with 50 ms the slowest of 100 requests took half as long again. Even as a backstop it
# arrives before `hold_wait_ms` ends, so that a request that waits for it can be admitted.
_SELDOM = {"buffer_flush_interval": timedelta(milliseconds=100)}
_OFTEN = {"buffer_flush_interval": timedelta(milliseconds=20), "buffer_size_bytes": 256 * 1024}


def access_log(settings: Settings) -> AccessLog:
    """Log requests with a reservation, and those that ended before Tollgate's answer reached Envoy.

    Tollgate may hold something for the latter. Refusals and management calls have nothing to
    settle.
    """
    held = MetadataFilter(
        matcher=MetadataMatcher(
            filter=AUTHZ_FILTER,
            path=[MetadataMatcherPathSegment(key=RESERVATION)],
            value=ValueMatcher(present_match=True),
        ),
        match_if_key_not_found=False,
    )
    no_answer = ComparisonFilter(
        op=ComparisonFilterOp.EQ,
        value=RuntimeUInt32(default_value=0, runtime_key="tollgate.unanswered"),
    )
    refused_by_envoy = ComparisonFilter(
        op=ComparisonFilterOp.GE,
        value=RuntimeUInt32(default_value=500, runtime_key="tollgate.failed"),
    )
    either = [
        AccessLogFilter(metadata_filter=held),
        AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=no_answer)),
        AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=refused_by_envoy)),
    ]
    config = HttpGrpcAccessLogConfig(
        common_config=CommonGrpcAccessLogConfig(
            log_name="tollgate",
            transport_api_version=ApiVersion.V3,
            grpc_service=tollgate_service(),
            **(_OFTEN if is_native(settings) else _SELDOM),
        ),
        additional_request_headers_to_log=[STREAM_HEADER],
        additional_response_headers_to_log=native.logged_headers(api_table())
        if is_native(settings)
        else [],
    )
    return AccessLog(
        name="envoy.access_loggers.http_grpc",
        filter=AccessLogFilter(or_filter=OrFilter(filters=either)),
        typed_config=AnyMessage.pack(config),
    )
