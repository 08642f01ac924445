"""Build objects for Envoy Gateway 1.9 and later: its own policies, and routes of the Gateway API.

https://gateway.envoyproxy.io/latest/api/extension_types/. Lua is off there unless the operator
enables it (`extensionApis.enableLua`), and so are Backend and EnvoyPatchPolicy.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.core.callers.credentials import PAYER_HEADERS
from tollgate.core.envoy_contract import (
    AUTHZ_FILTER,
    CHANGE_HEADER,
    EXT_PROC_NAMESPACE,
    KEY_CHECK_HEADER,
    METER_HEADER,
    NO_CLUSTER_HEADER,
    ROUTE_HEADER,
    STREAM_HEADER,
    VERIFIED_PREFIX,
    route_value,
)
from tollgate.core.models.deployment import Deployment
from tollgate.envoy_config.clusters.upstream import Origin, credential_form, path_rule
from tollgate.envoy_config.forms.kubernetes_objects import (
    LOGGED,
    NAME,
    Object,
    Place,
    find_credential,
    is_ours,
    made,
    object_name,
    ports,
    served,
)
from tollgate.envoy_config.http_filters.filters import STREAM
from tollgate.envoy_config.listener.route_table import (
    MANAGEMENT_PATHS,
    MANAGEMENT_PREFIXES,
    MANAGEMENT_READS,
    kept_back,
)
from tollgate.envoy_config.typed_messages import decision_timeout, lua_message
from tollgate.settings import Settings

_ROUTES, _OWN = "gateway.networking.k8s.io/v1", "gateway.envoyproxy.io/v1alpha1"
_LUA, _EXT_PROC, _EXT_AUTHZ = (
    f"envoy.filters.http.{each}" for each in ("lua", "ext_proc", "ext_authz")
)
_OURS = (ROUTE_HEADER, CHANGE_HEADER, METER_HEADER, KEY_CHECK_HEADER, NO_CLUSTER_HEADER)
_ADMITTED, _METERED = f"{NAME}-admitted", f"{NAME}-metered"
_MANY = 1_000_000


def objects(settings: Settings, place: Place) -> Iterator[Object]:
    """Yield everything beside Tollgate's own pods. Raises SettingsError."""
    grpc_port, http_port = ports(settings)
    workers = {"name": NAME, "port": grpc_port}
    yield _gateway(place)
    yield _proxy(place, workers)
    yield _clients(settings, place)
    yield from _management(place, http_port)
    yield from _entry(place)
    for name, deployment in served(settings):
        yield from _deployment(settings, place, name, deployment, http_port)
    yield _admission(settings, place, workers)
    yield _metering(place, workers)
    yield _timeouts(settings, place)
    yield _running_calls(settings, place)


