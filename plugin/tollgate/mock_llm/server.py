"""Listen for clients of the mock provider, until cancelled."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count
from pathlib import Path
from secrets import token_hex

from tollgate.core.errors import SettingsError
from tollgate.mock_llm.controls import MockOptions, from_options
from tollgate.mock_llm.protocol import MockConnection, Shared

# Load tests open all connections at once; with asyncio's default of 100 some would wait for a
# second SYN.
_BACKLOG = 4096


async def serve(options: MockOptions) -> None:
    """Serve until cancelled.

    Raises SettingsError if an option is out of range or the address cannot be used.
    """
    run, numbers = token_hex(4), count(1)
    shared = Shared(from_options(options), lambda: f"{run}{next(numbers):016x}", set())
    server = await _listen(options, partial(MockConnection, shared))
    try:
        if options.on_ready is not None:
            options.on_ready(_address(options, server))
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()
        for connection in tuple(shared.connections):
            connection.abort()
        await server.wait_closed()
        if options.unix_path is not None:
            _remove(options.unix_path)


async def _listen(options: MockOptions, factory: partial[MockConnection]) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        if options.unix_path is not None:
            return await loop.create_unix_server(factory, options.unix_path, backlog=_BACKLOG)
        return await loop.create_server(factory, options.host, options.port, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        where = options.unix_path or f"{options.host}:{options.port}"
        raise SettingsError(f"mock provider: cannot listen on {where}: {error}") from error


def _address(options: MockOptions, server: asyncio.Server) -> str:
    if options.unix_path is not None:
        return f"unix:{options.unix_path}"
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{server.sockets[0].getsockname()[1]}"


def _remove(unix_path: str) -> None:
    Path(unix_path).unlink(missing_ok=True)
