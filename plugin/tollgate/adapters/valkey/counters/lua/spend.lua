-- Correct what a scope has spent, or remove it. The state of a scope is that of counters.lua.
--
-- KEYS  the scope; of one to remove, then its slots if it has any here
-- ARGV  1 `set`: what is spent in the current period is said
--         2 start of that period in us   3 nano-dollars, in two halves of 32 bits   4 the channel
--         to tell, so that workers forget whom they know to have spent too much
--       1 `carry`: what is spent in a period that is current stays spent in the one that takes its
--         place
--         2 start of the period that was current in us   3 start of the one that follows
--         4 name of the counter; 0: the scope's spend
--       1 `remove`   2 how long its tombstone stays, in ms   3 now in us ('' asks the server)

if ARGV[1] == 'remove' then
  local now_us = tonumber(ARGV[3])
  if not now_us then
    local time = redis.call('TIME')
    now_us = time[1] * 1000000 + time[2]
  end
  local tombstone = struct.pack('$HEADER$COUNTER', 1, 0, 0, 0, 0, $TOMBSTONE, 0, 0, now_us)
  redis.call('SET', KEYS[1], tombstone, 'PX', ARGV[2])
  if KEYS[2] then
    redis.call('DEL', KEYS[2])
  end
  return 0
end

local value = redis.call('GET', KEYS[1]) or struct.pack('$HEADER', 0, 0, 0, 0, 0)
local count = string.byte(value)
local form = '$HEADER' .. string.rep('$COUNTER', count)
local state = { struct.unpack(form, value) }
local lines = string.sub(value, $HEADER_BYTES + count * $COUNTER_BYTES + 1)
state[2 + 4 + 4 * count] = nil -- where to read on

-- The places of the numbers in `state`, which has none before the number of counters.
local LOW, HIGH, PERIOD, FIRST = 2, 3, 5, 6

local function set(start, nanousd)
  state[LOW], state[HIGH] = struct.unpack('<I4I4', nanousd)
  -- A settlement that has moved on to a later period meanwhile keeps that period.
  state[PERIOD] = math.max(state[PERIOD], start)
  redis.call('PUBLISH', ARGV[4], 'spend')
end

local function carry_spend(before, after)
  if before > state[PERIOD] then
    state[LOW], state[HIGH] = 0, 0
  end
  state[PERIOD] = math.max(state[PERIOD], before, after)
end

local function carry_counter(before, after, name)
  for at = FIRST, #state, 4 do
    if state[at] == name then
      if before > state[at + $AT] then
        state[at + $USED] = 0
      end
      state[at + $AT] = math.max(state[at + $AT], before, after)
    end
  end
end

if ARGV[1] == 'set' then
  set(tonumber(ARGV[2]), ARGV[3])
elseif ARGV[4] == '0' then
  carry_spend(tonumber(ARGV[2]), tonumber(ARGV[3]))
else
  carry_counter(tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
end
value = struct.pack(form, unpack(state)) .. lines
if state[FIRST] == $TOMBSTONE then
  redis.call('SET', KEYS[1], value) -- what was made anew does not expire with its tombstone
else
  redis.call('SET', KEYS[1], value, 'KEEPTTL')
end
return 0
