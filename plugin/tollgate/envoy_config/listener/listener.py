"""Build Envoy's listener and its HTTP connection manager."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Http1ProtocolOptions,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerHcmAccessLogOptions,
    HttpConnectionManagerServerHeaderTransformation,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from tollgate.core.envoy_contract import HEADER_PREFIX
from tollgate.envoy_config.clusters import bounds
from tollgate.envoy_config.http_filters import native_usage as native
from tollgate.envoy_config.http_filters.filters import http_filters, router
from tollgate.envoy_config.http_filters.switched import is_native
from tollgate.envoy_config.listener.access_logging import access_log
from tollgate.envoy_config.listener.certificates import transport_socket
from tollgate.envoy_config.listener.local_replies import local_reply_config
from tollgate.envoy_config.listener.route_table import ROUTES, route_configuration
from tollgate.envoy_config.literals import Json, config_source, unshared
from tollgate.envoy_config.typed_messages import envoy_address, extension, packed, plain
from tollgate.settings import Settings
from tollgate.topology import Discovery, Topology, encoded_form


def listener(settings: Settings, topology: Topology) -> Json:
    """Return the gateway's listener."""
    manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": connection_manager(settings, topology.discovery),
    }
    socket = transport_socket(settings.tollgate, topology.discovery)
    return {
        "name": bounds.LISTENER,
        "address": plain(envoy_address(topology.listen)),
        "per_connection_buffer_limit_bytes": bounds.CONNECTION_BUFFER_BYTES,
        # With port reuse, a second gateway could listen on the same port and get half of the
        # requests.
        "enable_reuse_port": False,
        # A few connections carry many calls. Without balancing, one socket gives each to whichever
        # thread is awake: all 32 of a run went to one of two threads.
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [{"filters": [manager], **socket}],
    }


def connection_manager(settings: Settings, discovery: Discovery | None = None) -> Json:
    """Return the HTTP connection manager, which a platform team puts into its own listener.

    `discovery`: where its routes are; None means in it.
    """
    ours = settings.tollgate
    message = HttpConnectionManager(
        stat_prefix="tollgate",
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        server_header_transformation=HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        # HTTP/1.0 allows requests without a Host, which routes need.
        http_protocol_options=Http1ProtocolOptions(
            accept_http_10=True, default_host_for_http_10="tollgate"
        ),
        http2_protocol_options=bounds.http2(ours),
        common_http_protocol_options=bounds.connections(ours),
        request_headers_timeout=timedelta(seconds=ours.request_headers_timeout_seconds),
        request_timeout=timedelta(seconds=ours.request_timeout_seconds),
        stream_idle_timeout=timedelta(seconds=ours.upstream_timeout_seconds),
        early_header_mutation_extensions=[early_mutations()],
        access_log=[access_log(settings)],
        # A running call is reported twice before its lease runs out.
        access_log_options=HttpConnectionManagerHcmAccessLogOptions(
            access_log_flush_interval=timedelta(seconds=ours.lease_seconds / 3)
        ),
    )
    return packed(
        message,
        local_reply_config=local_replies(settings),
        http_filters=[*http_filters(settings), router()],
        **_routes(settings, discovery),
    )


def _routes(settings: Settings, discovery: Discovery | None) -> Json:
    if discovery is None:
        return {"route_config": unshared(route_configuration(settings))}
    source = config_source(discovery, encoded_form(discovery.routes))
    return {"rds": {"route_config_name": ROUTES, "config_source": source}}


def local_replies(settings: Settings) -> Json:
    """Return the wording of Envoy's own answers."""
    config = local_reply_config()
    first = native.refusals_put_right() if is_native(settings) else []
    return config | {"mappers": [*first, *config["mappers"]]}


def early_mutations() -> TypedExtensionConfig:
    """Remove Tollgate's headers from a client's request before any filter or route sees them.

    Routes are chosen by such a header.
    """
    ours = HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix=HEADER_PREFIX))
    message = EarlyHeaderMutation(mutations=[HeaderMutation(remove_on_match=ours)])
    return extension("envoy.http.early_header_mutation.header_mutation", message)
