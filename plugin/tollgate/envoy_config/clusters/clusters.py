"""Build Envoy's clusters of Tollgate's own processes, and the secrets of the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCustomClusterType,
    ClusterDiscoveryType,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    HealthCheckPayload,
    HealthCheckTcpHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    KeepaliveSettings,
)
from envoy_data_plane.envoy.config.core.v3 import HttpProtocolOptions as CommonHttpOptions
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    EndpointHealthCheckConfig,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.clusters.common.dns.v3 import DnsLookupFamily
from envoy_data_plane.envoy.extensions.clusters.dns.v3 import DnsCluster
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    GenericSecret,
    Secret,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.core.envoy_contract import HEALTH_REQUEST, HEALTH_RESPONSE
from tollgate.envoy_config.clusters.jwks_clusters import jwks_clusters
from tollgate.envoy_config.clusters.provider_clusters import (
    ADMIN_IDLE_SECONDS,
    HTTP_OPTIONS,
    UNBOUNDED,
    needs_no_look_up,
    provider_clusters,
)
from tollgate.envoy_config.http_filters.native_usage import AUTHZ_CLUSTER
from tollgate.envoy_config.literals import ADMIN_CLUSTER, TOLLGATE_CLUSTER, Json, unshared
from tollgate.envoy_config.typed_messages import envoy_address, plain
from tollgate.settings import Settings
from tollgate.topology import Address, Topology

_NO_BREAKER = CircuitBreakers(
    thresholds=[
        CircuitBreakersThresholds(
            max_connections=UNBOUNDED,
            max_pending_requests=UNBOUNDED,
            max_requests=UNBOUNDED,
            max_retries=UNBOUNDED,
        )
    ]
)
# Envoy keeps a connection to each worker and sees at once when its process ends; a process that
# does not listen gets no calls. A worker that is back is found soon, and a hanging one within two
# intervals. A busy worker answers the check before ext_authz times out, or is of no use either.
_CHECKED: dict[str, Any] = {
    "timeout": timedelta(seconds=2),
    "interval": timedelta(seconds=2),
    "no_traffic_interval": timedelta(seconds=1),
    "unhealthy_interval": timedelta(milliseconds=250),
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
}
_LISTENS = HealthCheck(
    **_CHECKED,
    tcp_health_check=HealthCheckTcpHealthCheck(
        send=HealthCheckPayload(text=HEALTH_REQUEST.hex()),
        receive=[HealthCheckPayload(text=HEALTH_RESPONSE.hex())],
    ),
)
_SERVES = HealthCheck(**_CHECKED, grpc_health_check=HealthCheckGrpcHealthCheck())
_AUTHZ_HEAD_KIB = 1024


def clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Return every cluster that routes and filters refer to."""
    return [*own_clusters(settings, topology), *unshared(provider_clusters(settings, topology))]


def static_clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Return the clusters of `static_resources`: without those that Envoy discovers."""
    found = clusters if topology.discovery is None else own_clusters
    return found(settings, topology)


def own_clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Return the clusters of Tollgate's own processes, and those that its filters name.

    Always static: Envoy's gRPC access log takes no other cluster.
    """
    asked = [_authz(topology)] if settings.tollgate.mode == "native" else []
    own = [plain(each) for each in (_workers(topology), *asked, _admin(topology))]
    return [*own, *jwks_clusters(settings, topology)]


def static_secrets(settings: Settings, topology: Topology) -> list[Json]:
    """Return the secrets of `static_resources`: none if Envoy discovers them."""
    return secrets(settings) if topology.discovery is None else []


def secrets(settings: Settings) -> list[Json]:
    """Return the providers' keys as references to Envoy's environment; the file
    itself contains none.
    """
    own = [settings.credentials.get(each.id) for each in settings.deployments]
    variables = sorted({each.variable for each in own if each is not None and not each.aws})
    return [
        plain(
            Secret(
                name=each,
                generic_secret=GenericSecret(secret=DataSource(environment_variable=each)),
            )
        )
        for each in variables
    ]


