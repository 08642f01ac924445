"""Build Envoy's routes: management, one per deployment, and the rest.

A request first matches one of the last routes, where ext_authz is enabled and ext_proc is not. Once
Tollgate has named a deployment, it is matched again by that header. A refused request therefore
never opens an ext_proc stream.
"""

from __future__ import annotations

import re

from tollgate.core.answers.headers import CHALLENGE, REQUEST_ID
from tollgate.core.callers.credentials import KEY_HEADERS, PAYER_HEADERS, passed_headers
from tollgate.core.envoy_contract import (
    CHANGE_HEADER,
    EXT_PROC_FILTER,
    KEY_CHECK,
    KEY_CHECK_EXTENSION,
    KEY_CHECK_FILTER,
    METER_HEADER,
    NO_CLUSTER_HEADER,
    ROUTE_HEADER,
    ROUTE_PREFIX,
    STREAM_HEADER,
    route_value,
)
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import is_probe
from tollgate.core.requests.endpoints import GOOGLE_MODELS, OLLAMA_MODELS, OPENAI_MODELS
from tollgate.envoy_config.clusters.failover import Chain, chains, failing_over, repeating
from tollgate.envoy_config.clusters.upstream import (
    Origin,
    cluster_name,
    credential_header,
    path_rule,
)
from tollgate.envoy_config.http_filters.switched import LONGEST_REPLY_BYTES, switched_on
from tollgate.envoy_config.http_filters.verifying import (
    identity_headers,
    token_headers,
    verified_headers,
)
from tollgate.envoy_config.listener import cors
from tollgate.envoy_config.literals import ADMIN_CLUSTER, Json, overwritten, typed
from tollgate.settings import Settings, TollgateSettings

ROUTES = "tollgate"
"""The name of the route table."""

MANAGEMENT_PREFIXES = (
    "/key/",
    "/user/",
    "/team/",
    "/organization/",
    "/tag/",
    "/customer/",
    "/end_user/",
    "/budget/",
    "/spend/",
    "/global/",
    "/health/",
    "/ui/",
    "/docs/",
)
MANAGEMENT_PATHS = (
    "/audit",
    "/refusals",
    "/v1/usage",
    "/model/info",
    "/model/new",
    "/model/update",
    "/model/delete",
    "/model_group/info",
    "/v1/model/info",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/ui",
)
# Lists of models and, below them, single models. A POST there is either a client's mistake,
# answered as by an LLM API, or a call: Google's paths name the model there.
MANAGEMENT_READS = (*OPENAI_MODELS, *GOOGLE_MODELS, *OLLAMA_MODELS)

_NEVER_SENT_ON = (
    # The client's key for Tollgate, in every place where it may be. The cluster later adds the
    # provider's own.
    *KEY_HEADERS,
    "cookie",
    ROUTE_HEADER,
    CHANGE_HEADER,
    METER_HEADER,
    STREAM_HEADER,
    # The identity of the client behind the gateway does not concern the provider.
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
)
# One gRPC message: the workers accept no longer one.
_HELD_FOR_EXT_PROC_BYTES = 32 * 1024 * 1024
# Compressed replies cannot be metered while they stream.
_PLAIN_REPLIES = {"accept-encoding": "identity"}
_NO_METERING: Json = {
    EXT_PROC_FILTER: typed(
        "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute", disabled=True
    )
}

# Where a key may be, and where it is by mistake: admission names the header that it found.
_LOOKED_AT = (*KEY_HEADERS, "autherization", "authorisation", "authentication")
# The query parameter `key`, percent-encoded in any way.
_KEY_IN_QUERY = r"[^?]*[?](.*&)?(k|%6[bB])(e|%65)(y|%79)=.*"
# The key of a longer body, or of one that does not tell its length, is checked before the body is
# taken. For a shorter one a second question would cost more than what it spares.
_SHORT_BODY_BYTES = 128 * 1024


def route_configuration(settings: Settings) -> Json:
    """Return the whole route table."""
    return {"name": ROUTES, "virtual_hosts": [virtual_host(settings)]}


def virtual_host(settings: Settings) -> Json:
    """Return Tollgate's virtual host.

    The filters run only for calls of models, whichever route those match first.
    """
    deployments = [_deployment(each, settings) for each in chains(settings)]
    unrouted = [*_long_body(settings.tollgate), _nowhere()]
    on = switched_on(settings)
    for route in (*deployments, *unrouted):
        route["typed_per_filter_config"] = on | route.get("typed_per_filter_config", {})
    return {
        "name": "tollgate",
        "domains": ["*"],
        # Deployments come first: an admitted request may have lost its key by then, and it matches
        # no other route, since no other has a deployment's header.
        "routes": [
            *deployments,
            *cors.options(settings),
            *_management(),
            *_without_key(settings),
            *unrouted,
        ],
        "typed_per_filter_config": cors.policy(settings),
    }


def _management() -> list[Json]:
    """Return the routes of the admin server, which checks keys itself."""
    matches: list[Json] = [
        *({"prefix": each} for each in MANAGEMENT_PREFIXES),
        *({"path": each} for path in MANAGEMENT_PATHS for each in (path, f"{path}/")),
        # One route: Envoy evaluates a route's headers before its path, and every call passes here.
        {
            "safe_regex": {"regex": f"({'|'.join(map(re.escape, MANAGEMENT_READS))})(/.*)?"},
            "headers": [_method("GET|HEAD")],
        },
    ]
    action = {"cluster": ADMIN_CLUSTER, "timeout": "30s"}
    return [
        {"name": f"{ROUTE_PREFIX}management", "match": each, "route": dict(action)}
        for each in matches
    ]


