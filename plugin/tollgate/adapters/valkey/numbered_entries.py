"""Number the entries of bounded streams, so that a reader learns how much it has missed.

The second part of an entry's id is a running total over all entries of its stream, which continues
where the store has dropped the older ones. Redis numbers entries itself (`entries-added` of XINFO
STREAM), but only since 7.0, and not by what an entry stands for.
"""

NUMBERED_ADD = """
local function numbered_add(key, most, field, entries)
  local last, time = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1], redis.call('TIME')
  local milliseconds, total = time[1] * 1000 + math.floor(time[2] / 1000), 0
  if last then
    local last_milliseconds, last_total = string.match(last[1], '(%d+)-(%d+)')
    -- Ids never decrease, though the clock may.
    milliseconds = math.max(milliseconds, tonumber(last_milliseconds))
    total = tonumber(last_total)
  end
  for number = 1, #entries, 2 do
    total = total + entries[number]
    local id = string.format('%.0f-%.0f', milliseconds, total)
    redis.call('XADD', key, 'MAXLEN', '~', most, id, field, entries[number + 1])
  end
end
"""
"""Lua: `entries` are how many things an entry stands for, and its text, in turn."""
