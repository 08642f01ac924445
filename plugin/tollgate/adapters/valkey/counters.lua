-- Limits and spend, atomically. One call is one operation: ARGV[1] is reserve, settle, renew or peek.
--
-- KEYS  reserve, settle   reservations, leases, ledger, then one counter for each charge
--       renew             reservations, leases, then one slots key for each parallel charge
--       peek              one counter for each charge
-- ARGV  2 now in us ('' asks the server), then
--       reserve   reservation id, lease in us, reservation (opaque), charges
--       settle    reservation id, ledger record (opaque), oldest ledger time to keep in ms, field of the model's spend, cost, charges
--       renew     reservation id, lease in us
--       peek      charges
--       a charge is six values: kind r|t|p|b, limit (-1: none), amount, and of a budget: previous, start, end of its period in us
-- Reply reserve, settle, peek: now in us, number of the charge that refused (0: none, -1: no such reservation),
--       then used, held, period start of each charge.   renew: 1 or 0
--
-- Each operation reads all, checks all, then writes all: a script that fails keeps what it wrote. Integers only, below 2^53.
-- core/bucket.py and core/budget.py hold the same arithmetic; tests/properties/test_lua_equals_python.py compares them.

local UNITS = 60000 -- units in a token: a limit of L a minute drains L units each millisecond
local MAX_EXACT = 9007199254740991
local WIDTH = 6 -- values of ARGV in a charge

local now_us = tonumber(ARGV[2])
if not now_us then
  local time = redis.call('TIME')
  now_us = time[1] * 1000000 + time[2]
end
local now_ms = math.floor(now_us / 1000)

local function integer(value)
  return string.format('%.0f', value)
end

local function charge_at(first, number)
  local at = first + (number - 1) * WIDTH
  return {
    kind = ARGV[at],
    limit = tonumber(ARGV[at + 1]),
    amount = tonumber(ARGV[at + 2]),
    previous = tonumber(ARGV[at + 3]),
    start = tonumber(ARGV[at + 4]),
    finish = tonumber(ARGV[at + 5]),
  }
end

local function period_start(charge)
  if charge.finish == 0 then
    return 0
  elseif now_us < charge.start then
    return charge.previous
  elseif now_us < charge.finish then
    return charge.start
  end
  local length = charge.finish - charge.start
  return charge.finish + math.floor((now_us - charge.finish) / length) * length
end

-- Fill in what the store knows of a charge: used, held, period (and at, of a bucket), as of now.
local function read(key, charge)
  charge.key, charge.held, charge.period = key, 0, 0
  if charge.kind == 'p' then
    charge.used = redis.call('ZCOUNT', key, '(' .. integer(now_us), '+inf')
  elseif charge.kind == 'b' then
    local stored = redis.call('HMGET', key, 'period', 'used', 'held')
    charge.period, charge.used, charge.held = tonumber(stored[1] or 0), tonumber(stored[2] or 0), tonumber(stored[3] or 0)
    local start = period_start(charge)
    if start > charge.period then
      charge.period, charge.used, charge.turned = start, 0, true
    end
  else
    local stored = redis.call('HMGET', key, 'used', 'at_ms')
    local used, at = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
    charge.used = math.max(0, used - math.max(0, now_ms - at) * charge.limit)
    charge.at = math.max(at, now_ms)
  end
  return charge
end

local function read_all(first_key, first_argument)
  local charges = {}
  for number = 1, #KEYS - first_key + 1 do
    charges[number] = read(KEYS[first_key + number - 1], charge_at(first_argument, number))
  end
  return charges
end

local function fits(charge)
  if charge.kind == 'p' then
    return charge.used < charge.limit
  elseif charge.kind == 'b' then
    return charge.limit < 0 or charge.used + charge.held < charge.limit
  end
  return charge.used + charge.amount * UNITS <= charge.limit * UNITS
end

local function write_bucket(charge)
  redis.call('HSET', charge.key, 'used', integer(charge.used), 'at_ms', integer(charge.at))
  -- Kept until it has drained, rounded up: an expired bucket is an untouched one.
  redis.call('PEXPIRE', charge.key, integer(charge.limit > 0 and math.ceil(charge.used / charge.limit) + 1 or 60000))
