"""Envoy's routes: management to the admin server, each deployment by the header that Tollgate set, and a 404 for the rest.

A request is first matched to the last route, where ext_authz is on and ext_proc is off; once Tollgate has named a deployment it is
matched again. So a refused request never opens an ext_proc stream.
"""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HeaderValueOption, HeaderValueOptionHeaderAppendAction
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthzPerRoute
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import ExtProcPerRoute
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import LuaPerRoute
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute, RegexMatcher, StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.core.entities import Deployment
from tollgate.envoy_config.clusters import Origin, cluster_name
from tollgate.envoy_config.messages import ADMIN_CLUSTER, ROUTE_HEADER, Json, plain
from tollgate.settings import Settings

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
# A POST to these would be a client's mistake, and is answered as one of an LLM API.
_MANAGEMENT_GETS = ("/v1/models", "/models")

_NEVER_SENT_ON = (
    # The client's key for Tollgate, in every place where it may stand. The cluster adds the provider's own later.
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    ROUTE_HEADER,
    # Who the client is behind the gateway is not the provider's business.
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
)
# Compressed replies cannot be metered while they stream.
_PLAIN_REPLIES = HeaderValueOption(
    header=HeaderValue(key="accept-encoding", value="identity"),
    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
)
_NO_METERING = {"envoy.filters.http.ext_proc": AnyMessage.pack(ExtProcPerRoute(disabled=True))}
_NO_FILTERS = _NO_METERING | {
    "envoy.filters.http.ext_authz": AnyMessage.pack(ExtAuthzPerRoute(disabled=True)),
    "envoy.filters.http.lua": AnyMessage.pack(LuaPerRoute(disabled=True)),
}


def route_configuration(settings: Settings) -> Json:
    """The whole route table."""
    routes = [
        *(_management(RouteMatch(prefix=each)) for each in _MANAGEMENT_PREFIXES),
        *(_management(RouteMatch(path=each)) for each in _MANAGEMENT_PATHS),
        *(_management(RouteMatch(path=each, headers=[_method_get()])) for each in _MANAGEMENT_GETS),
        *(_deployment(each, settings) for each in settings.deployments),
        _nowhere(),
    ]
    host = VirtualHost(name="tollgate", domains=["*"], routes=routes)
    return plain(RouteConfiguration(name="tollgate", virtual_hosts=[host]))


def _method_get() -> HeaderMatcher:
    return HeaderMatcher(name=":method", string_match=StringMatcher(exact="GET"))


def _management(match: RouteMatch) -> Route:
    return Route(
        match=match,
        route=RouteAction(cluster=ADMIN_CLUSTER, timeout=timedelta(seconds=30)),
        typed_per_filter_config=_NO_FILTERS,
    )


def _deployment(deployment: Deployment, settings: Settings) -> Route:
    chosen = HeaderMatcher(name=ROUTE_HEADER, string_match=StringMatcher(exact=deployment.id))
    return Route(
        name=cluster_name(deployment),
        match=RouteMatch(prefix="/", headers=[chosen]),
        route=RouteAction(
            cluster=cluster_name(deployment),
            # The whole reply may take as long as it likes (Envoy's default is 15 s); silence may not.
            timeout=timedelta(0),
            idle_timeout=timedelta(seconds=settings.tollgate.upstream_timeout_seconds),
            host_rewrite_literal=Origin.of(deployment.api_base).authority,
            regex_rewrite=_path_rewrite(deployment),
        ),
        request_headers_to_add=[_PLAIN_REPLIES],
        request_headers_to_remove=list(_NEVER_SENT_ON),
    )


def _path_rewrite(deployment: Deployment) -> RegexMatchAndSubstitute:
    """`/v1/X` and `/X` become X under the provider's own prefix; the query is not part of what is matched."""
    base = urlsplit(deployment.api_base).path.rstrip("/")
    if deployment.provider == "anthropic":
        # Its SDKs take the address without /v1 and write that themselves.
        base = re.sub(r"/v1$", "", base) + "/v1"
    return RegexMatchAndSubstitute(pattern=RegexMatcher(regex="^(/v1)?/"), substitution=base.replace("\\", r"\\") + "/")


def _nowhere() -> Route:
    """Reached only by what Tollgate let pass without naming a deployment that this configuration has."""
    return Route(
        name="nowhere",
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(status=404),
        typed_per_filter_config=_NO_METERING,
    )
