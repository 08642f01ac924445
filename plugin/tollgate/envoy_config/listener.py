"""Envoy's listener: how a request is cleaned, admitted, edited, metered and logged. The order of the filters is the design's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    MetadataFilter,
    OrFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation, HeaderMutationRemoveOnMatch
from envoy_data_plane.envoy.config.core.v3 import (
    ApiVersion,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
)
from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import CommonGrpcAccessLogConfig, HttpGrpcAccessLogConfig
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import BufferSettings, ExtAuthz
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import (
    ExternalProcessor,
    MetadataOptions,
    MetadataOptionsMetadataNamespaces,
    ProcessingMode,
    ProcessingModeBodySendMode,
    ProcessingModeHeaderSendMode,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerHcmAccessLogOptions,
    HttpConnectionManagerServerHeaderTransformation,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.type.matcher.v3 import (
    ListStringMatcher,
    MetadataMatcher,
    MetadataMatcherPathSegment,
    StringMatcher,
    ValueMatcher,
)
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.api_table import api_table
from tollgate.core.inflate import CODINGS
from tollgate.envoy_config import native
from tollgate.envoy_config.chosen import chosen, filters
from tollgate.envoy_config.inflating import inflating
from tollgate.envoy_config.local_replies import local_reply_config
from tollgate.envoy_config.messages import (
    CHANGE_HEADER,
    METADATA_NAMESPACE,
    ROUTE_HEADER,
    STREAM_HEADER,
    Json,
    decision_timeout,
    envoy_address,
    extension,
    http_filter,
    lua,
    packed,
    plain,
    tollgate_service,
)
from tollgate.envoy_config.routes import route_configuration
from tollgate.envoy_config.topology import Topology
from tollgate.settings import Settings, TollgateSettings

_EDITS = Path(__file__).with_name("edits.lua")
# The connection's number and the nanosecond: what a request has to itself, and no client can choose.
_STREAM = "%CONNECTION_ID%-%START_TIME(%s%9f)%"

# The access log as a backstop; and as the only word on what was used: until it comes, what a call has held stays held. And what comes
# at once is settled at once, while admissions wait: 50 ms of it made the slowest of 100 requests half as slow again.
# Even as a backstop it comes sooner than `hold_wait_ms` ends: who called in vain may call again.
_SELDOM = {"buffer_flush_interval": timedelta(milliseconds=100)}
_OFTEN = {"buffer_flush_interval": timedelta(milliseconds=20), "buffer_size_bytes": 256 * 1024}


def listener(settings: Settings, topology: Topology) -> Json:
    """The gateway's listener."""
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager(settings)}
    return {
        "name": "tollgate",
        "address": plain(envoy_address(topology.listen)),
        # With it a second gateway could listen on the same port, and each would get half of the requests.
        "enable_reuse_port": False,
        # A few connections carry many calls, and one socket gives whichever thread is awake the next: all 32 of a run on one of two threads.
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [{"filters": [manager]}],
    }


def _is_native(settings: Settings) -> bool:
    return settings.tollgate.mode == "native"


def connection_manager(settings: Settings) -> Json:
    """The HTTP connection manager: what a platform team puts into a listener of its own."""
    silence = timedelta(seconds=settings.tollgate.upstream_timeout_seconds)
    message = HttpConnectionManager(
        stat_prefix="tollgate",
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        server_header_transformation=HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        # A client that never finishes its headers holds a connection for no longer than this.
        request_headers_timeout=timedelta(seconds=30),
        stream_idle_timeout=silence,
        early_header_mutation_extensions=[
            extension("envoy.http.early_header_mutation.header_mutation", _clean_headers())
        ],
        access_log=[_access_log(settings)],
        # A call that runs is heard of twice before its lease runs out.
        access_log_options=HttpConnectionManagerHcmAccessLogOptions(
            access_log_flush_interval=timedelta(seconds=settings.tollgate.lease_seconds / 3)
        ),
    )
    return packed(
        message,
        local_reply_config=_local_replies(settings),
        http_filters=[*_filters(settings), http_filter("router", _router())],
        route_config=route_configuration(settings),
    )


def _filters(settings: Settings) -> list[Json]:
    """Admission, the edits that it asked for, and metering."""
    if _is_native(settings):
        admission = native.admission(settings.tollgate)
        return [admission, _changes(native.REPLY_LUA), native.meter(api_table(), _ext_proc())]
    return [_ext_authz(settings.tollgate), _changes(), _ext_proc()]


