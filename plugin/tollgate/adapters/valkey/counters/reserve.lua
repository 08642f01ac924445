-- Hold what every account of a call asks for, or nothing. It follows counters.lua.
--
-- ARGV  3 how long a lease is in us   a call: three
--         numbers: of its caller, cost, input and output tokens as estimated, whether output is guessed
--         id; text: the reservation, opaque

local CALL, CALL_ARGS = '<HdddB', 3
local admitted = pack(ANSWER, 0, ' ')

local lease_end_us = now_us + ARGV[3]
local taken = {} -- leases to add, by the key of their slots
local holds = {} -- of a call, by account: one array for all calls

local function take(slots, id)
  local leases = taken[slots] or {}
  taken[slots] = leases
  leases[#leases + 1] = integer(lease_end_us)
  leases[#leases + 1] = id
  flying[slots] = in_flight(slots) + 1
end

-- The first account that refuses, and which of its limits, in capitals if the call would fit once what is held were given back (requests
-- never are); else 0, and what is held of each budget: no more than the tightest has left, or else a caller with a cent to spend would
-- lock a budget that all share.
local function refusing(accounts, cost, input, output, guessed)
  local hold = cost
  for at = 1, #accounts do
    local account = accounts[at]
    local scope, rpm, tpm = account[SCOPE], account[RPM], account[TPM]
    if rpm >= 0 and level(scope[REQUESTS], scope[REQUESTS_MS], rpm) + UNITS > rpm * UNITS then
      return at, 'r'
    end
    if tpm >= 0 then
      local tokens, wanted = level(scope[TOKENS], scope[TOKENS_MS], tpm), tokens_within(tpm, input, output, guessed)
      if tokens + wanted * UNITS > tpm * UNITS then
        local settled = max(0, tokens - scope[HELD_TOKENS] * UNITS)
        return at, settled + wanted * UNITS > tpm * UNITS and 't' or 'T'
      end
    end
    if account[PARALLEL] >= 0 and in_flight(account[SLOTS]) >= account[PARALLEL] then
      return at, account[PARALLEL] > 0 and 'P' or 'p'
    end
    if account[BUDGET] >= 0 then
      local used = spend_of(scope, account)
      local left = account[BUDGET] - used - scope[HELD]
      if left <= 0 then
        return at, used < account[BUDGET] and 'B' or 'b'
      end
      hold = min(hold, left)
    end
  end
  return 0, hold
end

-- The answer; and what begins the reservation, unless it is refused.
local function reserve_one(id, caller, cost, input, output, guessed)
  local accounts = accounts_of(caller)
  local refused, found = refusing(accounts, cost, input, output, guessed)
  if refused > 0 then
    return pack(ANSWER, refused, found)
  end
  for at = 1, #accounts do
    local account = accounts[at]
    local scope, rpm, tpm, budget, hold = account[SCOPE], account[RPM], account[TPM], account[BUDGET], 0
    enter_period(scope, account)
    if rpm >= 0 then
      keep_units(scope, REQUESTS, REQUESTS_MS, level(scope[REQUESTS], scope[REQUESTS_MS], rpm) + UNITS)
    end
    if tpm >= 0 then
      local tokens = tokens_within(tpm, input, output, guessed)
      keep_units(scope, TOKENS, TOKENS_MS, level(scope[TOKENS], scope[TOKENS_MS], tpm) + tokens * UNITS)
      scope[HELD_TOKENS] = scope[HELD_TOKENS] + tokens
    end
    if account[PARALLEL] >= 0 then
      take(account[SLOTS], id)
    end
    if budget >= 0 then
      hold = found
    end
    scope[HELD] = scope[HELD] + hold
    scope[PACKED] = false
    holds[at] = hold
  end
  local count = #accounts
  return admitted, pack(HOLDS .. rep(HOLD, count), lease_end_us, count, unpack(holds, 1, count))
end

local reservations = {}
for at = first_call, #ARGV, CALL_ARGS do
  local id, text = ARGV[at + 1], ARGV[at + 2]
  local answer, held = reserve_one(id, unpack_struct(CALL, ARGV[at]))
  answers[#answers + 1] = answer
  if held then
    reservations[#reservations + 1] = id
    reservations[#reservations + 1] = held .. text
  end
end
if #reservations > 0 then
  call('HSET', KEYS[1], unpack(reservations))
  for slots, leases in pairs(taken) do
    call('ZADD', slots, unpack(leases))
  end
  write_scopes()
end
return reply(answers, true)
