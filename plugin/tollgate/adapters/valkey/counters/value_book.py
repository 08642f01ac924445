"""The port `ValueBook` on Valkey: a sorted set for each dimension, by when a value is forgotten."""

from __future__ import annotations

from hashlib import blake2b

from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError, unavailable
from tollgate.adapters.valkey.keys import values_key

# KEYS: the set. ARGV: the value's digest, the bound, milliseconds. Returns 1 if it is remembered.
# Of what has been forgotten some goes with each call, so that none takes long; the rest is not
# counted.
_REMEMBER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not (known and tonumber(known) > now)
  and redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf') >= tonumber(ARGV[2])
then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
_DIGEST_BYTES = 16


class ValkeyValueBook:
    """Remembers digests: ids have up to 300 characters."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def remember(self, dimension: str, value: str, most: int, kept_us: int) -> bool:
        """Remember a value for so long from now, unless it is new and there is no room."""
        digest = blake2b(value.encode(), digest_size=_DIGEST_BYTES).digest()
        key = values_key(dimension)
        try:
            found = await self._pipe.call(b"EVAL", _REMEMBER, 1, key, digest, most, kept_us // 1000)
        except ReplyError as error:
            raise unavailable(error) from error
        return bool(found)
