"""The port `AlertBook` on Valkey."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import ALERT_NOTES, ALERTS, alert_mark_key
from tollgate.adapters.valkey.numbered_entries import NUMBERED_ADD
from tollgate.core.alerting.alert import Alert

MOST_KEPT = 10_000
FIELD = "alert"
_NOTES_AT_ONCE = 1000
# The mark and the record together: a worker that dies between the two would lose an alert for good.
_CLAIM = (
    NUMBERED_ADD
    + """
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return 0 end
numbered_add(KEYS[2], ARGV[2], ARGV[3], {1, ARGV[4]})
return 1
"""
)

_encode = msgspec.json.Encoder().encode


class ValkeyAlertBook:
    """A mark for each alert, which expires with its period, a stream of alerts, and the notes.

    The second part of an entry's id is the number of alerts up to then.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def claim(self, mark: str, marked_s: int, alert: Alert) -> bool:
        """Record an alert unless somebody has claimed its mark; return whether it was recorded."""
        try:
            claimed = await self._pipe.call(
                b"EVAL",
                _CLAIM,
                2,
                alert_mark_key(mark),
                ALERTS,
                marked_s,
                MOST_KEPT,
                FIELD,
                _encode(alert),
            )
        except ReplyError as error:
            raise unavailable(error) from error
        return bool(claimed)

    async def note(self, notes: Iterable[str], now_us: int) -> None:
        """Keep notes of what has to be looked at, until they are removed."""
        await self._call(b"ZADD", ALERT_NOTES, *(word for each in notes for word in (now_us, each)))

    async def remove(self, notes: Iterable[str]) -> None:
        """Remove notes of what was looked at."""
        await self._call(b"ZREM", ALERT_NOTES, *notes)

    async def abandoned(self, before_us: int) -> Sequence[str]:
        """Return notes that nobody has renewed or removed since then; some of them if many."""
        found: list[bytes] = await self._call(
            b"ZRANGEBYSCORE", ALERT_NOTES, b"-inf", before_us, b"LIMIT", 0, _NOTES_AT_ONCE
        )
        return tuple(each.decode() for each in found)

    async def _call(self, *command: str | bytes | int) -> Any:
        try:
            return await self._pipe.call(*command)
        except ReplyError as error:
            raise unavailable(error) from error
