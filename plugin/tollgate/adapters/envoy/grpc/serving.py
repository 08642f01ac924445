"""Choose the transport that serves an address."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

from tollgate.adapters.envoy.grpc.call import Limits, Methods, Server
from tollgate.adapters.envoy.grpc.own import OwnServer
from tollgate.adapters.envoy.grpc.tls import TlsFiles
from tollgate.topology import Address

Transport = Literal["auto", "grpcio", "own"]


def server(
    transport: Transport, address: str, methods: Methods, limits: Limits, tls: TlsFiles | None
) -> Server:
    """Return a server of methods for an address.

    `auto`: our own for addresses that only this host can reach, grpcio for all others.
    """
    own = transport == "own" or (transport == "auto" and tls is None and is_local(address))
    if own:
        return OwnServer(methods, limits)
    # Takes 20 MB of memory, which a worker that serves only this host saves.
    from tollgate.adapters.envoy.grpc.library import LibraryServer

    return LibraryServer(methods, limits, tls)


def is_local(address: str) -> bool:
    """Return whether only this host can reach an address: `unix:/path` or `host:port`."""
    where = Address.parse(address)
    if where.path or where.host == "localhost":
        return True
    try:
        return ip_address(where.host).is_loopback
    except ValueError:
        return False
