-- Limits and spend, atomically: what the scripts of the four operations (reserve, settle, peek; and renew) begin with.
--
-- One run is one operation, on as many calls as came together: each sees what those before it did.
--
-- KEYS  reservations, ledger of an organization, then scopes, then slots: each once, callers name them by number
-- ARGV  1 now in us ('' asks the server)   2 number of scopes   3 the operation's own   4 number of callers
--       then two for each caller: its accounts' limits, and their keys; then the calls, as the operation says
--         limits: eight doubles an account: rpm, tpm, parallel, budget (-1: none), its period in us (previous start, start, end),
--         and 1 if its scope is to be forgotten when it is idle
--         keys: two 16-bit numbers an account: of its scope, and of its slots (0 where parallel is -1)
-- Reply now in us; a string of two values for each call: number of the account that refused (0: none, -1: no such reservation), and its
--       limit (r, t, p or b; in capitals where only holds stand in the way); then, as they are when all calls are done, a string of the
--       scopes' states and an array of the calls in flight of each of the slots, both empty where nobody asks to be told
--
-- A state is eight integers: units used of requests, of tokens, tokens held, nano-dollars used, held, start of the period in us, and as
-- of which ms requests and tokens are. What is held of tokens is part of what is used of them. A scope is a string: its state, then for each model a line `NAME=SUM` of what was
-- ever spent on it. A reservation is when its lease ends in us, how many accounts it holds for, what it holds of each budget, and its
-- text.
--
-- Integers only, below 2^53: what is used may be more, so its two halves are added up apart. Each call reads all, checks all, then writes all. What costs here is calls of functions in C, the store's
-- most, arrays that grow, and functions that are made: so each key is read, packed and written once, what is unpacked makes an array at
-- once, and an operation has a file of its own. Names in capitals are constants: scripts.py puts their values in their places.
-- core/limits/bucket.py and core/limits/period.py hold the same arithmetic; tests/properties/test_lua_equals_python.py compares them.

local UNITS = 60000 -- units in a token: a limit of L a minute drains L units each millisecond
local MAX_EXACT = 9007199254740991
local LIMITS, LIMITS_BYTES = '<dddddddd', 64
local TWO_KEYS, TWO_KEYS_BYTES = '<HH', 4
local STATE, STATE_BYTES = '<i8i8i8I4i4i8i8i8i8', 64
local HALF = 4294967296 -- 2^32: what is used is HIGH halves and LOW
local LEASE, LEASE_BYTES, HOLDS, HOLD = '<i8', 8, '<i8H', 'i8' -- what a reservation begins with
local ANSWER = '<hc1'
local SUM, SUM_DIGITS, HIGH_DIGITS, LOW_SIZE = '%010d%015d', 25, 10, 1e15
local OWN_KEYS, OWN_ARGS = 2, 4
-- What is where in a scope: its value as it was read, its state as a string (false: not packed yet), the state's numbers, and its lines.
local VALUE, PACKED, REQUESTS, TOKENS, HELD_TOKENS, LOW, HIGH, HELD, PERIOD = 1, 2, 3, 4, 5, 6, 7, 8, 9
local REQUESTS_MS, TOKENS_MS, LINES = 10, 11, 12
-- What is where in an account.
local SCOPE, SLOTS, RPM, TPM, PARALLEL, BUDGET, PREVIOUS, START, FINISH, PASSING = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local format, sub, find, rep, concat = string.format, string.sub, string.find, string.rep, table.concat
local floor, min, max, pack, unpack_struct, call = math.floor, math.min, math.max, struct.pack, struct.unpack, redis.call

local now_us = tonumber(ARGV[1])
if not now_us then
  local time = call('TIME')
  now_us = time[1] * 1000000 + time[2]
end
local now_ms = floor(now_us / 1000)

local function integer(value)
  return format('%.0f', value)
end

-- Scopes ------------------------------------------------------------------------------------------------------------------------

local scope_count = tonumber(ARGV[2])
local scopes = {} -- by number

