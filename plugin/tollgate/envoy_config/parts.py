"""Select the part of Envoy's configuration that `tollgate envoy-config` prints."""

from __future__ import annotations

from collections.abc import Callable

from tollgate.envoy_config.bootstrap import bootstrap, bounds_of
from tollgate.envoy_config.clusters.clusters import static_clusters, static_secrets
from tollgate.envoy_config.http_filters.filters import http_filters
from tollgate.envoy_config.listener.access_logging import access_log
from tollgate.envoy_config.listener.listener import (
    connection_manager,
    early_mutations,
    listener,
    local_replies,
)
from tollgate.envoy_config.listener.route_table import virtual_host
from tollgate.envoy_config.literals import unshared
from tollgate.envoy_config.typed_messages import plain
from tollgate.settings import Settings
from tollgate.topology import ConfigPart, Topology, beside_serve

_MAKERS: dict[ConfigPart, Callable[[Settings, Topology], object]] = {
    ConfigPart.BOOTSTRAP: bootstrap,
    ConfigPart.LISTENER: listener,
    ConfigPart.CONNECTION_MANAGER: lambda settings, topology: connection_manager(
        settings, topology.discovery
    ),
    ConfigPart.FILTERS: lambda settings, _: http_filters(settings),
    ConfigPart.VIRTUAL_HOST: lambda settings, _: unshared(virtual_host(settings)),
    ConfigPart.CLUSTERS: static_clusters,
    ConfigPart.SECRETS: static_secrets,
    ConfigPart.ACCESS_LOG: lambda settings, _: [plain(access_log(settings))],
    ConfigPart.LOCAL_REPLIES: lambda settings, _: local_replies(settings),
    ConfigPart.EARLY_MUTATIONS: lambda *_: [plain(early_mutations())],
    ConfigPart.BOUNDS: lambda settings, _: bounds_of(settings),
}


def part(what: ConfigPart, settings: Settings) -> object:
    """Return one part, as Envoy reads it. Raises SettingsError for an invalid
    address in the settings.
    """
    return _MAKERS[what](settings, beside_serve(settings.tollgate))
