"""Envoy's clusters: the workers, the admin server, and one for each deployment, which adds the provider's credential itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCustomClusterType,
    ClusterDiscoveryType,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    KeepaliveSettings,
    TransportSocket,
)
from envoy_data_plane.envoy.config.core.v3 import HttpProtocolOptions as CommonHttpOptions
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.clusters.common.dns.v3 import DnsLookupFamily
from envoy_data_plane.envoy.extensions.clusters.dns.v3 import DnsCluster
from envoy_data_plane.envoy.extensions.filters.http.credential_injector.v3 import CredentialInjector
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.http.injected_credentials.generic.v3 import Generic
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    GenericSecret,
    SdsSecretConfig,
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

from tollgate.core.entities import Deployment
from tollgate.envoy_config.messages import (
    ADMIN_CLUSTER,
    TOLLGATE_CLUSTER,
    Json,
    envoy_address,
    extension,
    http_filter_message,
    plain,
)
from tollgate.envoy_config.topology import Address, Topology
from tollgate.settings import MOCK_HOST, Settings

# Envoy's default is 1024 of each, and each LLM call in flight holds one request and one ext_proc stream for its whole life.
_NO_BREAKER = CircuitBreakers(
    thresholds=[
        CircuitBreakersThresholds(max_connections=1_000_000, max_pending_requests=1_000_000, max_requests=1_000_000)
    ]
)
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_DNS = ClusterCustomClusterType(
    name="envoy.cluster.dns",
    typed_config=AnyMessage.pack(
        DnsCluster(
            respect_dns_ttl=True,
            # Both families are tried side by side: machines without IPv6 get AAAA records too.
            dns_lookup_family=DnsLookupFamily.ALL,
            # Large providers answer each look-up with other addresses; connections to the earlier ones are kept.
            all_addresses_in_single_endpoint=True,
        )
    ),
)
# Providers and their load balancers close idle connections after a minute or more: ours must go first, for a request
# that meets the other side's close fails.
_PROVIDER_IDLE = timedelta(seconds=50)
# uvicorn closes after 5 seconds.
_ADMIN_IDLE = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class CredentialForm:
    """Where a provider wants its key."""

    header: str = "authorization"
    prefix: str = "Bearer "


_CREDENTIAL_FORMS = {"anthropic": CredentialForm("x-api-key", "")}


@dataclass(frozen=True, slots=True)
class Origin:
    """What of an api_base names the server. `authority` leaves the scheme's own port out, as clients do."""

    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, api_base: str) -> Origin:
        """Read an http or https address."""
        parts = urlsplit(api_base)
        tls = parts.scheme == "https"
        return cls(tls, parts.hostname or "", parts.port or (443 if tls else 80))

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def cluster_name(deployment: Deployment) -> str:
    """The cluster of a deployment."""
    return f"deployment/{deployment.id}"


def clusters(settings: Settings, topology: Topology) -> list[Json]:
    """Every cluster that the routes and the filters name."""
    providers = [_provider(settings, topology, deployment) for deployment in settings.deployments]
    return [plain(each) for each in (_workers(topology), _admin(topology), *providers)]


def secrets(settings: Settings) -> list[Json]:
    """The providers' keys, as references to Envoy's own environment: the configuration holds none."""
    variables = sorted({credential.variable for credential in settings.credentials.values()})
    return [
        plain(Secret(name=each, generic_secret=GenericSecret(secret=DataSource(environment_variable=each))))
        for each in variables
    ]


def _workers(topology: Topology) -> Cluster:
    """No outlier detection and no retries: with one of two workers killed, neither lost at most 1 request in 230; both lost more (4 to 88)."""
    keepalive = KeepaliveSettings(interval=timedelta(seconds=30), timeout=timedelta(seconds=5))
    return Cluster(
        name=TOLLGATE_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
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
        load_assignment=_endpoints(TOLLGATE_CLUSTER, *topology.workers),
    )


def _admin(topology: Topology) -> Cluster:
    return Cluster(
        name=ADMIN_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
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


def _provider(settings: Settings, topology: Topology, deployment: Deployment) -> Cluster:
    name, origin = cluster_name(deployment), Origin.of(deployment.api_base)
    address = Address(host=origin.host, port=origin.port)
    if origin.host == MOCK_HOST and topology.mock is not None:
        address = topology.mock
    options = HttpProtocolOptions(
        common_http_protocol_options=CommonHttpOptions(idle_timeout=_PROVIDER_IDLE),
        http_filters=[*_injector(settings, deployment), http_filter_message("upstream_codec", UpstreamCodec())],
    )
    if origin.tls:
        options.auto_config = HttpProtocolOptionsAutoHttpConfig()
    else:
        options.explicit_http_config = _HTTP1
    cluster = Cluster(
        name=name,
        connect_timeout=timedelta(seconds=5),
        circuit_breakers=_NO_BREAKER,
        transport_socket=_tls(origin, topology.trust_bundle) if origin.tls else None,
        typed_extension_protocol_options={_HTTP_OPTIONS: AnyMessage.pack(options)},
        load_assignment=_endpoints(name, address),
    )
    if _needs_no_look_up(address):
        cluster.type = ClusterDiscoveryType.STATIC
    else:
        cluster.cluster_type = _DNS
    return cluster


def _needs_no_look_up(address: Address) -> bool:
    return bool(address.path) or _is_number(address.host)


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _injector(settings: Settings, deployment: Deployment) -> list[HttpFilter]:
    """The provider's key is added in the cluster: no filter before the router sees it, and it follows the choice of cluster."""
    credential = settings.credentials.get(deployment.id)
    if credential is None:
        return []
    form = _CREDENTIAL_FORMS.get(deployment.provider, CredentialForm())
    generic = Generic(
        credential=SdsSecretConfig(name=credential.variable), header=form.header, header_value_prefix=form.prefix
    )
    return [
        http_filter_message(
            "credential_injector",
            CredentialInjector(
                overwrite=True, credential=extension("envoy.http.injected_credentials.generic", generic)
            ),
        )
    ]


def _tls(origin: Origin, trust_bundle: str) -> TransportSocket:
    """The provider must show a certificate for the host of its api_base. A bare address has no server name to ask for (RFC 6066)."""
    number = _is_number(origin.host)
    san_type = SubjectAltNameMatcherSanType.IP_ADDRESS if number else SubjectAltNameMatcherSanType.DNS
    names = SubjectAltNameMatcher(san_type=san_type, matcher=StringMatcher(exact=origin.host))
    context = UpstreamTlsContext(
        sni="" if number else origin.host,
        common_tls_context=CommonTlsContext(
            validation_context=CertificateValidationContext(
                trusted_ca=DataSource(filename=trust_bundle), match_typed_subject_alt_names=[names]
            )
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=AnyMessage.pack(context))


def _endpoints(name: str, *addresses: Address) -> ClusterLoadAssignment:
    members = [LbEndpoint(endpoint=Endpoint(address=envoy_address(each))) for each in addresses]
    return ClusterLoadAssignment(cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=members)])
