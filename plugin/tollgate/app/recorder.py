"""`recorder` carries the ledger into the history, with what CPU the others leave."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tollgate.adapters.history.database import open_database
from tollgate.adapters.history.history import SqlHistory
from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.clock import StoreClock
from tollgate.adapters.valkey.counters.ledger_stream import ValkeyLedgerStream
from tollgate.app.base import DAY_US, beside
from tollgate.core.errors import SettingsError
from tollgate.heartbeat import keep_beating
from tollgate.reporting.recording import Recorder
from tollgate.settings import Settings

_NICENESS = 19
# A read of a whole part of the ledger may take longer than a decision may.
_READ_TIMEOUT_S = 10.0


async def serve_recorder(settings: Settings, redis_url: str, beat: Path) -> None:
    """Record until told to stop. `beat`: the file for our signs of life.

    Raises SettingsError when no history is configured or its database cannot be used.
    """
    ours = settings.tollgate
    if ours.history_url is None:
        raise SettingsError("tollgate.history_url names no database, so there is nothing to record")
    os.nice(_NICENESS)
    engine = open_database(ours.history_url)
    client = connect(redis_url, _READ_TIMEOUT_S, connections=2)
    kept_us = None if ours.history_days is None else ours.history_days * DAY_US
    recorder = Recorder(ValkeyLedgerStream(client), SqlHistory(engine), StoreClock(), kept_us)
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with beside(keep_beating(beat, lambda: "")):
        recording = asyncio.create_task(recorder.run())
        print("ready", flush=True)
        await told.wait()
        recorder.stop()
        await recording
    await client.aclose()
    engine.dispose()
