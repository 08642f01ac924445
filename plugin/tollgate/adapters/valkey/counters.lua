-- Limits and spend, atomically. One call is one operation: ARGV[1] is reserve, settle, renew or peek.
--
-- KEYS  reservations, leases, ledger, then the counters, which the charges name by number
--       renew: reservations, leases, then one slots key for each parallel charge
-- ARGV  2 now in us ('' asks the server), 3 charges as MessagePack, then
--       reserve   reservation id, lease in us, reservation (opaque)
--       settle    reservation id, ledger record (opaque), oldest ledger time to keep in ms, field of the model's spend, cost
--       renew     reservation id, lease in us
--       a charge is [kind r|t|p|b, limit (nil: none), amount, [previous, start, end of its period in us], number of its key]
-- Reply reserve, settle, peek: now in us, number of the charge that refused (0: none, -1: no such reservation),
--       then used, held, period start of each charge.   renew: 1 or 0
--
-- Each operation reads all, checks all, then writes all: a script that fails keeps what it wrote. Integers only, below 2^53.
-- A call into the store costs more than all else that is done for a charge, so all of a scope but its slots is one hash, which is
-- read once and written once.
-- core/bucket.py and core/budget.py hold the same arithmetic; tests/properties/test_lua_equals_python.py compares them.

local UNITS = 60000 -- units in a token: a limit of L a minute drains L units each millisecond
local MAX_EXACT = 9007199254740991
local format, floor, max, min = string.format, math.floor, math.max, math.min
local call = redis.call

local now_us = tonumber(ARGV[2])
if not now_us then
  local time = call('TIME')
  now_us = time[1] * 1000000 + time[2]
end
local now_ms = floor(now_us / 1000)
local charges = cmsgpack.unpack(ARGV[3])

local function integer(value)
  return format('%.0f', value)
end

local function period_start(period)
  local previous, start, finish = period[1], period[2], period[3]
  if finish == 0 then
    return 0
  elseif now_us < start then
    return previous
  elseif now_us < finish then
    return start
  end
  local length = finish - start
  return finish + floor((now_us - finish) / length) * length
end

local hashes = {} -- by number of key: what is stored of a scope, and what is to be written of it

local function hash_at(number)
  local hash = hashes[number]
  if not hash then
    local stored = call('HMGET', KEYS[number], 'period', 'used', 'held', 'r', 't')
    hash = { period = stored[1], used = stored[2], held = stored[3], r = stored[4], t = stored[5], writes = {} }
    hashes[number] = hash
  end
  return hash
end

-- What the store knows of a charge, as of now: used, held, period (and at, of a bucket; turned, of a budget in a new period).
local function read(charge)
  local kind, number = charge[1], charge[5]
  local state = { number = number, kind = kind, limit = charge[2], amount = charge[3], held = 0, period = 0 }
  if kind == 'p' then
    state.used = call('ZCOUNT', KEYS[number], '(' .. integer(now_us), '+inf')
    return state
  end
  local hash = hash_at(number)
  if kind == 'b' then
    state.period, state.used, state.held = tonumber(hash.period or 0), tonumber(hash.used or 0), tonumber(hash.held or 0)
    local start = period_start(charge[4])
    if start > state.period then
      state.period, state.used, state.turned = start, 0, true
    end
  else
    state.used, state.at = 0, now_ms
    local bucket = hash[kind]
    if bucket then
      local colon = string.find(bucket, ':', 1, true)
      local used, at = tonumber(string.sub(bucket, 1, colon - 1)), tonumber(string.sub(bucket, colon + 1))
      state.used = max(0, used - max(0, now_ms - at) * state.limit)
      state.at = max(at, now_ms)
    end
  end
  return state
end

local function read_all()
  local states = {}
  for number, charge in ipairs(charges) do
    states[number] = read(charge)
  end
  return states
end

local function fits(state)
  if state.kind == 'p' then
    return state.used < state.limit
  elseif state.kind == 'b' then
    return state.used + state.held < state.limit
  end
  return state.used + state.amount * UNITS <= state.limit * UNITS
