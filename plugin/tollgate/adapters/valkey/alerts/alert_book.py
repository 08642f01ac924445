"""The port `AlertBook` on Valkey."""

from __future__ import annotations

import msgspec

from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import ALERTS, alert_mark_key
from tollgate.adapters.valkey.numbered_entries import NUMBERED_ADD
from tollgate.core.alerting.alert import Alert

MOST_KEPT = 10_000
FIELD = "alert"
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
    """A mark for each alert, which expires with its period, and a stream of alerts.

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
