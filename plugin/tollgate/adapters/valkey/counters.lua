-- Limits and spend, atomically. One run is one operation, on as many calls as came together: each sees what those before it did.
--
-- KEYS  reservations, leases, ledger of an organization, then scopes, then slots: each once, the calls name them by number
--       renew: reservations, leases, then the slots of one call
-- ARGV  1 reserve, settle, peek or renew   2 now in us ('' asks the server)   3 number of scopes   4 calls as MessagePack, then
--       reserve   5 how long a lease is in us
--       settle    5 oldest ledger time to keep in ms
--       renew     4 reservation id, 5 how long a lease is in us
--       a call is [id, text, cost, input tokens, output tokens, guessed, accounts, scopes, slots], and of settle [.., tokens, model, tell]
--         text: the reservation or the ledger record, opaque; cost, tokens: the estimate, or what they were
--         accounts: each [rpm, tpm, parallel, budget, previous, start, end of its period in us], nil: no limit
--         scopes, slots: the number of each account's key among the scopes, and among the slots (0 where parallel is nil)
-- Reply renew: 1 or 0; the others, as MessagePack: now in us, and for each call
--       [number of the account that refused (0: none, -1: no such reservation), its limit (r, t, p or b), balances]
--         a balance is [requests, tokens, parallel, used, held, start of period]; none where a settlement is not asked to tell
--
-- A scope is a string: seven doubles (see STATE), then a line `NAME=SUM` for the lifetime's spend on each model, and on all (no name).
-- Integers only, below 2^53. Each call reads all, checks all, then writes all; all keys are read and written once: a call into
-- the store costs more than all else that is done for an account.
-- core/bucket.py and core/budget.py hold the same arithmetic; tests/properties/test_lua_equals_python.py compares them.

local UNITS = 60000 -- units in a token: a limit of L a minute drains L units each millisecond
local MAX_EXACT = 9007199254740991
local STATE = '<ddddddd' -- used, held, period; then units of requests, as of which ms; of tokens, as of which ms
local STATE_BYTES = 56
local LOW_DIGITS, LOW_SIZE = 15, 1e15
local OWN_KEYS = 3
local format, floor, max, min, sub, find = string.format, math.floor, math.max, math.min, string.sub, string.find
local call = redis.call

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

local scopes, scope_count = {}, tonumber(ARGV[3])

local function slots_key(one, at)
  return KEYS[OWN_KEYS + scope_count + one[9][at]]
end

