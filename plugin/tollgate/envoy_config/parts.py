"""Select the part of Envoy's configuration that `tollgate envoy-config` prints."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from tollgate.envoy_config.bootstrap import bootstrap, bounds_of
from tollgate.envoy_config.clusters.clusters import clusters, secrets
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
from tollgate.topology import Address, ConfigPart, Topology

_MAKERS: dict[ConfigPart, Callable[[Settings, Topology], object]] = {
    ConfigPart.BOOTSTRAP: bootstrap,
    ConfigPart.LISTENER: listener,
    ConfigPart.CONNECTION_MANAGER: lambda settings, _: connection_manager(settings),
    ConfigPart.FILTERS: lambda settings, _: http_filters(settings),
    ConfigPart.VIRTUAL_HOST: lambda settings, _: unshared(virtual_host(settings)),
    ConfigPart.CLUSTERS: clusters,
    ConfigPart.SECRETS: lambda settings, _: secrets(settings),
    ConfigPart.ACCESS_LOG: lambda settings, _: [plain(access_log(settings))],
    ConfigPart.LOCAL_REPLIES: lambda settings, _: local_replies(settings),
    ConfigPart.EARLY_MUTATIONS: lambda *_: [plain(early_mutations())],
    ConfigPart.BOUNDS: lambda settings, _: bounds_of(settings),
}


def part(what: ConfigPart, settings: Settings) -> object:
    """Return one part, as Envoy reads it. Raises SettingsError for an invalid
    address in the settings.
    """
    return _MAKERS[what](settings, beside_serve(settings))


def beside_serve(settings: Settings) -> Topology:
    """Return where an Envoy finds `tollgate serve`."""
    ours = settings.tollgate
    return Topology(
        listen=Address(host=ours.host, port=ours.port),
        workers=(_reached(ours.serve_grpc, ours.reach_grpc),),
        admin=_reached(ours.serve_http, ours.reach_http),
        workers_http=(_reached(ours.serve_native, ours.reach_native),),
    )


def _reached(listening: str, reached: str | None) -> Address:
    """Return where Envoy finds a listener: on the same machine, unless the
    settings say otherwise.
    """
    address = Address.parse(reached or listening)
    if address.path or not _is_unspecified(address.host):
        return address
    return Address(host="::1" if ":" in address.host else "127.0.0.1", port=address.port)


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
