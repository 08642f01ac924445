"""Build objects for Contour: admission only.

https://projectcontour.io/docs/main/config/api/. Contour has no ext_proc, no Lua and no gRPC access
log, so nobody reads replies: a call is charged what it held when its lease ends. Limits of requests
are exact; those of tokens and dollars go by estimates; streams are not asked for their usage, and
models have to have the same name at the gateway and at their provider.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.core.envoy_contract import ROUTE_HEADER, route_value
from tollgate.core.errors import SettingsError
from tollgate.core.models.deployment import Deployment
from tollgate.envoy_config.clusters.upstream import Origin, path_rule
from tollgate.envoy_config.forms.kubernetes_objects import (
    NAME,
    Object,
    Place,
    is_ours,
    made,
    ports,
    served,
)
from tollgate.envoy_config.listener.route_table import (
    MANAGEMENT_PATHS,
    MANAGEMENT_PREFIXES,
    kept_back,
)
from tollgate.envoy_config.typed_messages import decision_timeout
from tollgate.settings import Settings

_PROXY, _EXTENSION = "projectcontour.io/v1", "projectcontour.io/v1alpha1"


def objects(settings: Settings, place: Place) -> Iterator[Object]:
    """Yield everything beside Tollgate's own pods. Raises SettingsError."""
    grpc_port, http_port = ports(settings)
    extension = {
        "protocol": "h2c",
        "services": [{"name": NAME, "port": grpc_port}],
        "timeoutPolicy": {"response": _decision(settings)},
    }
    yield made(_EXTENSION, "ExtensionService", NAME, place, extension)
    several = [(name, each) for name, each in served(settings) if not is_ours(each)]
    for name, deployment in several:
        yield _service(place, name, deployment)
    management = {"services": [{"name": NAME, "port": http_port}], "authPolicy": {"disabled": True}}
    paths = [
        *({"prefix": each} for each in MANAGEMENT_PREFIXES),
        *({"exact": each} for each in MANAGEMENT_PATHS),
    ]
    nowhere = {"conditions": [{"prefix": "/"}], "directResponsePolicy": {"statusCode": 404}}
    authorization = {
        "extensionRef": {"name": NAME, "namespace": place.namespace},
        "failOpen": False,
        "responseTimeout": _decision(settings),
        "withRequestBody": {
            "maxRequestBytes": settings.tollgate.max_request_bytes,
            "allowPartialMessage": False,
            "packAsBytes": True,
        },
    }
    spec = {
        "virtualhost": {
            "fqdn": place.domain,
            # Contour asks for admission on TLS hosts alone.
            "tls": {"secretName": f"{NAME}-tls"},
            "authorization": authorization,
        },
        "routes": [
            *({"conditions": [each], **management} for each in paths),
            *(_route(settings, name, each) for name, each in several),
            nowhere,
        ],
    }
    yield made(_PROXY, "HTTPProxy", NAME, place, spec)


def _decision(settings: Settings) -> str:
    return f"{round(decision_timeout(settings.tollgate).total_seconds() * 1000)}ms"


def _service(place: Place, name: str, deployment: Deployment) -> Object:
    """Return the provider as a Service, which Contour needs for whatever it routes to."""
    origin = Origin.of(deployment.api_base)
    spec = {
        "type": "ExternalName",
        "externalName": origin.host,
        "ports": [{"name": "provider", "port": origin.port, "protocol": "TCP"}],
    }
    found = made("v1", "Service", name, place, spec)
    if origin.tls:
        found["metadata"]["annotations"] = {
            "projectcontour.io/upstream-protocol.tls": str(origin.port)
        }
    return found


def _route(settings: Settings, name: str, deployment: Deployment) -> Object:
    origin, rule = Origin.of(deployment.api_base), path_rule(deployment)
    if not deployment.pass_credentials and deployment.id in settings.credentials:
        raise SettingsError(
            f"model_list: {deployment.model_name}: Contour adds no credentials; leave api_key out"
            " and set pass_credentials: true, or let a proxy before the provider add the key"
        )
    headers = {
        "remove": kept_back(deployment, settings),
        "set": [
            {"name": "host", "value": origin.authority},
            {"name": "accept-encoding", "value": "identity"},
        ],
    }
    chosen = {"name": ROUTE_HEADER, "exact": route_value(deployment.id)}
    replaced = [{"prefix": "/v1/", "replacement": f"{rule.prefix}/"}]
    return {
        "conditions": [{"prefix": "/v1/"}, {"header": chosen}],
        "services": [{"name": name, "port": origin.port}],
        "requestHeadersPolicy": headers,
        "timeoutPolicy": {
            "response": "infinity",
            "idle": f"{settings.tollgate.upstream_timeout_seconds}s",
        },
        "pathRewritePolicy": {"replacePrefix": replaced},
    }