def _method(expression: str) -> Json:
    return {"name": ":method", "string_match": _like(expression)}


def _like(expression: str) -> Json:
    return {"safe_regex": {"regex": expression}}


def _without_key(settings: Settings) -> list[Json]:
    """Return a route that answers 401 to a request without a key, before its body is taken.

    None where a request may have an identity that stands in none of its headers.
    """
    telling = identity_headers(settings.tollgate)
    if telling is None:
        return []
    looked_at = dict.fromkeys((*_LOOKED_AT, *telling))
    absent = [{"name": each, "present_match": True, "invert_match": True} for each in looked_at]
    no_query = {"name": ":path", "string_match": _like(_KEY_IN_QUERY), "invert_match": True}
    told = {
        CHALLENGE.name: CHALLENGE.value,
        # Envoy's own request id: this refusal is in no record of Tollgate's.
        REQUEST_ID: "%REQ(x-request-id)%",
    }
    return [
        {
            "name": f"{ROUTE_PREFIX}without-key",
            "match": {"prefix": "/", "headers": [*absent, no_query, *allowed.matching]},
            "direct_response": {"status": 401},
            "response_headers_to_add": overwritten({**told, **allowed.headers}),
        }
        for allowed in cors.each_allowed(settings)
    ]


def _long_body(ours: TollgateSettings) -> list[Json]:
    """Return the last route with a key check before a long body is taken.

    None where every body is short: Envoy 1.40 never answers a body that is longer than ext_authz's
    `max_request_bytes` by the time that the key check ends.
    """
    if ours.max_request_bytes <= _SHORT_BODY_BYTES:
        return []
    length = {
        "name": "content-length",
        "range_match": {"end": str(_SHORT_BODY_BYTES)},
        # Without the header the body may have any length.
        "treat_missing_header_as_empty": True,
        "invert_match": True,
    }
    match = {"prefix": "/", "headers": [length, _method("POST|PUT|PATCH")]}
    asked = typed(
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        check_settings={"context_extensions": {KEY_CHECK_EXTENSION: KEY_CHECK}},
    )
    return [_unrouted(f"{ROUTE_PREFIX}long-body", match, {KEY_CHECK_FILTER: asked})]


def _nowhere() -> Json:
    """Return the route for requests that Tollgate admitted to a deployment unknown to this
    configuration.
    """
    return _unrouted(f"{ROUTE_PREFIX}nowhere", {"prefix": "/"}, {})


def _unrouted(name: str, match: Json, filters: Json) -> Json:
    """Return a route that leads nowhere: 404.

    Not a direct response, because Envoy's cors filter ignores those.
    """
    action = {
        "cluster_header": NO_CLUSTER_HEADER,
        "cluster_not_found_response_code": "NOT_FOUND",
    }
    return {
        "name": name,
        "match": match,
        "route": action,
        "typed_per_filter_config": {**_NO_METERING, **filters},
    }


def _buffer_limit(ours: TollgateSettings) -> int:
    """Return how much of a request, and of a reply, Envoy may hold.

    With Envoy's default of 1 MiB, a longer body that must be sent again would be answered with 507.
    In native mode, a longer reply that is held for its usage would become a 500; in grpc mode, the
    rest of such a reply would not be metered.
    """
    replies = LONGEST_REPLY_BYTES if ours.mode == "native" else _HELD_FOR_EXT_PROC_BYTES
    return max(replies, ours.max_request_bytes)


def _deployment(members: Chain, settings: Settings) -> Json:
    """Return the route of the first deployment of a chain.

    If other deployments may take over, each cluster writes path and Host itself, and bodies are
    kept for them.
    """
    deployment, *others = members
    silent_s = deployment.timeout_seconds or settings.tollgate.upstream_timeout_seconds
    rule = path_rule(deployment)
    prefix = "" if others else rule.prefix.replace("\\", r"\\")
    action: Json = {
        "regex_rewrite": {"pattern": {"regex": rule.pattern}, "substitution": f"{prefix}/"},
        # A reply may take any time (Envoy's default is 15 s), but not silently.
        "timeout": "0s",
        "idle_timeout": f"{silent_s:g}s",
    }
    if others:
        action |= failing_over(members, settings.retries)
    else:
        if not is_probe(deployment.model_name):
            action |= repeating(settings.retries)
        action["cluster"] = cluster_name(deployment)
        action["host_rewrite_literal"] = Origin.of(deployment.api_base).authority
    chosen = {"name": ROUTE_HEADER, "string_match": {"exact": route_value(deployment.id)}}
    return {
        "name": f"{ROUTE_PREFIX}{cluster_name(deployment)}",
        "match": {"prefix": "/", "headers": [chosen]},
        "route": action,
        "request_headers_to_add": overwritten(_PLAIN_REPLIES),
        "request_headers_to_remove": kept_back(deployment, settings),
        "request_body_buffer_limit": _buffer_limit(settings.tollgate),
    }


def kept_back(deployment: Deployment, settings: Settings) -> list[str]:
    """Return the client headers that the provider must not see."""
    ours = settings.tollgate
    passed = set(ours.pass_client_headers)
    if deployment.pass_credentials:
        passed.update(passed_headers(credential_header(deployment)))
    names = (*_NEVER_SENT_ON, *PAYER_HEADERS, *verified_headers(ours), *token_headers(ours))
    return [name for name in dict.fromkeys(names) if name not in passed]
