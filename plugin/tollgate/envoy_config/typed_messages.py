"""Small makers of the Envoy messages that every part of the configuration needs, and the step from
messages to dictionaries.

Messages are typed by envoy-data-plane, which is older than Envoy 1.40: fields that it lacks are
added as plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from betterproto2 import Casing, Message
from envoy_data_plane.envoy.config.core.v3 import (
    Address as EnvoyAddress,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Pipe,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.settings import TollgateSettings
from tollgate.topology import Address

Json = dict[str, Any]
"""A part of the configuration as Envoy reads it."""

TOLLGATE_CLUSTER = "tollgate"
"""The workers."""
ADMIN_CLUSTER = "tollgate_admin"
"""The management API."""
METADATA_NAMESPACE = "envoy.filters.http.ext_authz"
"""Where ext_authz leaves what Tollgate said of the request: `reservation` and `edits`."""
ROUTE_PREFIX = "tollgate/"
"""What the names of our routes begin with: others in the same connection manager are not worded by
us.
"""
ROUTE_HEADER = "x-tollgate-route"
"""The deployment that Tollgate chose, by id."""
CHANGE_HEADER = "x-tollgate-change"
"""Whether something is to be changed in the request, or in its reply."""
METER_HEADER = "x-tollgate-meter"
"""In native mode: who reads the reply."""
KEY_CHECK = "tollgate.key_check"
"""The filter that asks for a long body's key alone."""
KEY_CHECK_HEADER = "x-tollgate-check"
"""In native mode: what it asks with."""
KEY_CHECK_EXTENSION = "tollgate"
"""In grpc mode: likewise, among the context extensions."""
KEY_CHECK_VALUE = "key"
"""What both say."""
HEALTH_REQUEST = b"GET / HTTP/1.1\r\n\r\n"
"""How Envoy asks a worker's HTTP address whether it lives: without any header, as no client's
request comes.
"""
HEALTH_RESPONSE = b"HTTP/1.1 204"
"""What the answer has in it."""
STREAM_HEADER = "x-tollgate-stream"
"""Envoy's name for the request, which the access log tells again."""


def plain(message: Message) -> Json:
    """The message as Envoy reads it."""
    return message.to_dict(casing=Casing.SNAKE)


def packed(message: Message, **newer: object) -> Json:
    """The message as a `typed_config`, with fields that envoy-data-plane does not know yet."""
    return plain(AnyMessage.pack(message)) | newer


def http_filter(name: str, message: Message, **newer: object) -> Json:
    """One entry of `http_filters`, of the message's own type."""
    return {"name": f"envoy.filters.http.{name}", "typed_config": packed(message, **newer)}


def http_filter_message(name: str, message: Message) -> HttpFilter:
    """The same as a message, for chains that are typed as a whole."""
    return HttpFilter(name=f"envoy.filters.http.{name}", typed_config=AnyMessage.pack(message))


def lua(*sources: Path) -> Json:
    """The Lua filter with what some files say, one after the other."""
    source = "".join(each.read_text(encoding="utf-8") for each in sources)
    return http_filter("lua", Lua(default_source_code=DataSource(inline_string=source)))


def overwritten(headers: Mapping[str, str]) -> list[HeaderValueOption]:
    """Headers that a route sets, whatever is there."""
    action = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return [
        HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=action)
        for name, value in headers.items()
    ]


def extension(name: str, message: Message) -> TypedExtensionConfig:
    """An extension by name, with its configuration."""
    return TypedExtensionConfig(name=name, typed_config=AnyMessage.pack(message))


def envoy_address(address: Address) -> EnvoyAddress:
    """The address as Envoy writes it."""
    if address.path:
        return EnvoyAddress(pipe=Pipe(path=address.path))
    return EnvoyAddress(socket_address=SocketAddress(address=address.host, port_value=address.port))


def decision_timeout(ours: TollgateSettings) -> timedelta:
    """How long a decision may take: the store's two seconds, after the wait for calls in flight."""
    return timedelta(seconds=2, milliseconds=ours.hold_wait_ms)


def tollgate_service() -> GrpcService:
    """The gRPC services of the workers."""
    return GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=TOLLGATE_CLUSTER))