def _gateway(place: Place) -> Object:
    listener = {"name": "http", "protocol": "HTTP", "port": 80, "hostname": place.domain}
    parameters = {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": NAME}
    spec = {
        "gatewayClassName": "eg",
        "infrastructure": {"parametersRef": parameters},
        "listeners": [listener],
    }
    return made(_ROUTES, "Gateway", NAME, place, spec)


def _proxy(place: Place, workers: Object) -> Object:
    """Return Envoy's access log to the workers, and the order of the filters."""
    log = {
        "type": "HTTP",
        "logName": NAME,
        "backendRefs": [workers],
        "http": {"requestHeaders": [STREAM_HEADER]},
    }
    setting = {"matches": [LOGGED], "sinks": [{"type": "ALS", "als": log}]}
    spec = {
        "telemetry": {"accessLog": {"settings": [setting]}},
        "filterOrder": [
            {"name": _LUA, "after": _EXT_AUTHZ},
            {"name": _EXT_PROC, "after": _LUA},
        ],
    }
    return made(_OWN, "EnvoyProxy", NAME, place, spec)


def _clients(settings: Settings, place: Place) -> Object:
    """Return what is taken from clients before a route is chosen, and how long they may take."""
    passed = settings.tollgate.pass_client_headers
    taken = [
        *_OURS,
        f"{VERIFIED_PREFIX}.*",
        *(each for each in PAYER_HEADERS if each not in passed),
    ]
    pattern = f"({'|'.join(taken)})"
    spec = {
        "targetRefs": [_target("Gateway", NAME)],
        "headers": {
            "earlyRequestHeaders": {
                # One match: a list may have 16 entries.
                "removeOnMatch": [{"type": "RegularExpression", "value": pattern}],
                "set": [{"name": STREAM_HEADER, "value": STREAM}],
            }
        },
        "timeout": {
            "http": {
                "requestReceivedTimeout": f"{settings.tollgate.request_timeout_seconds}s",
                "idleTimeout": f"{settings.tollgate.client_idle_timeout_seconds}s",
            }
        },
    }
    return made(_OWN, "ClientTrafficPolicy", NAME, place, spec)


def _management(place: Place, port: int) -> Iterator[Object]:
    paths: list[Object] = [
        *({"path": {"type": "PathPrefix", "value": each}} for each in MANAGEMENT_PREFIXES),
        *({"path": {"type": "Exact", "value": each}} for each in MANAGEMENT_PATHS),
        *(
            {"path": {"type": "PathPrefix", "value": each}, "method": "GET"}
            for each in MANAGEMENT_READS
        ),
    ]
    rule = {"matches": paths, "backendRefs": [{"name": NAME, "port": port}]}
    yield _route(place, f"{NAME}-management", [rule])


def _entry(place: Place) -> Iterator[Object]:
    """Yield the route that every call meets first; after admission it meets its deployment's.

    Lua changes plain bodies only, so compressed ones are not taken.
    """
    compressed, nowhere = f"{NAME}-compressed", f"{NAME}-nowhere"
    for name, status, words in (
        (compressed, 415, "Compressed request bodies are not served here."),
        (nowhere, 404, "No model of this gateway is served under this path."),
    ):
        body = {"type": "Inline", "inline": f'{{"error": {{"message": "{words}"}}}}'}
        answer = {"statusCode": status, "contentType": "application/json", "body": body}
        yield made(_OWN, "HTTPRouteFilter", name, place, {"directResponse": answer})
    everything = {"path": {"type": "PathPrefix", "value": "/"}}
    coded = {"name": "content-encoding", "type": "RegularExpression", "value": ".+"}
    rules = [
        {"matches": [everything | {"headers": [coded]}], "filters": [_extension(compressed)]},
        {"matches": [everything], "filters": [_extension(nowhere)]},
    ]
    yield _route(place, f"{NAME}-entry", rules, {_ADMITTED: "true"})


def _deployment(
    settings: Settings, place: Place, name: str, deployment: Deployment, http_port: int
) -> Iterator[Object]:
    origin, rule = Origin.of(deployment.api_base), path_rule(deployment)
    path = {"pattern": rule.pattern, "substitution": f"{rule.prefix}/"}
    spec: Object = {
        "urlRewrite": {
            "path": {"type": "ReplaceRegexMatch", "replaceRegexMatch": path},
            **({} if is_ours(deployment) else {"hostname": {"type": "Backend"}}),
        }
    }
    credential = find_credential(settings, deployment, "Envoy Gateway")
    if credential is not None:
        secret = {"kind": "Secret", "name": object_name(credential.variable)}
        spec["credentialInjection"] = {
            "header": credential_form(deployment).header,
            "overwrite": True,
            "credential": {"valueRef": {"group": "", **secret}},
        }
    yield made(_OWN, "HTTPRouteFilter", name, place, spec)
    backend: Object = {"name": NAME, "port": http_port}
    if not is_ours(deployment):
        yield _backend(place, name, origin)
        backend = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name}
    modified = {
        "remove": [each for each in kept_back(deployment, settings) if each not in PAYER_HEADERS],
        "set": [{"name": "accept-encoding", "value": "identity"}],
    }
    chosen = {"name": ROUTE_HEADER, "value": route_value(deployment.id)}
    found = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}, "headers": [chosen]}],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": modified},
            _extension(name),
        ],
        "backendRefs": [backend],
        "timeouts": {"request": "0s"},
    }
    yield _route(place, name, [found], {_ADMITTED: "true", _METERED: "true"})


