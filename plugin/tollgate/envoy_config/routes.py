"""Envoy's routes: management to the admin server, each deployment by the header that Tollgate set, and a 404 for the rest.

A request is first matched to the last route, where ext_authz is on and ext_proc is off; once Tollgate has named a deployment it is
matched again. So a refused request never opens an ext_proc stream.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HeaderValueOption, HeaderValueOptionHeaderAppendAction
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteMatch,
)
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthzPerRoute
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import ExtProcPerRoute
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute, RegexMatcher, StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.core.credentials import KEY_HEADERS, PAYER_HEADERS, passed_headers
from tollgate.core.endpoints import GOOGLE_MODELS, OLLAMA_MODELS, OPENAI_MODELS
from tollgate.core.entities import Deployment
from tollgate.core.headers import route_value
from tollgate.envoy_config.failover import chain, failing_over
from tollgate.envoy_config.messages import (
    ADMIN_CLUSTER,
    CHANGE_HEADER,
    METER_HEADER,
    ROUTE_HEADER,
    STREAM_HEADER,
    Json,
    plain,
)
from tollgate.envoy_config.native import LONGEST_REPLY_BYTES
from tollgate.envoy_config.upstream import Origin, cluster_name, credential_header, path_rule
from tollgate.settings import Settings, TollgateSettings

_MANAGEMENT_PREFIXES = (
    "/key/",
    "/user/",
    "/team/",
    "/customer/",
    "/end_user/",
    "/budget/",
    "/spend/",
    "/global/",
    "/health/",
    "/ui/",
    "/docs/",
)
_MANAGEMENT_PATHS = ("/model/info", "/metrics", "/docs", "/openapi.json", "/ui")
# Lists of models, and beneath them single ones. A POST to them is a client's mistake, and is answered as one of
# an LLM API, or it is a call: Google's name the model there.
_MANAGEMENT_READS = (*OPENAI_MODELS, *GOOGLE_MODELS, *OLLAMA_MODELS)

_NEVER_SENT_ON = (
    # The client's key for Tollgate, in every place where it may stand. The cluster adds the provider's own later.
    *KEY_HEADERS,
    "cookie",
    ROUTE_HEADER,
    CHANGE_HEADER,
    METER_HEADER,
    STREAM_HEADER,
    # Who the client is behind the gateway is not the provider's business.
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
)
# One message of gRPC: the workers take no longer one.
_HELD_FOR_EXT_PROC_BYTES = 32 * 1024 * 1024
# Compressed replies cannot be metered while they stream.
_PLAIN_REPLIES = HeaderValueOption(
    header=HeaderValue(key="accept-encoding", value="identity"),
    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
)
_NO_METERING = {"envoy.filters.http.ext_proc": AnyMessage.pack(ExtProcPerRoute(disabled=True))}
_NO_FILTERS = _NO_METERING | {
    "envoy.filters.http.ext_authz": AnyMessage.pack(ExtAuthzPerRoute(disabled=True)),
}


def route_configuration(settings: Settings) -> Json:
    """The whole route table."""
    management = [
        *(_management(RouteMatch(prefix=each)) for each in _MANAGEMENT_PREFIXES),
        *(_management(RouteMatch(path=each)) for path in _MANAGEMENT_PATHS for each in (path, f"{path}/")),
        *(
            _management(match)
            for each in _MANAGEMENT_READS
            for match in (
                RouteMatch(path=each, headers=[_method_read()]),
                RouteMatch(prefix=f"{each}/", headers=[_method_read()]),
            )
        ),
    ]
    routes = [
        *(plain(each) for each in management),
        *(_deployment(each, settings) for each in settings.deployments),
        plain(_nowhere()),
    ]
    return {"name": "tollgate", "virtual_hosts": [{"name": "tollgate", "domains": ["*"], "routes": routes}]}


def _method_read() -> HeaderMatcher:
    return HeaderMatcher(name=":method", string_match=StringMatcher(safe_regex=RegexMatcher(regex="GET|HEAD")))


def _management(match: RouteMatch) -> Route:
    return Route(
        match=match,
        route=RouteAction(cluster=ADMIN_CLUSTER, timeout=timedelta(seconds=30)),
        typed_per_filter_config=_NO_FILTERS,
    )


def _buffer_limit(ours: TollgateSettings) -> int:
    """How much of a request, and of a reply, Envoy may hold.

    Envoy's default of 1 MiB would answer 507 to a longer body that has to be sent again. In native mode
    it would answer 500 instead of a longer reply that is held until its usage is read; in grpc mode of
    such a reply the rest is not metered.
    """
    replies = LONGEST_REPLY_BYTES if ours.mode == "native" else _HELD_FOR_EXT_PROC_BYTES
    return max(replies, ours.max_request_bytes)


def _deployment(deployment: Deployment, settings: Settings) -> Json:
    """A deployment's route. Where others may take over, each cluster writes path and Host itself, and bodies are kept for them."""
    members = chain(settings, deployment)
    alone, rule = len(members) == 1, path_rule(deployment)
    chosen = HeaderMatcher(name=ROUTE_HEADER, string_match=StringMatcher(exact=route_value(deployment.id)))
    action = RouteAction(
        # The whole reply may take as long as it likes (Envoy's default is 15 s); silence may not.
        timeout=timedelta(0),
        idle_timeout=timedelta(seconds=settings.tollgate.upstream_timeout_seconds),
        regex_rewrite=RegexMatchAndSubstitute(
            pattern=RegexMatcher(regex=rule.pattern),
            substitution=(rule.prefix.replace("\\", r"\\") if alone else "") + "/",
        ),
    )
    if alone:
        action.cluster = cluster_name(deployment)
        action.host_rewrite_literal = Origin.of(deployment.api_base).authority
    route = plain(
        Route(
            name=cluster_name(deployment),
            match=RouteMatch(prefix="/", headers=[chosen]),
            route=action,
            request_headers_to_add=[_PLAIN_REPLIES],
            request_headers_to_remove=_kept_back(deployment, settings),
            request_body_buffer_limit=_buffer_limit(settings.tollgate),
        )
    )
    if not alone:
        route["route"] |= failing_over(members)
    return route


def _kept_back(deployment: Deployment, settings: Settings) -> list[str]:
    """The headers of a client that its provider does not see."""
    passed = set(settings.tollgate.pass_client_headers)
    if deployment.pass_credentials:
        passed.update(passed_headers(credential_header(deployment)))
    return [name for name in (*_NEVER_SENT_ON, *PAYER_HEADERS) if name not in passed]


def _nowhere() -> Route:
    """Reached only by what Tollgate let pass without naming a deployment that this configuration has."""
    return Route(
        name="nowhere",
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(status=404),
        typed_per_filter_config=_NO_METERING,
    )
