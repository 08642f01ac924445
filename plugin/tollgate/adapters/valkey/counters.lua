-- Limits and spend, atomically. One run is one operation, on as many calls as came together: each sees what those before it did.
--
-- KEYS  reservations, leases, ledger of an organization, then scopes, then slots: each once, callers name them by number
--       renew: reservations, leases, then the slots of one call
-- ARGV  1 reserve, settle, peek or renew   2 now in us ('' asks the server)   3 number of scopes
--       4 reserve, renew: how long a lease is in us; settle: oldest ledger time to keep in ms
--       5 number of callers, then two for each caller: its accounts' limits, and their keys; then the calls; renew: 5 reservation id
--         limits: seven doubles an account: rpm, tpm, parallel, budget (-1: none), and its period in us: previous start, start, end
--         keys: two 16-bit numbers an account: of its scope, and of its slots (0 where parallel is -1)
--         call: as MessagePack values: number of its caller, id, text, cost, input tokens, output tokens, guessed; of settle tokens,
--         model, tell too. text: the reservation or the ledger record, opaque; cost, tokens: the estimate, or what they were
-- Reply renew: 1 or 0; the others, as MessagePack: now in us, and for each call
--       [number of the account that refused (0: none, -1: no such reservation), its limit (r, t, p or b), and of each account
--       [requests, tokens, parallel, used, held, start of period]]; of none where a settlement is not asked to tell
--
-- A scope is a string: seven doubles (used, held, period; units of requests, as of which ms; of tokens, as of which ms), then a line `NAME=SUM` for the lifetime's spend on each model, and on all (no name).
-- Integers only, below 2^53. Each call reads all, checks all, then writes all. What costs here is calls into the store, so each key is
-- read and written once; then tables that grow, so numbers come as strings that struct reads, and are worked out twice rather than kept.
-- core/bucket.py and core/budget.py hold the same arithmetic; tests/properties/test_lua_equals_python.py compares them.

local UNITS = 60000 -- units in a token: a limit of L a minute drains L units each millisecond
local MAX_EXACT = 9007199254740991
local SEVEN, SEVEN_BYTES = '<ddddddd', 56
local NO_STATE = string.rep('\0', SEVEN_BYTES)
local USED, HELD, PERIOD, REQUESTS, REQUESTS_AT, TOKENS, TOKENS_AT = 1, 2, 3, 4, 5, 6, 7 -- of a scope; _AT: as of which ms
local TWO_KEYS, TWO_KEYS_BYTES = '<HH', 4
local LOW_DIGITS, LOW_SIZE = 15, 1e15
local OWN_KEYS, OWN_ARGS = 3, 5
local format, floor, max, min, sub, find = string.format, math.floor, math.max, math.min, string.sub, string.find
local struct_unpack, call = struct.unpack, redis.call

local now_us = tonumber(ARGV[2])
if not now_us then
  local time = call('TIME')
  now_us = time[1] * 1000000 + time[2]
end
local now_ms = floor(now_us / 1000)

local function integer(value)
  return format('%.0f', value)
end

-- Scopes ------------------------------------------------------------------------------------------------------------------------

local scope_count, first_call = tonumber(ARGV[3]), OWN_ARGS + 1
local scopes, stored, changed, spent = {}, {}, {}, {} -- by number: state, value, whether to write, and cost by name

local function read_scopes()
  if scope_count > 0 then
    stored = call('MGET', unpack(KEYS, OWN_KEYS + 1, OWN_KEYS + scope_count))
    for number = 1, scope_count do
      scopes[number] = { struct_unpack(SEVEN, stored[number] or NO_STATE) }
    end
  end
end

-- A lifetime's sum may pass 2^53, so it is kept as digits and added up in two halves.
local function with_sum(sums, name, amount)
  local _, before = find(sums, '\n' .. name .. '=', 1, true)
  if not before then
    return sums .. '\n' .. name .. '=' .. integer(amount)
  end
  local after = find(sums, '\n', before, true) or #sums + 1
  local digits = sub(sums, before + 1, after - 1)
  local low = tonumber(sub(digits, -LOW_DIGITS)) + amount
  local high = #digits > LOW_DIGITS and tonumber(sub(digits, 1, -LOW_DIGITS - 1)) or 0
  high, low = high + floor(low / LOW_SIZE), low % LOW_SIZE
  local sum = high > 0 and format('%.0f%015.0f', high, low) or integer(low)
  return sub(sums, 1, before) .. sum .. sub(sums, after)
end

