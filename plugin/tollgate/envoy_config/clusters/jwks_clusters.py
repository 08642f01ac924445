"""Build the clusters from which Envoy fetches the public keys of tokens' issuers."""

from __future__ import annotations

from tollgate.envoy_config.clusters.provider_clusters import (
    DNS,
    needs_no_look_up,
    upstream_tls,
)
from tollgate.envoy_config.clusters.upstream import Origin
from tollgate.envoy_config.http_filters.verifying import jwks_cluster_name
from tollgate.envoy_config.literals import Json, endpoint_address
from tollgate.settings import Settings
from tollgate.topology import Address, Topology


def jwks_clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Return one cluster for each server that has public keys."""
    identity = settings.tollgate.identity
    issuers = () if identity is None else identity.jwt
    urls = {jwks_cluster_name(each.jwks_url): each.jwks_url for each in issuers if each.jwks_url}
    return [_cluster(name, Origin.of(url), topology) for name, url in urls.items()]


def _cluster(name: str, origin: Origin, topology: Topology) -> Json:
    address = Address(host=origin.host, port=origin.port)
    member = {"endpoint": {"address": endpoint_address(address)}}
    tls = {"transport_socket": upstream_tls(origin, topology.trust_bundle)} if origin.tls else {}
    return {
        "name": name,
        **({"type": "STATIC"} if needs_no_look_up(address) else {"cluster_type": DNS}),
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [member]}]},
        **tls,
    }
