"""Listen for Envoy's connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tollgate.topology import Address

# Envoy opens a connection for each HTTP/1.1 call that finds none idle, so a crowd of clients
# becomes a crowd of connections. With Python's default of 100, a Unix socket would reject the rest.
_BACKLOG = 4096


async def listen(make: Callable[[], asyncio.Protocol], address: str) -> asyncio.Server:
    """Serve a protocol on `unix:/path` or `host:port`; several processes may share a port."""
    loop = asyncio.get_running_loop()
    where = Address.parse(address)
    if where.path:
        return await loop.create_unix_server(make, where.path, backlog=_BACKLOG)
    return await loop.create_server(make, where.host, where.port, reuse_port=True, backlog=_BACKLOG)