local function write_scopes()
  local written = {}
  for number in pairs(changed) do
    local sums = sub(stored[number] or '', SEVEN_BYTES + 1)
    for name, amount in pairs(spent[number] or {}) do
      sums = with_sum(sums, name, amount)
    end
    written[#written + 1] = KEYS[OWN_KEYS + number]
    written[#written + 1] = struct.pack(SEVEN, unpack(scopes[number], 1, 7)) .. sums
  end
  if #written > 0 then
    call('MSET', unpack(written))
  end
end

-- Accounts ----------------------------------------------------------------------------------------------------------------------

-- The limits and keys of a caller, and how many accounts it has.
local function accounts_of(caller)
  local at = OWN_ARGS + 2 * caller - 1
  return ARGV[at], ARGV[at + 1], #ARGV[at + 1] / TWO_KEYS_BYTES
end

-- rpm, tpm, parallel, budget, previous start, start and end of the period.
local function limits_at(limits, account)
  return struct_unpack(SEVEN, limits, (account - 1) * SEVEN_BYTES + 1)
end

-- The number of its scope, and the key of its slots.
local function keys_at(keys, account)
  local scope, slots = struct_unpack(TWO_KEYS, keys, (account - 1) * TWO_KEYS_BYTES + 1)
  return scope, KEYS[OWN_KEYS + scope_count + slots]
end

local function level(used, at, limit)
  return limit < 0 and 0 or max(0, used - max(0, now_ms - at) * limit)
end

-- What is used of a budget now, and the start of its period.
local function spend_of(scope, previous, start, finish)
  local period
  if finish == 0 then
    period = 0
  elseif now_us < start then
    period = previous
  elseif now_us < finish then
    period = start
  else
    local length = finish - start
    period = finish + floor((now_us - finish) / length) * length
  end
  if period > scope[PERIOD] then
    return 0, period
  end
  return scope[USED], scope[PERIOD]
end

local function in_flight(slots, parallel)
  return parallel < 0 and 0 or call('ZCOUNT', slots, '(' .. integer(now_us), '+inf')
end

-- What a call holds of a token limit: Reservation.tokens_within is its twin.
local function tokens_within(tpm, input, output, guessed)
  if guessed then
    output = min(output, floor(tpm / 4))
  end
  return max(1, min(input + output, tpm))
end

local function keep(number, rpm, tpm, requests, tokens, used, held, period)
  local scope = scopes[number]
  if rpm >= 0 then
    scope[REQUESTS], scope[REQUESTS_AT] = requests, max(scope[REQUESTS_AT], now_ms)
  end
  if tpm >= 0 then
    scope[TOKENS], scope[TOKENS_AT] = tokens, max(scope[TOKENS_AT], now_ms)
  end
  scope[USED], scope[HELD], scope[PERIOD] = used, held, period
  changed[number] = true
end

-- An answer that tells where all accounts of a caller stand.
local function standing(caller, refused, kind)
  local limits, keys, count = accounts_of(caller)
  local balances = {}
  for account = 1, count do
    local rpm, tpm, parallel, _, previous, start, finish = limits_at(limits, account)
    local number, slots = keys_at(keys, account)
    local scope = scopes[number]
    local used, period = spend_of(scope, previous, start, finish)
    local requests = level(scope[REQUESTS], scope[REQUESTS_AT], rpm)
    local tokens = level(scope[TOKENS], scope[TOKENS_AT], tpm)
    balances[account] = { requests, tokens, in_flight(slots, parallel), used, scope[HELD], period }
  end
  return { refused, kind, balances }
end

-- Operations --------------------------------------------------------------------------------------------------------------------

-- The first account that refuses, and which of its limits; else 0, and the calls in flight of those that limit them.
local function refusing(caller, input, output, guessed)
  local limits, keys, count = accounts_of(caller)
  local flying
  for account = 1, count do
    local rpm, tpm, parallel, budget, previous, start, finish = limits_at(limits, account)
    local number, slots = keys_at(keys, account)
    local scope = scopes[number]
    if rpm >= 0 and level(scope[REQUESTS], scope[REQUESTS_AT], rpm) + UNITS > rpm * UNITS then
      return account, 'r'
    end
    if tpm >= 0 then
      local tokens = level(scope[TOKENS], scope[TOKENS_AT], tpm)
      if tokens + tokens_within(tpm, input, output, guessed) * UNITS > tpm * UNITS then
        return account, 't'
      end
    end
    if parallel >= 0 then
      flying = flying or {}
      flying[account] = in_flight(slots, parallel)
      if flying[account] >= parallel then
        return account, 'p'
      end
    end
    if budget >= 0 and spend_of(scope, previous, start, finish) + scope[HELD] >= budget then
      return account, 'b'
    end
  end
  return 0, flying
end

local function reserve_one(reservations, leases, lease_end, caller, id, text, cost, input, output, guessed)
  local refused, kind = refusing(caller, input, output, guessed)
  if refused > 0 then
    return standing(caller, refused, kind)
  end
  local flying, limits, keys, count = kind, accounts_of(caller)
  local balances, all_held = {}, {}
  for account = 1, count do
    local rpm, tpm, parallel, budget, previous, start, finish = limits_at(limits, account)
    local number, slots = keys_at(keys, account)
    local scope, calls, held = scopes[number], 0, 0
    local used, period = spend_of(scope, previous, start, finish)
    local requests = level(scope[REQUESTS], scope[REQUESTS_AT], rpm) + (rpm < 0 and 0 or UNITS)
    local tokens = level(scope[TOKENS], scope[TOKENS_AT], tpm)
    if tpm >= 0 then
      tokens = tokens + tokens_within(tpm, input, output, guessed) * UNITS
    end
    if parallel >= 0 then
      calls = flying[account] + 1
      call('ZADD', slots, lease_end, id)
    end
    if budget >= 0 then
      held = min(cost, budget - used - scope[HELD])
    end
    all_held[account] = held == 0 and '0' or integer(held)
    keep(number, rpm, tpm, requests, tokens, used, scope[HELD] + held, period)
    balances[account] = { requests, tokens, calls, used, scope[HELD], period }
  end
  reservations[#reservations + 1] = id
  reservations[#reservations + 1] = table.concat(all_held, ',') .. '|' .. text
  leases[#leases + 1] = lease_end
  leases[#leases + 1] = id
  return { 0, '', balances }
end

local function reserve()
  local lease_end = integer(now_us + ARGV[4])
  local answers, reservations, leases = {}, {}, {}
  for at = first_call, #ARGV do
    answers[#answers + 1] = reserve_one(reservations, leases, lease_end, cmsgpack.unpack(ARGV[at]))
  end
  if #leases > 0 then
    call('HSET', KEYS[1], unpack(reservations))
    call('ZADD', KEYS[2], unpack(leases))
  end
  return answers
end

local function spend(number, model, cost)
  local by_name = spent[number]
  if by_name then
    by_name[''], by_name[model] = by_name[''] + cost, (by_name[model] or 0) + cost
  else
    spent[number] = { [''] = cost, [model] = cost }
  end
end

-- The answer, and the ledger record.
local function settle_one(reservation, caller, id, record, cost, input, output, guessed, used_tokens, model, tell)
  local limits, keys, count = accounts_of(caller)
  local next_held = string.gmatch(sub(reservation, 1, find(reservation, '|', 1, true)), '%d+') -- of budgets, by account
  for account = 1, count do
    local rpm, tpm, parallel, _, previous, start, finish = limits_at(limits, account)
    local number, slots = keys_at(keys, account)
    local scope = scopes[number]
    local used, period = spend_of(scope, previous, start, finish)
    local tokens = level(scope[TOKENS], scope[TOKENS_AT], tpm)
    if tpm >= 0 then
      tokens = tokens + (used_tokens - tokens_within(tpm, input, output, guessed)) * UNITS
      tokens = min(MAX_EXACT, max(0, tokens))
    end
    if parallel >= 0 then
      -- The reaper settles every lease that runs out, so nothing stays in the set, and an empty set is no key.
      call('ZREM', slots, id)
    end
    local requests = level(scope[REQUESTS], scope[REQUESTS_AT], rpm)
    used = min(MAX_EXACT, used + cost)
    keep(number, rpm, tpm, requests, tokens, used, scope[HELD] - (next_held() or 0), period)
    if cost > 0 then
      spend(number, model, cost)
    end
  end
  return tell and standing(caller, 0, '') or { 0, '', {} }, record
end

local function settle()
  local ids = {}
  for at = first_call, #ARGV do
    local _, _, id = cmsgpack.unpack_limit(ARGV[at], 2, 0)
    ids[#ids + 1] = id
  end
  local reservations = call('HMGET', KEYS[1], unpack(ids))
  local answers, settled, records = {}, {}, {}
  for number, id in ipairs(ids) do
    local reservation, record = reservations[number], nil
    if reservation and not settled[id] then
      answers[number], record = settle_one(reservation, cmsgpack.unpack(ARGV[first_call + number - 1]))
      settled[id] = true
      settled[#settled + 1] = id
      records[#records + 1] = integer(#settled)
      records[#records + 1] = record
    else
      answers[number] = { -1, '', {} }
    end
  end
  if #settled > 0 then
    call('HDEL', KEYS[1], unpack(settled))
    call('ZREM', KEYS[2], unpack(settled))
    call('XADD', KEYS[3], 'MINID', '~', ARGV[4], '*', unpack(records))
  end
  return answers
end

local function peek()
  local answers = {}
  for at = first_call, #ARGV do
    answers[#answers + 1] = standing(cmsgpack.unpack(ARGV[at]), 0, '')
  end
  return answers
end

local function renew()
  local id, lease_end = ARGV[5], integer(now_us + ARGV[4])
  if call('HEXISTS', KEYS[1], id) == 0 then
    return 0
  end
  call('ZADD', KEYS[2], lease_end, id)
  for number = 3, #KEYS do
    call('ZADD', KEYS[number], lease_end, id)
  end
  return 1
end

if ARGV[1] == 'renew' then
  return renew()
end
local operations = { reserve = reserve, settle = settle, peek = peek }
first_call = first_call + 2 * ARGV[5]
read_scopes()
local answers = operations[ARGV[1]]()
write_scopes()
return cmsgpack.pack({ now_us, answers })
