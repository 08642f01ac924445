-- Limits and spend, atomically. One run is one operation, on as many calls as came together: each sees what those before it did.
--
-- KEYS  reservations, leases, ledger of an organization, then scopes, then slots: each once, callers name them by number
--       renew: reservations, leases, then the slots of one call
-- ARGV  1 reserve, settle, peek or renew   2 now in us ('' asks the server)   3 number of scopes
--       4 reserve, renew: how long a lease is in us; settle: oldest ledger time to keep in ms
--       5 number of callers, then two for each caller: its accounts' limits, and their keys; then the calls; renew: 5 reservation id
--         limits: seven doubles an account: rpm, tpm, parallel, budget (-1: none), and its period in us: previous start, start, end
--         keys: two 16-bit numbers an account: of its scope, and of its slots (0 where parallel is -1)
--         call: numbers (RESERVE, SETTLE or PEEK below: of its caller, cost, input and output tokens, whether they are guessed; of
--         settle used tokens, whether to tell); id; text: the reservation or the ledger record, opaque; of settle the model
-- Reply renew: 1 or 0; the others: now in us, and for each call a string: number of the account that refused (0: none, -1: no such
--       reservation), its limit (r, t, p or b), and a state for each account; for none where a settlement is not asked to tell
--
-- A state is eight integers: units used of requests, of tokens, calls in flight, nano-dollars used, held, start of the period in us,
-- and as of which ms requests and tokens are. A scope is a string: its state, where calls in flight are left out, then for each model
-- a line `NAME=SUM` of what was ever spent on it. A reservation is how many accounts it holds for, what it holds of each budget, and
-- its text.
--
-- Integers only, below 2^53. Each call reads all, checks all, then writes all. What costs here is calls into the store and the steps of
-- Lua, so each key is read and written once, and an account is unpacked, checked, and packed for both answer and store, in one go.
-- core/bucket.py and core/budget.py hold the same arithmetic; tests/properties/test_lua_equals_python.py compares them.

local UNITS = 60000 -- units in a token: a limit of L a minute drains L units each millisecond
local MAX_EXACT = 9007199254740991
local LIMITS, LIMITS_BYTES = '<ddddddd', 56
local TWO_KEYS, TWO_KEYS_BYTES = '<HH', 4
local STATE, STATE_BYTES = '<i8i8xxxxxxxxi8i8i8i8i8', 64
local TOLD, NO_STATE = '<i8i8i8i8i8i8xxxxxxxxxxxxxxxx', string.rep('\0', STATE_BYTES)
local ANSWER, COUNT, HOLD = '<hc1', '<H', 'i8'
local RESERVE, SETTLE, PEEK = '<HdddB', '<HdddBdB', '<H'
local SUM, SUM_DIGITS, HIGH_DIGITS, LOW_SIZE = '%010d%015d', 25, 10, 1e15
local OWN_KEYS, OWN_ARGS = 3, 5
local format, sub, find, rep, concat = string.format, string.sub, string.find, string.rep, table.concat
local floor, min, max, pack, unpack_struct, call = math.floor, math.min, math.max, struct.pack, struct.unpack, redis.call

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
local stored, states = {}, {} -- by number: its value, and a string that begins with its state
local sums, spent = {}, {} -- by number: its lines, where they change; by model and number: what is still to be added to them

local function read_scopes()
  if scope_count > 0 then
    stored = call('MGET', unpack(KEYS, OWN_KEYS + 1, OWN_KEYS + scope_count))
    for number = 1, scope_count do
      stored[number] = stored[number] or NO_STATE
      states[number] = stored[number]
    end
  end
end

-- A lifetime's sum may pass 2^53, so it is kept as digits and added up in two halves.
local function add_sum(number, model, amount)
  local lines, name = sums[number] or sub(stored[number], STATE_BYTES + 1), '\n' .. model .. '='
  local _, before = find(lines, name, 1, true)
  if not before then
    lines = lines .. name .. format(SUM, 0, 0)
    before = #lines - SUM_DIGITS
  end
  local middle, last = before + HIGH_DIGITS, before + SUM_DIGITS
  local low = tonumber(sub(lines, middle + 1, last)) + amount % LOW_SIZE
  local high = tonumber(sub(lines, before + 1, middle)) + floor(amount / LOW_SIZE) + floor(low / LOW_SIZE)
  sums[number] = sub(lines, 1, before) .. format(SUM, high, low % LOW_SIZE) .. sub(lines, last + 1)
end

local function spend(number, model, cost)
  local costs = spent[model]
  if not costs then
    costs = {}
    spent[model] = costs
  end
  local before = costs[number] or 0
  if before > MAX_EXACT - cost then
    add_sum(number, model, before)
    before = 0
  end
  costs[number] = before + cost
end

