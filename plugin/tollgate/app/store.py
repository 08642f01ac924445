"""Check the store before the processes start, and watch it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tollgate import telemetry
from tollgate.adapters.valkey.connection.address import StoreAddress
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError
from tollgate.adapters.valkey.connection.survey import evicted, survey
from tollgate.core.errors import StoreUnavailable

_LOOK_EVERY_S = 10.0


def check_url(url: str) -> None:
    """Raise SettingsError, with one sentence, for a URL that cannot be used."""
    StoreAddress.of(url)


async def meet_store(url: str, say: Callable[[str], None]) -> None:
    """Wait for the store and print its risks. Raises SettingsError if it cannot be used."""
    for risk in await survey(url, say):
        say(f"warning: {risk}")


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