local function read_scopes()
  if scope_count == 0 then
    return
  end
  local values = call('MGET', unpack(KEYS, OWN_KEYS + 1, OWN_KEYS + scope_count))
  for number = 1, scope_count do
    local value, scope = values[number], {}
    if value then
      scope.used, scope.held, scope.period, scope.r, scope.r_at, scope.t, scope.t_at = struct.unpack(STATE, value)
      scope.sums = sub(value, STATE_BYTES + 1)
    else
      scope.used, scope.held, scope.period, scope.r, scope.r_at, scope.t, scope.t_at = 0, 0, 0, 0, 0, 0, 0
      scope.sums = ''
    end
    scopes[number] = scope
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
  for number, scope in ipairs(scopes) do
    if scope.changed then
      local sums = scope.sums
      for name, amount in pairs(scope.spent or {}) do
        sums = with_sum(sums, name, amount)
      end
      written[#written + 1] = KEYS[OWN_KEYS + number]
      written[#written + 1] = struct.pack(
        STATE, scope.used, scope.held, scope.period, scope.r, scope.r_at, scope.t, scope.t_at
      ) .. sums
    end
  end
  if #written > 0 then
    call('MSET', unpack(written))
  end
end

-- Balances ----------------------------------------------------------------------------------------------------------------------

local function period_start(account)
  local previous, start, finish = account[5], account[6], account[7]
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

local function drained(used, at, limit)
  return max(0, used - max(0, now_ms - at) * limit)
end

-- Where the accounts of a call stand now: requests, tokens, parallel, used, held, period of each. `quiet`: nobody asks for parallel.
local function balances_of(one, quiet)
  local balances = {}
  for at, account in ipairs(one[7]) do
    local scope = scopes[one[8][at]]
    local used, period, start = scope.used, scope.period, period_start(account)
    if start > period then
      used, period = 0, start
    end
    balances[at] = {
      account[1] and drained(scope.r, scope.r_at, account[1]) or 0,
      account[2] and drained(scope.t, scope.t_at, account[2]) or 0,
      account[3] and not quiet and call('ZCOUNT', slots_key(one, at), '(' .. integer(now_us), '+inf') or 0,
      used,
      scope.held,
      period,
    }
  end
  return balances
end

-- What a call holds of a token limit: Reservation.tokens_within is its twin.
local function tokens_within(one, limit)
  local output = one[5]
  if one[6] then
    output = min(output, floor(limit / 4))
  end
  return max(1, min(one[4] + output, limit))
end

local function keep(account, scope, balance)
  scope.changed = true
  if account[1] then
    scope.r, scope.r_at = balance[1], max(scope.r_at, now_ms)
  end
  if account[2] then
    scope.t, scope.t_at = balance[2], max(scope.t_at, now_ms)
  end
  scope.used, scope.held, scope.period = balance[4], balance[5], balance[6]
end

-- Operations --------------------------------------------------------------------------------------------------------------------

local function refusing(one, balances)
  for at, account in ipairs(one[7]) do
    local rpm, tpm, parallel, budget, balance = account[1], account[2], account[3], account[4], balances[at]
    if rpm and balance[1] + UNITS > rpm * UNITS then
      return at, 'r'
    elseif tpm and balance[2] + tokens_within(one, tpm) * UNITS > tpm * UNITS then
      return at, 't'
    elseif parallel and balance[3] >= parallel then
      return at, 'p'
    elseif budget and balance[4] + balance[5] >= budget then
      return at, 'b'
    end
  end
  return 0, ''
end

local function reserve_one(one, lease_end, reservations, leases)
  local balances = balances_of(one)
  local refused, kind = refusing(one, balances)
  if refused > 0 then
    return { refused, kind, balances }
  end
  local held = {}
  for at, account in ipairs(one[7]) do
    local tpm, budget, balance = account[2], account[4], balances[at]
    balance[1] = balance[1] + (account[1] and UNITS or 0)
    if tpm then
      balance[2] = balance[2] + tokens_within(one, tpm) * UNITS
    end
    if account[3] then
      balance[3] = balance[3] + 1
      call('ZADD', slots_key(one, at), lease_end, one[1])
    end
    local amount = budget and min(one[3], budget - balance[4] - balance[5]) or 0
    balance[5] = balance[5] + amount
    held[at] = integer(amount)
    keep(account, scopes[one[8][at]], balance)
  end
  reservations[#reservations + 1] = one[1]
  reservations[#reservations + 1] = table.concat(held, ',') .. '|' .. one[2]
  leases[#leases + 1] = lease_end
  leases[#leases + 1] = one[1]
  return { 0, '', balances }
end

local function reserve(calls)
  local lease_end = integer(now_us + ARGV[5])
  local answers, reservations, leases = {}, {}, {}
  for number, one in ipairs(calls) do
    answers[number] = reserve_one(one, lease_end, reservations, leases)
  end
  if #leases > 0 then
    call('HSET', KEYS[1], unpack(reservations))
    call('ZADD', KEYS[2], unpack(leases))
  end
  return answers
end

-- A budget's holds of a reservation, by account.
local function holds_of(reservation)
  local held = {}
  for amount in string.gmatch(string.match(reservation, '^[^|]*'), '%d+') do
    held[#held + 1] = tonumber(amount)
  end
  return held
end

local function spend(scope, model, cost)
  local spent = scope.spent or {}
  spent[''], spent[model] = (spent[''] or 0) + cost, (spent[model] or 0) + cost
  scope.spent = spent
end

local function settle_one(one, held)
  local id, cost, tokens, model, quiet = one[1], one[3], one[10], one[11], not one[12]
  local balances = balances_of(one, quiet)
  for at, account in ipairs(one[7]) do
    local tpm, balance, scope = account[2], balances[at], scopes[one[8][at]]
    if tpm then
      balance[2] = min(MAX_EXACT, max(0, balance[2] + (tokens - tokens_within(one, tpm)) * UNITS))
    end
    if account[3] then
      -- The reaper settles every lease that runs out, so nothing stays in the set, and an empty set is no key.
      local slots = slots_key(one, at)
      local lease_end = not quiet and call('ZSCORE', slots, id)
      balance[3] = balance[3] - ((lease_end and tonumber(lease_end) > now_us) and 1 or 0)
      call('ZREM', slots, id)
    end
    balance[4], balance[5] = min(MAX_EXACT, balance[4] + cost), balance[5] - (held[at] or 0)
    keep(account, scope, balance)
    if cost > 0 then
      spend(scope, model, cost)
    end
  end
  return { 0, '', quiet and {} or balances }
end

local function settle(calls)
  local answers, ids, records, settled = {}, {}, {}, {}
  for number, one in ipairs(calls) do
    ids[number] = one[1]
  end
  local reservations = call('HMGET', KEYS[1], unpack(ids))
  ids = {}
  for number, one in ipairs(calls) do
    local reservation = reservations[number]
    if reservation and not settled[one[1]] then
      answers[number] = settle_one(one, holds_of(reservation))
      settled[one[1]] = true
      ids[#ids + 1] = one[1]
      records[#records + 1] = integer(#ids)
      records[#records + 1] = one[2]
    else
      answers[number] = { -1, '', {} }
    end
  end
  if #ids > 0 then
    call('HDEL', KEYS[1], unpack(ids))
    call('ZREM', KEYS[2], unpack(ids))
    call('XADD', KEYS[3], 'MINID', '~', ARGV[5], '*', unpack(records))
  end
  return answers
end

local function peek(calls)
  local answers = {}
  for number, one in ipairs(calls) do
    answers[number] = { 0, '', balances_of(one) }
  end
  return answers
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

if ARGV[1] == 'renew' then
  return renew()
end
local operations = { reserve = reserve, settle = settle, peek = peek }
read_scopes()
local answers = operations[ARGV[1]](cmsgpack.unpack(ARGV[4]))
write_scopes()
return cmsgpack.pack({ now_us, answers })
