"""The port `RefusalBook` on Valkey: a bounded stream for each organization."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import ORGANIZATIONS, refusals_key
from tollgate.adapters.valkey.numbered_entries import NUMBERED_ADD
from tollgate.core.calls.refusal_records import RefusalRecord

MOST_KEPT = 20_000
"""Refusals of an organization; some twelve megabytes."""
FIELD = "refusal"
# The store serves nobody else while a script runs.
_AT_ONCE = 200
# KEYS: the stream. ARGV: milliseconds until it goes, how many entries stay, then of each record how
# many requests it stands for, and its text.
_ADD = (
    NUMBERED_ADD
    + f"""
local entries = {{}}
for number = 3, #ARGV do entries[number - 2] = ARGV[number] end
numbered_add(KEYS[1], ARGV[2], '{FIELD}', entries)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)

_encode = msgspec.json.Encoder().encode


class ValkeyRefusalBook:
    """Appends to the streams. `kept_us`: a stream goes when nothing was refused for so long.

    The second part of an entry's id is the number of requests refused up to then.
    """

    def __init__(self, pipe: Pipe, kept_us: int) -> None:
        self._pipe = pipe
        self._kept_ms = kept_us // 1000
        # Whose name is known to be in the set of organizations, where readers find it.
        self._known: set[str] = set()

    async def add(self, records: Sequence[RefusalRecord]) -> None:
        """Append records."""
        by_organization: defaultdict[str, list[RefusalRecord]] = defaultdict(list)
        for each in records:
            by_organization[each.organization].append(each)
        names = [("SADD", ORGANIZATIONS, each) for each in by_organization.keys() - self._known]
        try:
            await asyncio.gather(
                *(self._add(name, several) for name, several in by_organization.items()),
                *(self._pipe.call(*each) for each in names),
            )
        except ReplyError as error:
            raise unavailable(error) from error
        self._known |= by_organization.keys()

    async def _add(self, organization: str, records: Sequence[RefusalRecord]) -> None:
        key = refusals_key(organization)
        for first in range(0, len(records), _AT_ONCE):
            entries = [
                part
                for each in records[first : first + _AT_ONCE]
                for part in (each.times, _encode(each))
            ]
            await self._pipe.call(b"EVAL", _ADD, 1, key, self._kept_ms, MOST_KEPT, *entries)