end

local function write_slot(key, id, lease_us)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', integer(now_us))
  redis.call('ZADD', key, integer(now_us + lease_us), id)
  redis.call('PEXPIRE', key, integer(math.ceil(lease_us / 1000) + 1))
end

local function write_budget(charge, spent)
  if charge.turned then
    redis.call('HSET', charge.key, 'period', integer(charge.period), 'used', integer(charge.used))
  elseif spent ~= 0 then
    redis.call('HINCRBY', charge.key, 'used', integer(spent))
  end
end

local function reply(refused, charges)
  local answer = { now_us, refused }
  for number, charge in ipairs(charges) do
    local at = number * 3
    answer[at], answer[at + 1], answer[at + 2] = charge.used, charge.held, charge.period
  end
  return answer
end

local function reserve()
  local id, lease_us, reservation = ARGV[3], tonumber(ARGV[4]), ARGV[5]
  local charges = read_all(4, 6)
  for number, charge in ipairs(charges) do
    if not fits(charge) then
      return reply(number, charges)
    end
  end
  local held = {}
  for number, charge in ipairs(charges) do
    local amount = charge.amount
    if charge.kind == 'b' then
      if charge.limit >= 0 then
        amount = math.min(amount, charge.limit - charge.used - charge.held)
      end
      charge.held = charge.held + amount
    elseif charge.kind == 'p' then
      charge.used = charge.used + 1
    else
      charge.used = charge.used + amount * UNITS
    end
    held[number] = integer(amount)
  end
  for number, charge in ipairs(charges) do
    if charge.kind == 'b' then
      write_budget(charge, 0)
      redis.call('HINCRBY', charge.key, 'held', held[number])
    elseif charge.kind == 'p' then
      write_slot(charge.key, id, lease_us)
    else
      write_bucket(charge)
    end
  end
  redis.call('HSET', KEYS[1], id, table.concat(held, ',') .. '|' .. reservation)
  redis.call('ZADD', KEYS[2], integer(now_us + lease_us), id)
  return reply(0, charges)
end

local function settle()
  local id, record, oldest_ms, model_field, cost = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
  local reservation = redis.call('HGET', KEYS[1], id)
  if not reservation then
    return { now_us, -1 }
  end
  local held = {}
  for amount in string.gmatch(string.match(reservation, '^[^|]*'), '%d+') do
    held[#held + 1] = tonumber(amount)
  end
  local charges = read_all(4, 8)
  for number, charge in ipairs(charges) do
    local amount = held[number] or 0
    if charge.kind == 'b' then
      charge.used, charge.held, charge.release = charge.used + cost, charge.held - amount, amount
    elseif charge.kind == 'p' then
      local lease_end = redis.call('ZSCORE', charge.key, id)
      charge.used = charge.used - ((lease_end and tonumber(lease_end) > now_us) and 1 or 0)
    else
      charge.used = math.min(MAX_EXACT, math.max(0, charge.used + (charge.amount - amount) * UNITS))
    end
  end
  for _, charge in ipairs(charges) do
    if charge.kind == 'b' then
      write_budget(charge, cost)
      redis.call('HINCRBY', charge.key, 'held', integer(0 - charge.release)) -- a unary minus would make '-0' of 0
      redis.call('HINCRBY', charge.key, 'total', integer(cost))
      redis.call('HINCRBY', charge.key, model_field, integer(cost))
    elseif charge.kind == 'p' then
      redis.call('ZREM', charge.key, id)
    else
      write_bucket(charge)
    end
  end
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('XADD', KEYS[3], 'MINID', '~', oldest_ms, '*', 'record', record)
  return reply(0, charges)
end

local function renew()
  local id, lease_us = ARGV[3], tonumber(ARGV[4])
  if redis.call('HEXISTS', KEYS[1], id) == 0 then
    return 0
  end
  redis.call('ZADD', KEYS[2], integer(now_us + lease_us), id)
  for number = 3, #KEYS do
    write_slot(KEYS[number], id, lease_us)
  end
  return 1
end

local function peek()
  return reply(0, read_all(1, 3))
end

local operations = { reserve = reserve, settle = settle, renew = renew, peek = peek }
return operations[ARGV[1]]()
