"""Watch the store while processes run: a supervisor, which does not, need not count either."""

from __future__ import annotations

import asyncio

from tollgate import telemetry
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError
from tollgate.adapters.valkey.connection.survey import evicted
from tollgate.core.errors import StoreUnavailable

_LOOK_EVERY_S = 10.0


async def watch_evictions(pipe: Pipe) -> None:
    """Report, forever, when the store evicts keys for lack of memory."""
    before = None
    while True:
        try:
            now = await evicted(pipe)
        except (ReplyError, StoreUnavailable):
            now = before or 0
        if before is not None and now > before:
            telemetry.keys_evicted(now - before)
        before = now
        await asyncio.sleep(_LOOK_EVERY_S)
