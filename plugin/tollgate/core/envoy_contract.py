"""Request headers between Envoy and Tollgate.

A client's own are removed before any filter sees them.
"""

from __future__ import annotations

from typing import Final

ROUTE_HEADER: Final = "x-tollgate-route"
"""Set by ext_authz; Envoy re-routes on it: each deployment has a route that matches its id."""
STREAM_HEADER: Final = "x-tollgate-stream"
"""Set by Envoy: its name for the request, which no client can choose."""
CHANGE_HEADER: Final = "x-tollgate-change"
"""Set by ext_authz where the request or its reply is to be changed: Envoy runs Lua for no other.

To CHANGED, or to the content coding from which Envoy inflates the body first.
"""
CHANGED: Final = "1"
METER_HEADER: Final = "x-tollgate-meter"
"""Set in native mode: who reads the reply.

The name of an API, whose usage Envoy's own filters read, or EXT_PROC.
"""
EXT_PROC: Final = "ext_proc"
"""The reply is read by Tollgate itself, as in grpc mode."""

RESERVATION: Final = "reservation"
"""Of a response to an HTTP ext_authz, and so a name in dynamic metadata: the reservation as JSON."""
EDITS: Final = "edits"
"""Likewise: splices of the request's body."""
TARGET: Final = "target"
"""Likewise: the path and query to ask the provider for, where they are not the client's."""
HIDE: Final = "hide"
"""Likewise: the stream's usage event is not for the client."""
HELD: Final = "held"
"""Likewise: headers for the client, unless ext_proc knows better."""

TUNNELLED: Final = {500: 480, 503: 483}
"""Envoy takes any 5xx of an HTTP ext_authz for a failure and drops its body, so ours come under
another status, which Envoy puts right.
"""

KEY_CHECK_HEADER: Final = "x-tollgate-check"
"""Set in native mode to KEY_CHECK: Envoy asks for the key alone, before it takes the body."""
KEY_CHECK_EXTENSION: Final = "tollgate"
"""Likewise in grpc mode, among the context extensions."""
KEY_CHECK: Final = "key"
