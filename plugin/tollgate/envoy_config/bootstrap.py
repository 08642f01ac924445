"""Build Envoy's whole bootstrap file."""

from __future__ import annotations

from tollgate.envoy_config.clusters import bounds
from tollgate.envoy_config.clusters.clusters import static_clusters, static_secrets
from tollgate.envoy_config.http_filters.inflating import UNBOUNDED
from tollgate.envoy_config.listener.listener import listener
from tollgate.envoy_config.literals import TOLLGATE_CLUSTER, Json, config_source
from tollgate.envoy_config.typed_messages import envoy_address, plain
from tollgate.settings import Settings
from tollgate.topology import Discovery, Topology, encoded_form

GRACEFUL_CLOSE = {"envoy.reloadable_features.ext_proc_graceful_grpc_close": True}
"""Without it a Python server sees a normal end of an ext_proc stream as a cancellation (Envoy issue
38661).
"""
_RUNTIME = GRACEFUL_CLOSE | UNBOUNDED


def bounds_of(settings: Settings) -> Json:
    """Return process-wide settings: the runtime, and the reaction to memory or connections running
    out.
    """
    values = _RUNTIME | bounds.runtime(settings.tollgate)
    return {
        "layered_runtime": {"layers": [{"name": "tollgate", "static_layer": values}]},
        "overload_manager": bounds.overload_manager(settings.tollgate),
    }


def _ads(discovery: Discovery) -> Json:
    """Return where Envoy's one stream of discovery leads; nothing if it watches files."""
    if not discovery.by_ads:
        return {}
    return {
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": TOLLGATE_CLUSTER}}],
            "set_node_on_first_message_only": True,
        }
    }


def bootstrap(settings: Settings, topology: Topology) -> Json:
    """Return what `envoy -c` takes."""
    document: Json = {
        "node": {"id": "tollgate", "cluster": "tollgate"},
        **bounds_of(settings),
        "static_resources": {
            "secrets": static_secrets(settings, topology),
            "listeners": [listener(settings, topology)],
            "clusters": static_clusters(settings, topology),
        },
    }
    if topology.discovery is not None:
        source = config_source(topology.discovery, encoded_form(topology.discovery.clusters))
        document["dynamic_resources"] = {"cds_config": source, **_ads(topology.discovery)}
    if topology.envoy_admin is not None:
        # The operator must reach Envoy however many clients there are.
        document["admin"] = {
            "address": plain(envoy_address(topology.envoy_admin)),
            "ignore_global_conn_limit": True,
        }
    return document