end

local function put(state, field, value)
  local writes = hashes[state.number].writes
  writes[#writes + 1] = field
  writes[#writes + 1] = value
end

local function put_bucket(state)
  put(state, state.kind, format('%.0f:%.0f', state.used, state.at))
end

local function put_budget(state)
  put(state, 'used', integer(state.used))
  put(state, 'held', integer(state.held))
  if state.turned then
    put(state, 'period', integer(state.period))
  end
end

local function write_all()
  for number, hash in pairs(hashes) do
    if #hash.writes > 0 then
      call('HSET', KEYS[number], unpack(hash.writes))
    end
  end
end

local function reply(refused, states)
  local answer = { now_us, refused }
  for number, state in ipairs(states) do
    local at = number * 3
    answer[at], answer[at + 1], answer[at + 2] = state.used, state.held, state.period
  end
  return answer
end

local function reserve()
  local id, lease_end, reservation = ARGV[4], integer(now_us + ARGV[5]), ARGV[6]
  local states = read_all()
  for number, state in ipairs(states) do
    if not fits(state) then
      return reply(number, states)
    end
  end
  local held = {}
  for number, state in ipairs(states) do
    local amount = state.amount
    if state.kind == 'b' then
      amount = min(amount, state.limit - state.used - state.held)
      state.held = state.held + amount
      put_budget(state)
    elseif state.kind == 'p' then
      state.used = state.used + 1
      call('ZADD', KEYS[state.number], lease_end, id)
    else
      state.used = state.used + amount * UNITS
      put_bucket(state)
    end
    held[number] = integer(amount)
  end
  write_all()
  call('HSET', KEYS[1], id, table.concat(held, ',') .. '|' .. reservation)
  call('ZADD', KEYS[2], lease_end, id)
  return reply(0, states)
end

local function settle()
  local id, record, oldest_ms, model_field, cost = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
  local reservation = call('HGET', KEYS[1], id)
  if not reservation then
    return { now_us, -1 }
  end
  local held = {}
  for amount in string.gmatch(string.match(reservation, '^[^|]*'), '%d+') do
    held[#held + 1] = tonumber(amount)
  end
  local states = read_all()
  for number, state in ipairs(states) do
    local amount = held[number] or 0
    if state.kind == 'b' then
      state.used, state.held = state.used + cost, state.held - amount
      put_budget(state)
      if cost > 0 then
        -- Sums of a lifetime may pass 2^53, so the store adds them up in its own integers.
        call('HINCRBY', KEYS[state.number], 'total', ARGV[8])
        call('HINCRBY', KEYS[state.number], model_field, ARGV[8])
      end
    elseif state.kind == 'p' then
      local lease_end = call('ZSCORE', KEYS[state.number], id)
      state.used = state.used - ((lease_end and tonumber(lease_end) > now_us) and 1 or 0)
      -- The reaper settles every lease that runs out, so nothing stays in the set, and an empty set is no key.
      call('ZREM', KEYS[state.number], id)
    else
      state.used = min(MAX_EXACT, max(0, state.used + (state.amount - amount) * UNITS))
      put_bucket(state)
    end
  end
  write_all()
  call('HDEL', KEYS[1], id)
  call('ZREM', KEYS[2], id)
  call('XADD', KEYS[3], 'MINID', '~', oldest_ms, '*', 'record', record)
  return reply(0, states)
end

local function renew()
  local id, lease_end = ARGV[4], integer(now_us + ARGV[5])
  if call('HEXISTS', KEYS[1], id) == 0 then
    return 0
  end
  call('ZADD', KEYS[2], lease_end, id)
  for number = 3, #KEYS do
    call('ZADD', KEYS[number], lease_end, id)
  end
  return 1
end

local function peek()
  return reply(0, read_all())
end

local operations = { reserve = reserve, settle = settle, renew = renew, peek = peek }
return operations[ARGV[1]]()
