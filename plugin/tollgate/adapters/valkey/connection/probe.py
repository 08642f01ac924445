"""Check that the store serves: one write by a script, as every call makes it."""

from __future__ import annotations

from typing import Final

from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import PROBE

# A script fails for the same reasons as the counters': memory, replicas, permissions, or a store
# that is no primary.
_SCRIPT: Final = b"redis.call('SET', KEYS[1], '', 'PX', 60000) return redis.call('TIME')"


async def probe(pipe: Pipe) -> int:
    """Write something and return the store's time in microseconds.

    Raises StoreUnavailable, with the store's own words if it has any.
    """
    try:
        seconds, micros = await pipe.call(b"EVAL", _SCRIPT, 1, PROBE)
    except ReplyError as error:
        raise unavailable(error) from error
    return int(seconds) * 1_000_000 + int(micros)
