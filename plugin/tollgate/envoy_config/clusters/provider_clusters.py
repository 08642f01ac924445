"""Build the deployments' clusters. Each adds its provider's credential itself."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import PROBE_HOST
from tollgate.envoy_config.clusters.failover import chains
from tollgate.envoy_config.clusters.upstream import (
    Origin,
    cluster_name,
    credential_filters,
    rewriting,
)
from tollgate.envoy_config.http_filters.reply_headers import reply_headers
from tollgate.envoy_config.literals import Json, endpoint_address, filter_literal, typed
from tollgate.settings import MOCK_HOST, Settings
from tollgate.topology import Address, Topology

HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PROVIDER_BUFFER_BYTES: Final = 128 * 1024
"""Bytes that Envoy reads ahead from a provider for a slow client; Envoy's default is 1 MiB."""
ADMIN_IDLE_SECONDS: Final = 4
"""uvicorn closes connections of the management server after 5 seconds."""
UNBOUNDED: Final = 1_000_000
"""What circuit breakers allow of everything. Envoy's defaults are 1024 of each and 3 retries, but
each LLM call in flight holds one request and one ext_proc stream for its whole duration.
"""

_NO_BREAKER = {
    "thresholds": [
        {
            "max_connections": UNBOUNDED,
            "max_pending_requests": UNBOUNDED,
            "max_requests": UNBOUNDED,
            "max_retries": UNBOUNDED,
        }
    ]
}
_CONNECT_TIMEOUT = "5s"
# Providers and their load balancers close idle connections after a minute or more. Ours must close
# first, because a request that meets the other side's close fails.
_IDLE = "50s"
# One endpoint for all addresses suits large providers: each answer names other addresses, and
# connections to earlier ones are kept.
DNS = {
    "name": "envoy.cluster.dns",
    "typed_config": typed(
        "envoy.extensions.clusters.dns.v3.DnsCluster",
        respect_dns_ttl=True,
        # Both families are tried in parallel: machines without IPv6 get AAAA records too.
        dns_lookup_family="ALL",
        all_addresses_in_single_endpoint=True,
    ),
}
_CODEC = filter_literal("upstream_codec", "UpstreamCodec")


def provider_clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Return the clusters of the deployments, in the file's order."""
    alone = {each.id for each, *others in chains(settings) if not others}
    return [
        _cluster(settings, topology, each, rewrites=each.id not in alone)
        for each in settings.routed
    ]


def needs_no_look_up(address: Address) -> bool:
    """Return whether an address is no name that DNS resolves."""
    return bool(address.path) or _is_number(address.host)


def _cluster(
    settings: Settings, topology: Topology, deployment: Deployment, *, rewrites: bool
) -> Json:
    """Return one cluster. `rewrites`: it writes path and Host, since others may take over."""
    name, origin = cluster_name(deployment), Origin.of(deployment.api_base)
    address = Address(host=origin.host, port=origin.port)
    if origin.host == MOCK_HOST and topology.mock is not None:
        address = topology.mock
    probed = origin.host == PROBE_HOST
    if probed:
        address = topology.admin
    idle = f"{ADMIN_IDLE_SECONDS}s" if probed else _IDLE
    options = typed(
        HTTP_OPTIONS,
        common_http_protocol_options={"idle_timeout": idle},
        http_filters=[
            *([rewriting(deployment)] if rewrites else []),
            *credential_filters(
                deployment, settings.credentials.get(deployment.id), topology.discovery
            ),
            reply_headers(deployment.provider),
            _CODEC,
        ],
    )
    if origin.tls:
        options["auto_config"] = {}
    else:
        options["explicit_http_config"] = {"http_protocol_options": {}}
    # Signing needs the whole request in memory.
    signed = deployment.provider == "bedrock"
    member = {"endpoint": {"address": endpoint_address(address)}}
    return {
        "name": name,
        **({"type": "STATIC"} if needs_no_look_up(address) else {"cluster_type": DNS}),
        "connect_timeout": _CONNECT_TIMEOUT,
        "per_connection_buffer_limit_bytes": settings.tollgate.max_request_bytes
        if signed
        else PROVIDER_BUFFER_BYTES,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [member]}]},
        "circuit_breakers": _NO_BREAKER,
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
        **({"transport_socket": upstream_tls(origin, topology.trust_bundle)} if origin.tls else {}),
    }


def upstream_tls(origin: Origin, trust_bundle: str) -> Json:
    """Return TLS that requires a certificate for the host of api_base.

    A bare address has no server name to request (RFC 6066).
    """
    number = _is_number(origin.host)
    names = {
        "san_type": "IP_ADDRESS" if number else "DNS",
        "matcher": {"exact": origin.host},
    }
    context = typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context={
            "validation_context": {
                "trusted_ca": {"filename": trust_bundle},
                "match_typed_subject_alt_names": [names],
            }
        },
    )
    named = {} if number else {"sni": origin.host}
    return {"name": "envoy.transport_sockets.tls", "typed_config": {**context, **named}}


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