local function read_scopes()
  if scope_count > 0 then
    scopes = call('MGET', unpack(KEYS, OWN_KEYS + 1, OWN_KEYS + scope_count))
    for number = 1, scope_count do
      local value = scopes[number] or rep('\0', STATE_BYTES)
      local scope = { value, false, unpack_struct(STATE, value) }
      scope[LINES] = sub(value, STATE_BYTES + 1)
      scopes[number] = scope
    end
  end
end

local function packed(scope)
  local state = scope[PACKED] or pack(STATE, unpack(scope, REQUESTS, TOKENS_MS))
  scope[PACKED] = state
  return state
end

local function write_scopes()
  local written = {}
  for number = 1, scope_count do
    local scope = scopes[number]
    local value = packed(scope) .. scope[LINES]
    if value ~= scope[VALUE] then
      written[#written + 1] = KEYS[OWN_KEYS + number]
      written[#written + 1] = value
    end
  end
  if #written > 0 then
    call('MSET', unpack(written))
  end
end

-- Slots -------------------------------------------------------------------------------------------------------------------------

local flying = {} -- by key: calls in flight, as far as they are known

local function in_flight(slots)
  flying[slots] = flying[slots] or call('ZCOUNT', slots, '(' .. integer(now_us), '+inf')
  return flying[slots]
end

-- Accounts ----------------------------------------------------------------------------------------------------------------------

local callers = {} -- accounts, by number, as far as they were asked for

local function accounts_of(caller)
  local accounts = callers[caller]
  if not accounts then
    local at = OWN_ARGS + 2 * caller - 1
    local limits, keys = ARGV[at], ARGV[at + 1]
    accounts = {}
    for account = 1, #keys / TWO_KEYS_BYTES do
      local number, slots = unpack_struct(TWO_KEYS, keys, (account - 1) * TWO_KEYS_BYTES + 1)
      slots = KEYS[OWN_KEYS + scope_count + slots]
      accounts[account] = { scopes[number], slots, unpack_struct(LIMITS, limits, (account - 1) * LIMITS_BYTES + 1) }
    end
    callers[caller] = accounts
  end
  return accounts
end

local function level(used, at_ms, limit)
  if now_ms > at_ms then
    used = used - (now_ms - at_ms) * limit
  end
  return used > 0 and used or 0
end

local function keep_units(scope, units, at, used)
  scope[units] = used
  if now_ms > scope[at] then
    scope[at] = now_ms
  end
end

-- What is used of a budget now, and the start of its period. Above 2^53 it is near enough: no budget is as great.
local function spend_of(scope, account)
  local finish, period = account[FINISH], 0
  if now_us < finish then
    period = now_us < account[START] and account[PREVIOUS] or account[START]
  elseif finish > 0 then
    local length = finish - account[START]
    period = finish + floor((now_us - finish) / length) * length
  end
  if period > scope[PERIOD] then
    return 0, period
  end
  return scope[HIGH] * HALF + scope[LOW], scope[PERIOD]
end

-- A period that began since the scope was written starts with nothing used.
local function enter_period(scope, account)
  local _, period = spend_of(scope, account)
  if period > scope[PERIOD] then
    scope[LOW], scope[HIGH], scope[PERIOD] = 0, 0, period
  end
end

-- What a call holds of a token limit: Reservation.tokens_within is its twin.
local function tokens_within(tpm, input, output, guessed)
  if guessed > 0 then
    output = min(output, floor(tpm / 4))
  end
  return max(1, min(input + output, tpm))
end

-- The answers, and where their scopes stand if somebody asks to be told.
local function reply(answers, tell)
  local states, calls = {}, {}
  if tell then
    for number = 1, scope_count do
      states[number] = packed(scopes[number])
    end
    for number = OWN_KEYS + scope_count + 1, #KEYS do
      calls[#calls + 1] = in_flight(KEYS[number])
    end
  end
  return { now_us, concat(answers), concat(states), calls }
end

local first_call = OWN_ARGS + 2 * ARGV[4] + 1
local answers = {}
read_scopes()
