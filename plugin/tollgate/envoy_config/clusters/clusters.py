"""Build Envoy's clusters: the workers, the admin server, and one per deployment.

A deployment's cluster adds the provider's credential itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
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
    TransportSocket,
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
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    GenericSecret,
    Secret,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsAutoHttpConfig,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.core.envoy_contract import HEALTH_REQUEST, HEALTH_RESPONSE
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import PROBE_HOST
from tollgate.envoy_config.clusters.bounds import PROVIDER_BUFFER_BYTES
from tollgate.envoy_config.clusters.failover import chain
from tollgate.envoy_config.clusters.upstream import (
    Origin,
    cluster_name,
    credential_filters,
    rewriting,
)
from tollgate.envoy_config.http_filters.native_usage import AUTHZ_CLUSTER
from tollgate.envoy_config.http_filters.reply_headers import reply_headers
from tollgate.envoy_config.typed_messages import (
    ADMIN_CLUSTER,
    TOLLGATE_CLUSTER,
    Json,
    envoy_address,
    http_filter_message,
    plain,
)
from tollgate.settings import MOCK_HOST, Settings
from tollgate.topology import Address, Topology

# Envoy's defaults are 1024 of each and 3 retries, but each LLM call in flight holds one request and
# one ext_proc stream for its whole duration.
_NO_BREAKER = CircuitBreakers(
    thresholds=[
        CircuitBreakersThresholds(
            max_connections=1_000_000,
            max_pending_requests=1_000_000,
            max_requests=1_000_000,
            max_retries=1_000_000,
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
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Providers and their load balancers close idle connections after a minute or more. Ours must close
# first, because a request that meets the other side's close fails.
_PROVIDER_IDLE = timedelta(seconds=50)
_AUTHZ_HEAD_KIB = 1024
# uvicorn closes after 5 seconds.
_ADMIN_IDLE = timedelta(seconds=4)


def clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Return every cluster that routes and filters refer to."""
    return [*own_clusters(settings, topology), *provider_clusters(settings, topology)]


def own_clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Return the clusters of Tollgate's own processes.

    Always static: Envoy's gRPC access log takes no other cluster.
    """
    asked = [_authz(topology)] if settings.tollgate.mode == "native" else []
    return [plain(each) for each in (_workers(topology), *asked, _admin(topology))]


def provider_clusters(settings: Settings, topology: Topology) -> list[Json]:
    """The clusters of the deployments, in the file's order."""
    return [plain(_provider(settings, topology, each)) for each in settings.routed]


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
            _HTTP_OPTIONS: AnyMessage.pack(
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
            _HTTP_OPTIONS: AnyMessage.pack(
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
            _HTTP_OPTIONS: AnyMessage.pack(
                HttpProtocolOptions(
                    common_http_protocol_options=CommonHttpOptions(idle_timeout=_ADMIN_IDLE),
                    explicit_http_config=_HTTP1,
                )
            )
        },
        load_assignment=_endpoints(ADMIN_CLUSTER, topology.admin),
    )


_HTTP1 = HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions())


def _dns(*, all_addresses_in_single_endpoint: bool) -> ClusterCustomClusterType:
    """Return how to look a name up.

    One endpoint for all addresses suits large providers: each answer names other addresses, and
    connections to earlier ones are kept.
    """
    message = DnsCluster(
        respect_dns_ttl=True,
        # Both families are tried in parallel: machines without IPv6 get AAAA records too.
        dns_lookup_family=DnsLookupFamily.ALL,
        all_addresses_in_single_endpoint=all_addresses_in_single_endpoint,
    )
    return ClusterCustomClusterType(name="envoy.cluster.dns", typed_config=AnyMessage.pack(message))


def _provider(settings: Settings, topology: Topology, deployment: Deployment) -> Cluster:
    name, origin = cluster_name(deployment), Origin.of(deployment.api_base)
    address = Address(host=origin.host, port=origin.port)
    signed = deployment.provider == "bedrock"
    files = topology.discovery.secrets if topology.discovery is not None else {}
    if origin.host == MOCK_HOST and topology.mock is not None:
        address = topology.mock
    ours = origin.host == PROBE_HOST
    if ours:
        address = topology.admin
    options = HttpProtocolOptions(
        common_http_protocol_options=CommonHttpOptions(
            idle_timeout=_ADMIN_IDLE if ours else _PROVIDER_IDLE
        ),
        http_filters=[
            *([rewriting(deployment)] if len(chain(settings, deployment)) > 1 else []),
            *credential_filters(deployment, settings.credentials.get(deployment.id), files),
            reply_headers(deployment),
            http_filter_message("upstream_codec", UpstreamCodec()),
        ],
    )
    if origin.tls:
        options.auto_config = HttpProtocolOptionsAutoHttpConfig()
    else:
        options.explicit_http_config = _HTTP1
    cluster = Cluster(
        name=name,
        connect_timeout=timedelta(seconds=5),
        # Signing needs the whole request in memory.
        per_connection_buffer_limit_bytes=settings.tollgate.max_request_bytes
        if signed
        else PROVIDER_BUFFER_BYTES,
        circuit_breakers=_NO_BREAKER,
        transport_socket=_tls(origin, topology.trust_bundle) if origin.tls else None,
        typed_extension_protocol_options={_HTTP_OPTIONS: AnyMessage.pack(options)},
        load_assignment=_endpoints(name, address),
    )
    if _needs_no_look_up(address):
        cluster.type = ClusterDiscoveryType.STATIC
    else:
        cluster.cluster_type = _dns(all_addresses_in_single_endpoint=True)
    return cluster


def _located(addresses: Sequence[Address]) -> dict[str, Any]:
    """Return how a cluster of ours is located: at addresses, or by names that DNS
    resolves to servers.
    """
    if all(map(_needs_no_look_up, addresses)):
        return {"type": ClusterDiscoveryType.STATIC}
    return {"cluster_type": _dns(all_addresses_in_single_endpoint=False)}


def _needs_no_look_up(address: Address) -> bool:
    return bool(address.path) or _is_number(address.host)


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _tls(origin: Origin, trust_bundle: str) -> TransportSocket:
    """Return TLS that requires a certificate for the host of api_base.

    A bare address has no server name to request (RFC 6066).
    """
    number = _is_number(origin.host)
    san_type = (
        SubjectAltNameMatcherSanType.IP_ADDRESS if number else SubjectAltNameMatcherSanType.DNS
    )
    names = SubjectAltNameMatcher(san_type=san_type, matcher=StringMatcher(exact=origin.host))
    context = UpstreamTlsContext(
        sni="" if number else origin.host,
        common_tls_context=CommonTlsContext(
            validation_context=CertificateValidationContext(
                trusted_ca=DataSource(filename=trust_bundle), match_typed_subject_alt_names=[names]
            )
        ),
    )
    return TransportSocket(
        name="envoy.transport_sockets.tls", typed_config=AnyMessage.pack(context)
    )


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
    if not all(map(_needs_no_look_up, addresses)):
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
