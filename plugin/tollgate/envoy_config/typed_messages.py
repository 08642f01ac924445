"""Build common Envoy messages, and turn messages into dictionaries.

For what is rendered once, when Envoy starts; literals.py has what changes while it runs. Messages
are typed by envoy-data-plane, which is older than Envoy 1.40; missing fields are added as plain
dictionaries.
"""

from __future__ import annotations

from datetime import timedelta

from betterproto2 import Casing, Message
from envoy_data_plane.envoy.config.core.v3 import (
    Address as EnvoyAddress,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    Pipe,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.google.protobuf import Any as AnyMessage

from tollgate.envoy_config.literals import TOLLGATE_CLUSTER, Json, lua_source
from tollgate.settings import TollgateSettings
from tollgate.topology import Address


def plain(message: Message) -> Json:
    """Return the message as Envoy reads it."""
    return message.to_dict(casing=Casing.SNAKE)


def packed(message: Message, **newer: object) -> Json:
    """Return the message as a `typed_config`, with fields that envoy-data-plane does not know."""
    return plain(AnyMessage.pack(message)) | newer


def http_filter(name: str, message: Message, **newer: object) -> Json:
    """Return an entry of `http_filters` under a name of ours."""
    return {"name": name, "typed_config": packed(message, **newer)}


def stock_filter(kind: str, message: Message) -> Json:
    """Return an entry of `http_filters` under Envoy's name for its kind, for filters nothing refers
    to.
    """
    return http_filter(f"envoy.filters.http.{kind}", message)


def lua(*names: str) -> Json:
    """Return a Lua filter that runs some files of the folder lua/ as one script."""
    return stock_filter("lua", lua_message(*names))


def lua_message(*names: str, **values: str) -> Lua:
    """Return the same as a message. Placeholders are names of the contract, or of `values`."""
    return Lua(default_source_code=DataSource(inline_string=lua_source(*names, **values)))


def extension(name: str, message: Message) -> TypedExtensionConfig:
    """Return an extension by name, with its configuration."""
    return TypedExtensionConfig(name=name, typed_config=AnyMessage.pack(message))


def envoy_address(address: Address) -> EnvoyAddress:
    """Return the address in Envoy's form."""
    if address.path:
        return EnvoyAddress(pipe=Pipe(path=address.path))
    return EnvoyAddress(socket_address=SocketAddress(address=address.host, port_value=address.port))


def decision_timeout(ours: TollgateSettings) -> timedelta:
    """Return how long a decision may take: two seconds for the store, after the longest wait for
    room in a limit.
    """
    return timedelta(seconds=2, milliseconds=max(ours.hold_wait_ms, ours.longest_wait_ms))


def tollgate_service() -> GrpcService:
    """Return the gRPC services of the workers."""
    return GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=TOLLGATE_CLUSTER))
