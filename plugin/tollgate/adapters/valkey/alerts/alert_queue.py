"""The port `AlertQueue` on Valkey: a consumer group of the stream for each sink.

What a process has taken and not acknowledged is handed out again, to whichever process asks first,
after a back-off that doubles with each try.
"""

from __future__ import annotations

from secrets import token_hex
from typing import Any

import msgspec
from valkey.asyncio import Valkey
from valkey.exceptions import ResponseError

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import ALERTS
from tollgate.core.alerting.alert import Alert
from tollgate.ports.event_ports import Queued

_AT_ONCE = 20
# Longer than a sink may take, so that nobody else takes an alert that is being told.
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 10_000, 600_000

_decode = msgspec.json.Decoder(Alert).decode


class ValkeyAlertQueue:
    """Reads the stream as one consumer of each sink's group."""

    def __init__(self, client: Valkey, first_pause_ms: int = _FIRST_PAUSE_MS) -> None:
        self._client = client
        self._first_pause_ms = first_pause_ms
        self._consumer = token_hex(8)

    async def prepare(self, sink: str) -> None:
        """Make the sink's group, which begins with what is recorded from now on."""
        with store_errors():
            try:
                await self._client.xgroup_create(ALERTS, sink, id="$", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def take(self, sink: str) -> list[Queued]:
        """Return alerts to tell now, for this process alone."""
        found: list[Queued] = []
        with store_errors():
            pending: Any = await self._client.xpending_range(
                ALERTS, sink, "-", "+", _AT_ONCE, idle=self._first_pause_ms
            )
            for each in pending:
                tries = int(each["times_delivered"])
                pause_ms = min(self._first_pause_ms << min(tries - 1, 16), _LONGEST_PAUSE_MS)
                if each["time_since_delivered"] < pause_ms:
                    continue
                # Of all who ask, the store gives it to the first; for the others it is idle no
                # more.
                claimed: Any = await self._client.xclaim(
                    ALERTS, sink, self._consumer, pause_ms, [each["message_id"]]
                )
                found += [_queued(entry, tries + 1) for entry in claimed if entry[1]]
            new: Any = await self._client.xreadgroup(
                sink, self._consumer, {ALERTS: ">"}, count=_AT_ONCE
            )
        return found + [_queued(entry, 1) for _, entries in _streams(new) for entry in entries]

    async def done(self, sink: str, place: str) -> None:
        """Acknowledge an alert."""
        with store_errors():
            await self._client.xack(ALERTS, sink, place)


def _streams(answer: Any) -> list[tuple[Any, Any]]:
    """Return the streams of an answer, whose form depends on the protocol's version."""
    return list(answer.items() if isinstance(answer, dict) else answer)


def _queued(entry: Any, tries: int) -> Queued:
    name, fields = entry
    (text,) = fields.values()
    return Queued(name.decode(), tries, _decode(text))
