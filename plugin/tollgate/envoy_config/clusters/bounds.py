"""Bound what anybody who reaches the port can take: connections, streams, time, memory.

Follows Envoy's advice for edge proxies
(https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/best_practices/edge).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from envoy_data_plane.envoy.config.core.v3 import Http2ProtocolOptions, HttpProtocolOptions

from tollgate.settings.edge_settings import EdgeSettings

Json = dict[str, Any]

LISTENER: Final = "tollgate"
"""The listener's name, by which its connections are bounded."""
CONNECTION_BUFFER_BYTES: Final = 32 * 1024
"""Bytes that Envoy reads ahead for a client. A filter that needs a whole body
holds it separately.
"""

_STREAM_WINDOW_BYTES = 256 * 1024
_CONNECTION_WINDOW_BYTES = 1024 * 1024
_HEAP = "envoy.resource_monitors.fixed_heap"
_HEAP_CONFIG = (
    "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"
)
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_CONNECTIONS_CONFIG = (
    "type.googleapis.com/envoy.extensions.resource_monitors"
    ".downstream_connections.v3.DownstreamConnectionsConfig"
)
# By the share of memory in use: first what nobody notices, last what everybody does.
_ACTIONS = (
    ("shrink_heap", 0.8),
    ("disable_http_keepalive", 0.85),
    ("stop_accepting_requests", 0.9),
    ("stop_accepting_connections", 0.95),
)
# The HTTP/2 streams that hold most are reset first, and more of them the less memory is left.
# HTTP/1.1 has no such means.
_RESET_FROM, _RESET_ALL = 0.9, 0.98
# Streams that hold less than this (a power of two) are not considered.
_TRACKED_POWER = 20


def http2(ours: EdgeSettings) -> Http2ProtocolOptions:
    """Return the bounds of one HTTP/2 connection; Envoy's own flood protection is on by default."""
    return Http2ProtocolOptions(
        max_concurrent_streams=ours.max_streams_per_connection,
        initial_stream_window_size=_STREAM_WINDOW_BYTES,
        initial_connection_window_size=_CONNECTION_WINDOW_BYTES,
    )


def connections(ours: EdgeSettings) -> HttpProtocolOptions:
    """Return how long an idle connection may stay open."""
    return HttpProtocolOptions(idle_timeout=timedelta(seconds=ours.client_idle_timeout_seconds))


def runtime(ours: EdgeSettings) -> Json:
    """Return runtime values: the number of connections of the listener."""
    return {f"envoy.resource_limits.listener.{LISTENER}.connection_limit": ours.max_connections}


def overload_manager(ours: EdgeSettings) -> Json:
    """Return what Envoy sheds, step by step, as memory or connections run out."""
    heap = {"@type": _HEAP_CONFIG, "max_heap_size_bytes": ours.envoy_memory_mib * 1024 * 1024}
    clients = {
        "@type": _CONNECTIONS_CONFIG,
        "max_active_downstream_connections": ours.max_connections,
    }
    reset = {"scaling_threshold": _RESET_FROM, "saturation_threshold": _RESET_ALL}
    return {
        "refresh_interval": "0.1s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": _TRACKED_POWER},
        "resource_monitors": [
            {"name": _HEAP, "typed_config": heap},
            {"name": _CONNECTIONS, "typed_config": clients},
        ],
        "actions": [
            *(_action(name, {"threshold": {"value": share}}) for name, share in _ACTIONS),
            _action("reset_high_memory_stream", {"scaled": reset}),
        ],
    }


def _action(name: str, when: Json) -> Json:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, **when}]}
