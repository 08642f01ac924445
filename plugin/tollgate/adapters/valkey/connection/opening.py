"""Open a pipe to whatever the store's URL names, or find the server of one key there."""

from __future__ import annotations

from tollgate.adapters.valkey.connection.address import StoreAddress, StoreKind
from tollgate.adapters.valkey.connection.cluster_pipe import ClusterPipe
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.connection.primary import PrimaryPipe, Sentinels
from tollgate.adapters.valkey.connection.server_pipe import ServerPipe


def open_pipe(url: str, timeout_s: float) -> Pipe:
    """Return a pipe to the store of a URL; a timeout in the URL takes precedence.

    It connects when it is first used. Raises SettingsError for an invalid URL.
    """
    address = StoreAddress.of(url)
    if address.kind is StoreKind.CLUSTER:
        return ClusterPipe(address, timeout_s)
    if address.kind is StoreKind.SENTINEL:
        return PrimaryPipe(address, timeout_s)
    return ServerPipe.to(address, timeout_s)


async def locate(address: StoreAddress, key: str, timeout_s: float) -> StoreAddress:
    """Return the server that a key is on now. Raises StoreUnavailable."""
    if address.kind is StoreKind.SERVER:
        return address
    if address.kind is StoreKind.SENTINEL:
        return await Sentinels(address, timeout_s).locate()
    pipe = ClusterPipe(address, timeout_s)
    try:
        return await pipe.owner_of(key)
    finally:
        await pipe.aclose()
