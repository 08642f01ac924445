-- Replace what calls hold by what they used, and write their ledger records. It follows counters.lua.
--
-- ARGV  3 oldest ledger time to keep in ms   a call: four
--         numbers: of its caller, cost, input and output tokens as they were estimated, whether output was guessed; used tokens, whether
--         to tell where the accounts stand
--         id; text: the ledger record, opaque; model

local CALL, CALL_ARGS = '<HdddBdB', 4

local settled_now, settled_before = pack(ANSWER, 0, ' '), pack(ANSWER, -1, ' ')
local somebody_asks = false -- to be told where the accounts stand
local passing = {} -- scopes that are forgotten when they are idle
local spent = {} -- by model and scope: what is still to be added to the scope's lines

-- A lifetime's sum may pass 2^53, so it is kept as digits and added up in two halves.
local function add_sum(scope, model, amount)
  local lines, name = scope[LINES], '\n' .. model .. '='
  local _, before = find(lines, name, 1, true)
  if not before then
    lines = lines .. name .. format(SUM, 0, 0)
    before = #lines - SUM_DIGITS
  end
  local middle, last = before + HIGH_DIGITS, before + SUM_DIGITS
  local low = sub(lines, middle + 1, last) + amount % LOW_SIZE
  local high = sub(lines, before + 1, middle) + floor(amount / LOW_SIZE) + floor(low / LOW_SIZE)
  scope[LINES] = sub(lines, 1, before) .. format(SUM, high, low % LOW_SIZE) .. sub(lines, last + 1)
end

local function spend(scope, model, cost)
  local costs = spent[model] or {}
  spent[model] = costs
  local before = costs[scope] or 0
  if before > MAX_EXACT - cost then
    add_sum(scope, model, before)
    before = 0
  end
  costs[scope] = before + cost
end

local function use(scope, cost)
  local low = scope[LOW] + cost % HALF
  scope[LOW], scope[HIGH] = low % HALF, scope[HIGH] + floor(cost / HALF) + floor(low / HALF)
end

-- The reaper settles every lease that runs out, so nothing stays in the set, and an empty set is no key.
local function free(slots, id)
  call('ZREM', slots, id)
  flying[slots] = nil
end

-- What a reservation holds, by account: of those that limit nothing, nothing.
local function holds_of(reservation)
  local _, count, first = unpack_struct(HOLDS, reservation)
  local found = { unpack_struct('<' .. rep(HOLD, count), reservation, first) }
  found[count + 1] = nil -- where to read on
  return found
end

local function settle_one(id, reservation, model, caller, cost, input, output, guessed, used_tokens, tell)
  local accounts, held = accounts_of(caller), holds_of(reservation)
  for at = 1, #accounts do
    local account = accounts[at]
    local scope, rpm, tpm = account[SCOPE], account[RPM], account[TPM]
    enter_period(scope, account)
    use(scope, cost)
    -- An entity that was deleted meanwhile took along what its calls held.
    scope[HELD] = max(0, scope[HELD] - (held[at] or 0))
    if rpm >= 0 then
      keep_units(scope, REQUESTS, REQUESTS_MS, level(scope[REQUESTS], scope[REQUESTS_MS], rpm))
    end
    if tpm >= 0 then
      local held_tokens = tokens_within(tpm, input, output, guessed)
      local tokens = max(0, level(scope[TOKENS], scope[TOKENS_MS], tpm) + (used_tokens - held_tokens) * UNITS)
      keep_units(scope, TOKENS, TOKENS_MS, min(MAX_EXACT, tokens))
      scope[HELD_TOKENS] = max(0, scope[HELD_TOKENS] - held_tokens)
    end
    if account[PARALLEL] >= 0 then
      free(account[SLOTS], id)
    end
    if cost > 0 then
      spend(scope, model, cost)
    end
    if account[PASSING] > 0 then
      passing[scope] = true
    end
    scope[PACKED] = false
  end
  somebody_asks = somebody_asks or tell > 0
end

local ids = {}
for at = first_call, #ARGV, CALL_ARGS do
  ids[#ids + 1] = ARGV[at + 1]
end
local reservations = call('HMGET', KEYS[1], unpack(ids))
local settled, records, once = {}, {}, {}
for number, id in ipairs(ids) do
  local at, reservation = first_call + CALL_ARGS * (number - 1), reservations[number]
  if reservation and not once[id] then
    settle_one(id, reservation, ARGV[at + 3], unpack_struct(CALL, ARGV[at]))
    answers[number] = settled_now
    once[id] = true
    settled[#settled + 1] = id
    records[#records + 1] = #settled
    records[#records + 1] = ARGV[at + 2]
  else
    answers[number] = settled_before
  end
end
if #settled > 0 then
  call('HDEL', KEYS[1], unpack(settled))
  call('XADD', KEYS[2], 'MINID', '~', ARGV[3], '*', unpack(records))
  for model, costs in pairs(spent) do
    for scope, cost in pairs(costs) do
      add_sum(scope, model, cost)
    end
  end
  write_scopes()
  if next(passing) then
    for number = 1, scope_count do
      if passing[scopes[number]] then
        call('PEXPIRE', KEYS[OWN_KEYS + number], integer(now_ms - ARGV[3]))
      end
    end
  end
end
return reply(answers, somebody_asks)