def _backend(place: Place, name: str, origin: Origin) -> Object:
    spec: Object = {"endpoints": [{"fqdn": {"hostname": origin.host, "port": origin.port}}]}
    if origin.tls:
        spec["tls"] = {"wellKnownCACertificates": "System", "sni": origin.host}
    return made(_OWN, "Backend", name, place, spec)


def _admission(settings: Settings, place: Place, workers: Object) -> Object:
    ours = settings.tollgate
    milliseconds = round(decision_timeout(ours).total_seconds() * 1000)
    spec = {
        "targetSelectors": [_selector(_ADMITTED)],
        "extAuth": {
            "grpc": {"backendRefs": [workers]},
            "bodyToExtAuth": {"maxRequestBytes": ours.max_request_bytes},
            "failOpen": False,
            "statusOnError": 503,
            "recomputeRoute": True,
            "timeout": f"{milliseconds}ms",
        },
    }
    return made(_OWN, "SecurityPolicy", NAME, place, spec)


def _metering(place: Place, workers: Object) -> Object:
    script = lua_message("request").default_source_code
    assert script is not None
    external = {
        "backendRefs": [workers],
        "failOpen": True,
        "messageTimeout": "1s",
        # Heads of replies; Tollgate asks for bodies, reply by reply.
        "processingMode": {"response": {}, "allowModeOverride": True},
        "metadata": {
            "accessibleNamespaces": [AUTHZ_FILTER],
            "writableNamespaces": [EXT_PROC_NAMESPACE],
        },
    }
    spec = {
        "targetSelectors": [_selector(_METERED)],
        "lua": [{"type": "Inline", "inline": script.inline_string}],
        "extProc": [external],
    }
    return made(_OWN, "EnvoyExtensionPolicy", NAME, place, spec)


def _timeouts(settings: Settings, place: Place) -> Object:
    spec = {
        "targetSelectors": [_selector(_METERED)],
        "timeout": {
            "http": {
                "requestTimeout": "0s",
                "streamIdleTimeout": f"{settings.tollgate.upstream_timeout_seconds}s",
            }
        },
        # Envoy's default of 1024 counts calls for as long as they last.
        "circuitBreaker": {
            "maxConnections": _MANY,
            "maxParallelRequests": _MANY,
            "maxPendingRequests": _MANY,
        },
    }
    return made(_OWN, "BackendTrafficPolicy", NAME, place, spec)


def _running_calls(settings: Settings, place: Place) -> Object:
    """Return the report of calls while they run, which has no field of its own.

    Without it (EnvoyPatchPolicy is off by default) a call of more than `lease_seconds` loses its
    lease.
    """
    options = {"access_log_flush_interval": f"{settings.tollgate.lease_seconds // 3}s"}
    manager = "/default_filter_chain/filters/0/typed_config"
    patch = {
        "type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": f"{place.namespace}/{NAME}/http",
        "operation": {"op": "add", "path": f"{manager}/access_log_options", "value": options},
    }
    spec = {"targetRef": _target("Gateway", NAME), "type": "JSONPatch", "jsonPatches": [patch]}
    return made(_OWN, "EnvoyPatchPolicy", f"{NAME}-running-calls", place, spec)


def _route(
    place: Place, name: str, rules: list[Object], labels: dict[str, str] | None = None
) -> Object:
    """Return a route of Tollgate's host."""
    spec = {"parentRefs": [{"name": NAME}], "hostnames": [place.domain], "rules": rules}
    found = made(_ROUTES, "HTTPRoute", name, place, spec)
    found["metadata"]["labels"] |= labels or {}
    return found


def _target(kind: str, name: str) -> Object:
    return {"group": "gateway.networking.k8s.io", "kind": kind, "name": name}


def _selector(label: str) -> Object:
    return {
        "group": "gateway.networking.k8s.io",
        "kind": "HTTPRoute",
        "matchLabels": {label: "true"},
    }


def _extension(name: str) -> Object:
    reference = {"group": "gateway.envoyproxy.io", "kind": "HTTPRouteFilter", "name": name}
    return {"type": "ExtensionRef", "extensionRef": reference}
