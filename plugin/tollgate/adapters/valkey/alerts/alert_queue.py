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
from tollgate.ports.event_ports import Queued, Taken

# How many alerts that were not told are looked at for one whose pause is over.
_LOOKED_AT = 20
# Longer than a sink may take, so that nobody else takes an alert that is being told.
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 10_000, 600_000

# KEYS: the stream. ARGV: the group, the consumer. Returns up to where the group had read before,
# and the next entry, if there is one.
_READ = """
local before = ''
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = {}
  for number = 1, #group, 2 do fields[group[number]] = group[number + 1] end
  if fields['name'] == ARGV[1] then before = fields['last-delivered-id'] end
end
local new = redis.call(
  'XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
return {before, new and new[1][2] or {}}
"""

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

    async def take(self, sink: str) -> Taken:
        """Return an alert to tell now, for this process alone."""
        with store_errors():
            again, dropped = await self._again(sink)
            if again is not None:
                return Taken(again, dropped)
            before, new = await self._client.eval(  # type: ignore[misc]
                _READ, 1, ALERTS, sink, self._consumer
            )
        if not new:
            return Taken(None, dropped)
        ((name, fields),) = new
        # The second part of an id is the number of alerts up to then.
        dropped += max(0, _number(name) - _number(before) - 1)
        return Taken(_queued(name, fields[1], tries=1), dropped)

    async def _again(self, sink: str) -> tuple[Queued | None, int]:
        """Return an alert whose last try is long enough ago, and how many the store has dropped."""
        dropped = 0
        pending: Any = await self._client.xpending_range(
            ALERTS, sink, "-", "+", _LOOKED_AT, idle=self._first_pause_ms
        )
        for each in pending:
            name, tries = each["message_id"], int(each["times_delivered"])
            pause_ms = min(self._first_pause_ms << min(tries - 1, 16), _LONGEST_PAUSE_MS)
            if each["time_since_delivered"] < pause_ms:
                continue
            if not await self._client.xrange(ALERTS, name, name):
                dropped += int(await self._client.xack(ALERTS, sink, name))
                continue
            # Of all who ask, the store gives it to the first; for the others it is idle no more.
            claimed: Any = await self._client.xclaim(ALERTS, sink, self._consumer, pause_ms, [name])
            for place, fields in claimed:
                return _queued(place, *fields.values(), tries=tries + 1), dropped
        return None, dropped

    async def done(self, sink: str, place: str) -> None:
        """Acknowledge an alert."""
        with store_errors():
            await self._client.xack(ALERTS, sink, place)


def _queued(name: bytes, text: bytes, *, tries: int) -> Queued:
    return Queued(name.decode(), tries, _decode(text))


def _number(name: bytes) -> int:
    return int(name.partition(b"-")[2])