def _changes(*more: Path) -> Json:
    """Lua, which takes 27 us of a request that it does nothing for, where Tollgate said that there is something to do.

    A body that came compressed is inflated before: edits are of the plain one.
    """
    change = lua(_EDITS, *more)
    chains = {"1": (change,), **{coding: (*inflating(coding), change) for coding in CODINGS}}
    made = {value: filters("tollgate.changes", *chain) for value, chain in chains.items()}
    return chosen("tollgate.changes", CHANGE_HEADER, made)


def _local_replies(settings: Settings) -> Json:
    config = local_reply_config()
    first = native.refusals_put_right() if _is_native(settings) else []
    return config | {"mappers": [*first, *config["mappers"]]}


def _clean_headers() -> EarlyHeaderMutation:
    """Before any filter or route: a client's own of Tollgate's headers go, and Envoy's, with which it could ask for retries that
    cost money; and the request gets a name of its own."""
    mutations = [
        HeaderMutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix=prefix)))
        for prefix in ("x-tollgate-", "x-envoy-")
    ]
    named = HeaderValueOption(
        header=HeaderValue(key=STREAM_HEADER, value=_STREAM),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return EarlyHeaderMutation(mutations=[*mutations, HeaderMutation(append=named)])


def _ext_authz(ours: TollgateSettings) -> Json:
    service = tollgate_service()
    service.timeout = decision_timeout(ours)
    message = ExtAuthz(
        transport_api_version=ApiVersion.V3,
        grpc_service=service,
        failure_mode_allow=False,
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        validate_mutations=True,
        # Not as text: a body that is not UTF-8 would arrive changed.
        with_request_body=BufferSettings(max_request_bytes=ours.max_request_bytes, pack_as_bytes=True),
        disallowed_headers=ListStringMatcher(patterns=[StringMatcher(exact="cookie", ignore_case=True)]),
        # Refusals are not the provider's errors.
        charge_cluster_response_stats=False,
        clear_route_cache=True,
    )
    return http_filter("ext_authz", message, clear_route_cache_headers=[ROUTE_HEADER])


def _ext_proc() -> Json:
    """Metering: reads replies, never refuses one, and lets them pass when Tollgate does not answer."""
    skip = ProcessingModeHeaderSendMode.SKIP
    message = ExternalProcessor(
        grpc_service=tollgate_service(),
        failure_mode_allow=True,
        message_timeout=timedelta(seconds=1),
        processing_mode=ProcessingMode(
            request_header_mode=skip,
            response_header_mode=ProcessingModeHeaderSendMode.SEND,
            request_body_mode=ProcessingModeBodySendMode.NONE,
            response_body_mode=ProcessingModeBodySendMode.NONE,
            request_trailer_mode=skip,
            response_trailer_mode=skip,
        ),
        # Tollgate says for each reply how much of it it wants to see.
        allow_mode_override=True,
        # Safe because request bodies are never sent here, so never changed here.
        allow_content_length_header=True,
        disable_immediate_response=True,
        metadata_options=MetadataOptions(
            forwarding_namespaces=MetadataOptionsMetadataNamespaces(untyped=[METADATA_NAMESPACE]),
            receiving_namespaces=MetadataOptionsMetadataNamespaces(untyped=["tollgate"]),
        ),
    )
    return http_filter("ext_proc", message)


def _router() -> Router:
    return Router(suppress_envoy_headers=True)


def _access_log(settings: Settings) -> AccessLog:
    """What holds a reservation; and what was left before it had an answer, or got one from Envoy instead of ours: Tollgate may have
    held something for it by then.

    A refusal or a management call has nothing to settle.
    """
    held = MetadataFilter(
        matcher=MetadataMatcher(
            filter=METADATA_NAMESPACE,
            path=[MetadataMatcherPathSegment(key="reservation")],
            value=ValueMatcher(present_match=True),
        ),
        match_if_key_not_found=False,
    )
    no_answer = ComparisonFilter(
        op=ComparisonFilterOp.EQ, value=RuntimeUInt32(default_value=0, runtime_key="tollgate.unanswered")
    )
    refused_by_envoy = ComparisonFilter(
        op=ComparisonFilterOp.GE, value=RuntimeUInt32(default_value=500, runtime_key="tollgate.failed")
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
            **(_OFTEN if _is_native(settings) else _SELDOM),
        ),
        additional_request_headers_to_log=[STREAM_HEADER],
        additional_response_headers_to_log=native.logged_headers(api_table()) if _is_native(settings) else [],
    )
    return AccessLog(
        name="envoy.access_loggers.http_grpc",
        filter=AccessLogFilter(or_filter=OrFilter(filters=either)),
        typed_config=AnyMessage.pack(config),
    )
