"""Build Envoy's configuration from the settings.

Renders dictionaries; starts nothing, and reads no file except the Lua scripts.
"""

from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.envoy_config.clusters.clusters import clusters
from tollgate.envoy_config.listener.listener import connection_manager
from tollgate.topology import DEFAULT_TRUST_BUNDLE, Address, Topology

__all__ = [
    "DEFAULT_TRUST_BUNDLE",
    "Address",
    "Topology",
    "bootstrap",
    "clusters",
    "connection_manager",
]
