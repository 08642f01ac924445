"""The port `RefusalBook` on Valkey: a bounded stream for each organization."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import ORGANIZATIONS, refusals_key
from tollgate.core.calls.refusal_records import RefusalRecord

MOST_KEPT = 20_000
"""Refusals of an organization; some twelve megabytes."""
FIELD = "refusal"

_encode = msgspec.json.Encoder().encode


class ValkeyRefusalBook:
    """Appends to the streams. `kept_us`: a stream goes when nothing was refused for so long."""

    def __init__(self, pipe: Pipe, kept_us: int) -> None:
        self._pipe = pipe
        self._kept_ms = kept_us // 1000
        # Whose name is known to be in the set of organizations, where readers find it.
        self._known: set[str] = set()

    async def add(self, records: Sequence[RefusalRecord]) -> None:
        """Append records, all in one write."""
        commands = [
            ("XADD", refusals_key(each.organization), "MAXLEN", "~", MOST_KEPT, "*", FIELD, text)
            for each, text in ((each, _encode(each)) for each in records)
        ]
        organizations = {each.organization for each in records}
        expiries = [("PEXPIRE", refusals_key(each), self._kept_ms) for each in organizations]
        names = [("SADD", ORGANIZATIONS, each) for each in organizations - self._known]
        try:
            await asyncio.gather(
                *(self._pipe.call(*each) for each in (*commands, *expiries, *names))
            )
        except ReplyError as error:
            raise unavailable(error) from error
        self._known |= organizations
