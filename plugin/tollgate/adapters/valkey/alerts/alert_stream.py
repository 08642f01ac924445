"""The port `AlertStream` on Valkey."""

from __future__ import annotations

from typing import Any

import msgspec
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import store_errors
from tollgate.adapters.valkey.keys import ALERTS
from tollgate.core.alerting.alert import Alert
from tollgate.ports.event_ports import PlacedAlert, StreamPlace

_ENTRIES = 500

_decode = msgspec.json.Decoder(Alert).decode


class ValkeyAlertStream:
    """Reads the stream from its oldest entry on, beside the groups of the sinks."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def after(self, place: StreamPlace | None) -> list[PlacedAlert]:
        """Return some alerts behind a place, in their order."""
        oldest = "-" if place is None else f"({place.milliseconds}-{place.sequence}"
        with store_errors():
            entries: Any = await self._client.xrange(ALERTS, oldest, "+", count=_ENTRIES)
        return [
            PlacedAlert(StreamPlace(*map(int, name.split(b"-"))), _decode(*fields.values()))
            for name, fields in entries
        ]
