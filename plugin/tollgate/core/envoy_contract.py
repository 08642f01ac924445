"""The names and values that pass between Envoy's configuration, its Lua and our services.

Each stands here once. `envoy_config/` renders them, Lua files name them by placeholders
(`$EDITS`), and `adapters/envoy/` reads and writes them. Envoy of one release may run beside
workers of the next, so a change of a value is a change of the protocol.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from tollgate.core.callers import credentials

# gRPC methods that Envoy calls (https://github.com/envoyproxy/envoy/tree/main/api/envoy/service).
CHECK_METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
DISCOVERY_METHOD: Final = (
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
)
PROCESS_METHOD: Final = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
ACCESS_LOG_METHOD: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"

# Request headers. Envoy removes those of a client before any filter sees them, and ours before the
# request leaves for a provider.
HEADER_PREFIX: Final = "x-tollgate-"
"""Every request header below begins with it."""
ROUTE_HEADER: Final = "x-tollgate-route"
"""Set by ext_authz: the deployment's id (`route_value`). Envoy matches the route again by it."""
STREAM_HEADER: Final = "x-tollgate-stream"
"""Set by Envoy: its name for the request, which no client can choose. The access log repeats it."""
CHANGE_HEADER: Final = "x-tollgate-change"
"""Set by ext_authz when the request or its reply is to be changed; Lua runs for no other request.

The value is CHANGED, or the content coding from which Envoy inflates the body first.
"""
CHANGED: Final = "1"
METER_HEADER: Final = "x-tollgate-meter"
"""Set by ext_authz in native mode: who reads the reply's usage.

The value is the name of one of Envoy's readers (`usage.native.reader_name`), or READ_BY_EXT_PROC.
"""
READ_BY_EXT_PROC: Final = "ext_proc"
KEY_CHECK_HEADER: Final = "x-tollgate-check"
"""Set by Envoy in native mode to KEY_CHECK when it asks about the key alone, without the body."""
VERIFIED_PREFIX: Final = "x-tollgate-verified-"
"""Prefix of headers that Envoy sets to what it vouches for (`callers/verified.py` has their names).
"""
NO_CLUSTER_HEADER: Final = "x-tollgate-cluster"
"""Never set: a route that takes its cluster from this header leads nowhere."""

KEY_CHECK_EXTENSION: Final = "tollgate"
"""The context extension that Envoy sets to KEY_CHECK in grpc mode, as
KEY_CHECK_HEADER in native.
"""
KEY_CHECK: Final = "key"

# Names of HTTP filters, by which routes switch them on. Envoy's own names are kept for filters
# whose per-route configuration or dynamic metadata goes by the filter's name.
AUTHZ_FILTER: Final = "envoy.filters.http.ext_authz"
"""Admission. Envoy keeps the answer's dynamic metadata in the namespace of the same name."""
EXT_PROC_FILTER: Final = "envoy.filters.http.ext_proc"
CORS_FILTER: Final = "envoy.filters.http.cors"
CLEAN_FILTER: Final = "tollgate.clean"
TOKEN_FILTER: Final = "tollgate.token"
VERIFIED_FILTER: Final = "tollgate.verified"
KEY_CHECK_FILTER: Final = "tollgate.key_check"
CHANGES_FILTER: Final = "tollgate.changes"
SECOND_LOOK_FILTER: Final = "tollgate.second_look"
METER_FILTER: Final = "tollgate.meter"

ROUTE_PREFIX: Final = "tollgate/"
"""Names of our routes begin with it: local replies of other routes are left as they are."""

# Dynamic metadata under AUTHZ_FILTER. In native mode these are response headers of ext_authz that
# Envoy copies into metadata.
RESERVATION: Final = "reservation"
"""The reservation as JSON (`calls/reservation_text.py`)."""
EDITS: Final = "edits"
"""Splices of the request's body (`adapters/envoy/metadata.py`)."""
TARGET: Final = "target"
"""Native mode: the path and query for the provider, when they are not the client's."""
HIDE: Final = "hide"
"""Native mode: set to HIDDEN when the stream's usage event is not for the client."""
HIDDEN: Final = "1"
HELD: Final = "held"
"""Native mode: headers for the client, unless ext_proc has told the same ones settled."""

LOGGED_PREFIX: Final = "logged_"
"""Prefix of what Envoy's own access log may print of an admission. No filter reads it."""

EXT_PROC_NAMESPACE: Final = "tollgate"
"""The namespace of dynamic metadata that ext_proc may write.

Its keys are the flags below, and what Envoy's own access log may print of a settlement.
"""
METERED: Final = "metered"
"""Flag: ext_proc has seen the reply's headers and will settle."""
SETTLED: Final = "settled"
"""Flag: ext_proc has settled, or is about to in a task that will."""

USAGE_NAMESPACE: Final = "tollgate.usage"
"""Native mode: usage as Envoy's own filters read it. Keys are paths of JSON members."""
FIRST_PREFIX: Final = "first:"
"""Prefix of a key under which the first value of a stream stays, when later events replace it."""
UNFINISHED_EVENT: Final = "unfinished"
"""Key under which Lua leaves a last event that no empty line ends; Envoy's reader skips it."""

TOKEN_NAMESPACE: Final = "envoy.filters.http.jwt_authn"
"""The namespace in which Envoy keeps what it found out about a token."""
TOKEN_CLAIMS: Final = "tollgate_claims"
"""Key of the claims of an accepted token."""
TOKEN_FAULT: Final = "tollgate_fault"
"""Key of the reason why a token was not accepted."""

UPSTREAM_NAMESPACE: Final = "tollgate.upstream"
"""Dynamic metadata that Lua keeps from one attempt to the next."""
UPSTREAM_PATH: Final = "path"
"""The request's path as it was before the first attempt."""

TUNNELLED_STATUSES: Final = MappingProxyType({500: 480, 503: 483})
"""Native mode: our status, and the one that carries it.

Envoy takes a 5xx of an HTTP ext_authz for a failure and drops its body; a local reply mapper
restores the status.
"""

# Headers of an ext_authz answer that Envoy passes on to the client, in native mode by these names.
TOLD_PREFIXES: Final = ("x-ratelimit-", "ratelimit", "anthropic-ratelimit-", credentials.OWN_PREFIX)
"""Prefixes of headers that tell where limits stand. A provider's own are removed or renamed."""
REFUSAL_HEADERS: Final = (
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-amzn-errortype",
    "www-authenticate",
)
"""Headers of a refusal, beside those."""

HEALTH_REQUEST: Final = b"GET / HTTP/1.1\r\n\r\n"
"""Envoy's health check of a worker's HTTP address. No client's request comes without a header."""
HEALTH_RESPONSE: Final = b"HTTP/1.1 204"
"""How the answer of a healthy worker begins."""

_VISIBLE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


@lru_cache(maxsize=4096)
def route_value(deployment_id: str) -> str:
    """Return the value of ROUTE_HEADER for a deployment.

    Ids are free text. Whatever is no visible ASCII character is percent-encoded, so that every id
    has a value of its own, which every codec carries unchanged.
    """
    return quote(deployment_id, safe=_VISIBLE)