local function write_scopes()
  for model, costs in pairs(spent) do
    for number, cost in pairs(costs) do
      add_sum(number, model, cost)
    end
  end
  local written = {}
  for number = 1, scope_count do
    if states[number] ~= stored[number] then
      written[#written + 1] = KEYS[OWN_KEYS + number]
      written[#written + 1] = states[number] .. (sums[number] or sub(stored[number], STATE_BYTES + 1))
    end
  end
  if #written > 0 then
    call('MSET', unpack(written))
  end
end

-- Slots -------------------------------------------------------------------------------------------------------------------------

local flying, taken = {}, {} -- by key: calls in flight as far as they are known, and leases to add

local function in_flight(slots)
  flying[slots] = flying[slots] or call('ZCOUNT', slots, '(' .. integer(now_us), '+inf')
  return flying[slots]
end

local function take(slots, lease_end, id)
  local leases = taken[slots] or {}
  taken[slots] = leases
  leases[#leases + 1] = lease_end
  leases[#leases + 1] = id
  flying[slots] = flying[slots] + 1
end

-- The reaper settles every lease that runs out, so nothing stays in the set, and an empty set is no key.
local function free(slots, id)
  call('ZREM', slots, id)
  flying[slots] = nil
end

local function write_slots()
  for slots, leases in pairs(taken) do
    call('ZADD', slots, unpack(leases))
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
  return unpack_struct(LIMITS, limits, (account - 1) * LIMITS_BYTES + 1)
end

-- The number of its scope, and the key of its slots.
local function keys_at(keys, account)
  local scope, slots = unpack_struct(TWO_KEYS, keys, (account - 1) * TWO_KEYS_BYTES + 1)
  return scope, KEYS[OWN_KEYS + scope_count + slots]
end

local function level(used, at, limit)
  if now_ms > at then
    used = used - (now_ms - at) * limit
  end
  return used > 0 and used or 0
end

-- What is used of a budget now, and the start of its period.
local function spend_of(used, stored_start, previous, start, finish)
  local period = 0
  if now_us < finish then
    period = now_us < start and previous or start
  elseif finish > 0 then
    local length = finish - start
    period = finish + floor((now_us - finish) / length) * length
  end
  if period > stored_start then
    return 0, period
  end
  return used, stored_start
end

-- What a call holds of a token limit: Reservation.tokens_within is its twin.
local function tokens_within(tpm, input, output, guessed)
  if guessed > 0 then
    output = min(output, floor(tpm / 4))
  end
  return max(1, min(input + output, tpm))
end

-- The state as an answer tells it, where what is not limited is 0: most often it is the one that is stored.
local function told(state, rpm, tpm, calls, requests, tokens, used, held, period)
  if calls == 0 and (rpm >= 0 or requests == 0) and (tpm >= 0 or tokens == 0) then
    return state
  end
  return pack(TOLD, rpm < 0 and 0 or requests, tpm < 0 and 0 or tokens, calls, used, held, period)
end

local function answer_of(balances, refused, kind)
  return pack(ANSWER, refused, kind) .. concat(balances)
end

-- An answer that tells where all accounts of a caller stand.
local function standing(caller, refused, kind)
  local limits, keys, count = accounts_of(caller)
  local balances = {}
  for account = 1, count do
    local rpm, tpm, parallel, _, previous, start, finish = limits_at(limits, account)
    local number, slots = keys_at(keys, account)
    local requests, tokens, used, held, period, requests_ms, tokens_ms = unpack_struct(STATE, states[number])
    used, period = spend_of(used, period, previous, start, finish)
    requests = rpm < 0 and 0 or level(requests, requests_ms, rpm)
    tokens = tpm < 0 and 0 or level(tokens, tokens_ms, tpm)
    balances[account] = pack(TOLD, requests, tokens, parallel < 0 and 0 or in_flight(slots), used, held, period)
  end
  return answer_of(balances, refused, kind)
end

-- Operations --------------------------------------------------------------------------------------------------------------------

-- The answer; and what it holds of each account, unless it is refused.
local function reserve_one(id, lease_end, caller, cost, input, output, guessed)
  local limits, keys, count = accounts_of(caller)
  local numbers, after, balances, holds, slots_taken = {}, {}, {}, {}, {}
  for account = 1, count do
    local rpm, tpm, parallel, budget, previous, start, finish = limits_at(limits, account)
    local number, slots = keys_at(keys, account)
    local requests, tokens, used, held, period, requests_ms, tokens_ms = unpack_struct(STATE, states[number])
    local calls, hold = 0, 0
    used, period = spend_of(used, period, previous, start, finish)
    if rpm >= 0 then
      requests, requests_ms = level(requests, requests_ms, rpm) + UNITS, max(requests_ms, now_ms)
      if requests > rpm * UNITS then
        return standing(caller, account, 'r')
      end
    end
    if tpm >= 0 then
      tokens = level(tokens, tokens_ms, tpm) + tokens_within(tpm, input, output, guessed) * UNITS
      tokens_ms = max(tokens_ms, now_ms)
      if tokens > tpm * UNITS then
        return standing(caller, account, 't')
      end
    end
    if parallel >= 0 then
      calls = in_flight(slots) + 1
      if calls > parallel then
        return standing(caller, account, 'p')
      end
      slots_taken[#slots_taken + 1] = slots
    end
    if budget >= 0 then
      hold = min(cost, budget - used - held)
      if used + held >= budget then
        return standing(caller, account, 'b')
      end
    end
    held = held + hold
    local state = pack(STATE, requests, tokens, used, held, period, requests_ms, tokens_ms)
    numbers[account], after[account], holds[account] = number, state, hold
    balances[account] = told(state, rpm, tpm, calls, requests, tokens, used, held, period)
  end
  for account = 1, count do
    states[numbers[account]] = after[account]
  end
  for _, slots in ipairs(slots_taken) do
    take(slots, lease_end, id)
  end
  return answer_of(balances, 0, ' '), pack(COUNT .. rep(HOLD, count), count, unpack(holds))
end

local function reserve()
  local lease_end = integer(now_us + ARGV[4])
  local answers, reservations, leases = { now_us }, {}, {}
  for at = first_call, #ARGV, 3 do
    local id, text = ARGV[at + 1], ARGV[at + 2]
    local answer, holds = reserve_one(id, lease_end, unpack_struct(RESERVE, ARGV[at]))
    answers[#answers + 1] = answer
    if holds then
      reservations[#reservations + 1] = id
      reservations[#reservations + 1] = holds .. text
      leases[#leases + 1] = lease_end
      leases[#leases + 1] = id
    end
  end
  if #leases > 0 then
    call('HSET', KEYS[1], unpack(reservations))
    call('ZADD', KEYS[2], unpack(leases))
    write_slots()
  end
  return answers
end

-- What a reservation holds, by account: of those that limit nothing, nothing.
local function holds_of(reservation)
  local count, first = unpack_struct(COUNT, reservation)
  local holds = { unpack_struct('<' .. rep(HOLD, count), reservation, first) }
  holds[count + 1] = nil -- where to read on
  return holds
end

local function settle_one(id, reservation, model, caller, cost, input, output, guessed, used_tokens, tell)
  local limits, keys, count = accounts_of(caller)
  local holds, balances = holds_of(reservation), {}
  for account = 1, count do
    local rpm, tpm, parallel, _, previous, start, finish = limits_at(limits, account)
    local number, slots = keys_at(keys, account)
    local requests, tokens, used, held, period, requests_ms, tokens_ms = unpack_struct(STATE, states[number])
    local calls = 0
    used, period = spend_of(used, period, previous, start, finish)
    used, held = min(MAX_EXACT, used + cost), held - (holds[account] or 0)
    if rpm >= 0 then
      requests, requests_ms = level(requests, requests_ms, rpm), max(requests_ms, now_ms)
    end
    if tpm >= 0 then
      tokens = level(tokens, tokens_ms, tpm) + (used_tokens - tokens_within(tpm, input, output, guessed)) * UNITS
      tokens, tokens_ms = min(MAX_EXACT, max(0, tokens)), max(tokens_ms, now_ms)
    end
    if parallel >= 0 then
      free(slots, id)
      calls = tell > 0 and in_flight(slots) or 0
    end
    if cost > 0 then
      spend(number, model, cost)
    end
    states[number] = pack(STATE, requests, tokens, used, held, period, requests_ms, tokens_ms)
    if tell > 0 then
      balances[account] = told(states[number], rpm, tpm, calls, requests, tokens, used, held, period)
    end
  end
  return answer_of(balances, 0, ' ')
end

local function settle()
  local ids = {}
  for at = first_call, #ARGV, 4 do
    ids[#ids + 1] = ARGV[at + 1]
  end
  local reservations = call('HMGET', KEYS[1], unpack(ids))
  local answers, settled, records, once = { now_us }, {}, {}, {}
  for number, id in ipairs(ids) do
    local at, reservation = first_call + 4 * (number - 1), reservations[number]
    if reservation and not once[id] then
      answers[number + 1] = settle_one(id, reservation, ARGV[at + 3], unpack_struct(SETTLE, ARGV[at]))
      once[id] = true
      settled[#settled + 1] = id
      records[#records + 1] = #settled
      records[#records + 1] = ARGV[at + 2]
    else
      answers[number + 1] = pack(ANSWER, -1, ' ')
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
  local answers = { now_us }
  for at = first_call, #ARGV do
    answers[#answers + 1] = standing(unpack_struct(PEEK, ARGV[at]), 0, ' ')
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
return answers