def _workers(topology: Topology) -> Cluster:
    """Return the workers' cluster, without outlier detection and retries.

    Measured with one of two workers killed: without both, at most 1 request in 230 was lost; with
    them more (4 to 88).
    """
    # The access log's stream has no end of its own: until the connection is given up, whatever
    # Envoy sends to a hanging worker is lost.
    keepalive = KeepaliveSettings(interval=timedelta(seconds=5), timeout=timedelta(seconds=2))
    return Cluster(
        name=TOLLGATE_CLUSTER,
        **_located(topology.workers),
        connect_timeout=timedelta(seconds=1),
        circuit_breakers=_NO_BREAKER,
        typed_extension_protocol_options={
            HTTP_OPTIONS: AnyMessage.pack(
                HttpProtocolOptions(
                    explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                        http2_protocol_options=Http2ProtocolOptions(connection_keepalive=keepalive)
                    )
                )
            )
        },
        load_assignment=_workers_endpoints(TOLLGATE_CLUSTER, topology, topology.workers),
        health_checks=_checks(topology, topology.workers, by_name=_SERVES),
    )


def _authz(topology: Topology) -> Cluster:
    """Return the same workers over HTTP/1.1, for native mode.

    A response contains the whole reservation, so its head may exceed Envoy's default of 60 KiB.
    """
    return Cluster(
        name=AUTHZ_CLUSTER,
        **_located(topology.workers_http),
        connect_timeout=timedelta(seconds=1),
        circuit_breakers=_NO_BREAKER,
        typed_extension_protocol_options={
            HTTP_OPTIONS: AnyMessage.pack(
                HttpProtocolOptions(
                    common_http_protocol_options=CommonHttpOptions(
                        max_response_headers_kb=_AUTHZ_HEAD_KIB
                    ),
                    explicit_http_config=_HTTP1,
                )
            )
        },
        load_assignment=_workers_endpoints(AUTHZ_CLUSTER, topology, topology.workers_http),
        health_checks=_checks(topology, topology.workers_http, by_name=_LISTENS),
    )


def _admin(topology: Topology) -> Cluster:
    return Cluster(
        name=ADMIN_CLUSTER,
        **_located((topology.admin,)),
        connect_timeout=timedelta(seconds=1),
        typed_extension_protocol_options={
            HTTP_OPTIONS: AnyMessage.pack(
                HttpProtocolOptions(
                    common_http_protocol_options=CommonHttpOptions(
                        idle_timeout=timedelta(seconds=ADMIN_IDLE_SECONDS)
                    ),
                    explicit_http_config=_HTTP1,
                )
            )
        },
        load_assignment=_endpoints(ADMIN_CLUSTER, topology.admin),
    )


_HTTP1 = HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions())


def _located(addresses: Sequence[Address]) -> dict[str, Any]:
    """Return how a cluster of ours is located: at addresses, or by names that DNS
    resolves to servers.
    """
    if all(map(needs_no_look_up, addresses)):
        return {"type": ClusterDiscoveryType.STATIC}
    message = DnsCluster(
        respect_dns_ttl=True,
        # Both families are tried in parallel: machines without IPv6 get AAAA records too.
        dns_lookup_family=DnsLookupFamily.ALL,
    )
    dns = ClusterCustomClusterType(name="envoy.cluster.dns", typed_config=AnyMessage.pack(message))
    return {"cluster_type": dns}


def _endpoints(name: str, *addresses: Address) -> ClusterLoadAssignment:
    members = [LbEndpoint(endpoint=Endpoint(address=envoy_address(each))) for each in addresses]
    return ClusterLoadAssignment(
        cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=members)]
    )


def _checks(
    topology: Topology, addresses: Sequence[Address], *, by_name: HealthCheck
) -> list[HealthCheck]:
    """Return health checks of workers, where Envoy chooses among several.

    If all share one address, the kernel chooses. `by_name`: how to check those that a name stands
    for.
    """
    if not all(map(needs_no_look_up, addresses)):
        return [by_name]
    return [_LISTENS] if len(topology.workers) > 1 else []


def _workers_endpoints(
    name: str, topology: Topology, addresses: Sequence[Address]
) -> ClusterLoadAssignment:
    """Return the workers' addresses for one cluster.

    Their health is checked over HTTP/1.1, whatever the cluster speaks.
    """
    found = _endpoints(name, *addresses)
    (locality,) = found.endpoints
    if len(addresses) > 1:
        for member, asked in zip(locality.lb_endpoints, topology.workers_http, strict=True):
            assert member.endpoint is not None
            member.endpoint.health_check_config = EndpointHealthCheckConfig(
                address=envoy_address(asked)
            )
    if topology.stand_ins:
        first = len(addresses) - topology.stand_ins
        found.endpoints.append(
            LocalityLbEndpoints(lb_endpoints=locality.lb_endpoints[first:], priority=1)
        )
        locality.lb_endpoints = locality.lb_endpoints[:first]
    return found
