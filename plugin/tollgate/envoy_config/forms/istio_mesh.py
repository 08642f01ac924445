"""Build objects for Istio's gateways: its own APIs where it has one, EnvoyFilter for the rest.

https://istio.io/latest/docs/reference/config/. Admission is an AuthorizationPolicy and the access
log a Telemetry, with providers of the mesh configuration. ext_proc, Lua, credentials and routes
have no API of their own; an EnvoyFilter adds them as the plain configuration has them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.core.envoy_contract import AUTHZ_FILTER, KEY_CHECK_FILTER, STREAM_HEADER
from tollgate.envoy_config.clusters.clusters import clusters, secrets
from tollgate.envoy_config.forms.kubernetes_objects import (
    LOGGED,
    NAME,
    Object,
    Place,
    made,
    ports,
)
from tollgate.envoy_config.http_filters.filters import http_filters
from tollgate.envoy_config.listener.listener import early_mutations, local_replies
from tollgate.envoy_config.listener.route_table import (
    MANAGEMENT_PATHS,
    MANAGEMENT_PREFIXES,
    MANAGEMENT_READS,
    virtual_host,
)
from tollgate.envoy_config.typed_messages import decision_timeout, plain
from tollgate.settings import Settings
from tollgate.topology import Address, Topology

_LOG = f"{NAME}-log"
_GATEWAYS = Place("", "istio-system")
_LABELS = {"istio": "ingressgateway"}
_MANAGER = "envoy.filters.network.http_connection_manager"
_MANAGER_TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
# Istio has its own ext_authz; a key check of long bodies would be a second one.
_ITS_OWN = (AUTHZ_FILTER, KEY_CHECK_FILTER)
_READS, _WRITES = ["GET", "HEAD"], ["POST", "PUT", "PATCH", "DELETE"]


def mesh_config(settings: Settings, place: Place) -> Object:
    """Return what belongs into Istio's mesh configuration, as values of its Helm chart."""
    grpc_port, _ = ports(settings)
    service = {"service": _host(place), "port": grpc_port}
    ours = settings.tollgate
    admission = {
        **service,
        "timeout": f"{decision_timeout(ours).total_seconds():g}s",
        "failOpen": False,
        "statusOnError": "503",
        "clearRouteCache": True,
        "includeRequestBodyInCheck": {
            "maxRequestBytes": ours.max_request_bytes,
            "allowPartialMessage": False,
            "packAsBytes": True,
        },
    }
    log = {**service, "logName": NAME, "additionalRequestHeadersToLog": [STREAM_HEADER]}
    providers = [
        {"name": NAME, "envoyExtAuthzGrpc": admission},
        {"name": _LOG, "envoyHttpAls": log},
    ]
    return {"meshConfig": {"extensionProviders": providers}}


def objects(settings: Settings, place: Place) -> Iterator[Object]:
    """Yield everything beside Tollgate's own pods. Raises SettingsError."""
    server = {
        "port": {"number": 80, "name": "http", "protocol": "HTTP"},
        "hosts": [place.domain],
    }
    spec = {"selector": dict(_LABELS), "servers": [server]}
    yield made("networking.istio.io/v1", "Gateway", NAME, _GATEWAYS, spec)
    yield _admission(place)
    logging = {"providers": [{"name": _LOG}], "filter": {"expression": LOGGED}}
    spec = {"selector": {"matchLabels": dict(_LABELS)}, "accessLogging": [logging]}
    yield made("telemetry.istio.io/v1", "Telemetry", NAME, _GATEWAYS, spec)
    spec = {
        "workloadSelector": {"labels": dict(_LABELS)},
        "configPatches": list(_patches(settings, place)),
    }
    yield made("networking.istio.io/v1alpha3", "EnvoyFilter", NAME, _GATEWAYS, spec)


def _host(place: Place) -> str:
    return f"{NAME}.{place.namespace}.svc.cluster.local"


def _admission(place: Place) -> Object:
    """Return who is asked about calls; the management API checks keys itself."""
    managed = [*(f"{each}*" for each in MANAGEMENT_PREFIXES), *MANAGEMENT_PATHS]
    hosts = [place.domain, f"{place.domain}:*"]
    reads = [each for path in MANAGEMENT_READS for each in (path, f"{path}/*")]
    rules = [
        {"to": [{"operation": {"hosts": hosts, "methods": methods, "notPaths": paths}}]}
        for methods, paths in ((_WRITES, managed), (_READS, [*managed, *reads]))
    ]
    spec = {
        "selector": {"matchLabels": dict(_LABELS)},
        "action": "CUSTOM",
        "provider": {"name": NAME},
        "rules": rules,
    }
    return made("security.istio.io/v1", "AuthorizationPolicy", NAME, _GATEWAYS, spec)


def _patches(settings: Settings, place: Place) -> Iterator[Object]:
    """Yield the filters, routes and clusters of the plain configuration."""
    grpc_port, http_port = ports(settings)
    topology = Topology(
        listen=Address(host="0.0.0.0", port=80),
        workers=(Address(host=_host(place), port=grpc_port),),
        admin=Address(host=_host(place), port=http_port),
    )
    resources = {"static_resources": {"secrets": secrets(settings)}}
    yield {"applyTo": "BOOTSTRAP", "patch": {"operation": "MERGE", "value": resources}}
    for each in clusters(settings, topology):
        yield _patch("CLUSTER", {}, "ADD", each)
    for each in http_filters(settings):
        if each["name"] not in _ITS_OWN:
            yield _patch("HTTP_FILTER", _before_router(), "INSERT_BEFORE", each)
    manager = {
        "early_header_mutation_extensions": [plain(early_mutations())],
        "access_log_options": {
            "access_log_flush_interval": f"{settings.tollgate.lease_seconds // 3}s"
        },
        "local_reply_config": local_replies(settings),
    }
    found = {"listener": {"filterChain": {"filter": {"name": _MANAGER}}}}
    typed = {"typed_config": {"@type": _MANAGER_TYPE, **manager}}
    yield _patch("NETWORK_FILTER", found, "MERGE", typed)
    at = {"routeConfiguration": {"portNumber": 80}}
    yield _patch("VIRTUAL_HOST", at, "ADD", _virtual_host(settings, place))


def _virtual_host(settings: Settings, place: Place) -> Object:
    host = virtual_host(settings)
    for route in host["routes"]:
        own = route.get("typed_per_filter_config", {})
        for name in _ITS_OWN:
            own.pop(name, None)
    return {**host, "domains": [place.domain, f"{place.domain}:*"]}


def _before_router() -> Object:
    subfilter = {"name": "envoy.filters.http.router"}
    return {"listener": {"filterChain": {"filter": {"name": _MANAGER, "subFilter": subfilter}}}}


def _patch(apply_to: str, where: Object, operation: str, value: Object) -> Object:
    patch = {"operation": operation, "value": value}
    return {"applyTo": apply_to, "match": {"context": "GATEWAY", **where}, "patch": patch}
