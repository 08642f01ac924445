-- Replace what calls hold by what they used, and write their ledger records. It follows
-- counters.lua.
--
-- ARGV  3 oldest ledger time to keep in ms   a call: four
--         numbers, doubles: of its caller; for each meter of the caller what the call was to use,
--         and what of its output was a guess; then for each meter what it used; its cost, and
--         whether to tell where the accounts stand
--         id; text: the ledger record, opaque; model

local settled_now, settled_before = pack('$ANSWER', 0, 0), pack('$ANSWER', -1, 0)
local somebody_asks = false -- to be told where the accounts stand
local passing = {} -- scopes that are forgotten when they are idle
local spent = {} -- by model and scope: what is still to be added to the scope's lines

-- A lifetime's sum may pass 2^53, so it is kept as digits and added up in two halves.
local function add_sum(scope, model, amount)
  local lines, name = scope[3], '\n' .. model .. '='
  local _, before = find(lines, name, 1, true)
  if not before then
    lines = lines .. name .. format('$SUM', 0, 0)
    before = #lines - $SUM_DIGITS
  end
  local middle, last = before + $HIGH_DIGITS, before + $SUM_DIGITS
  local low = sub(lines, middle + 1, last) + amount % $LOW_SIZE
  local high = sub(lines, before + 1, middle) + floor(amount / $LOW_SIZE) + floor(low / $LOW_SIZE)
  scope[3] = sub(lines, 1, before) .. format('$SUM', high, low % $LOW_SIZE) .. sub(lines, last + 1)
end

local function add_spend(scope, model, cost)
  local costs = spent[model] or {}
  spent[model] = costs
  local before = costs[scope] or 0
  if before > $MAX_EXACT - cost then
    add_sum(scope, model, before)
    before = 0
  end
  costs[scope] = before + cost
  local low = scope[$LOW] + cost % $HALF
  scope[$LOW] = low % $HALF
  scope[$HIGH] = scope[$HIGH] + floor(cost / $HALF) + floor(low / $HALF)
end

-- The reaper settles every lease that runs out, so nothing stays in the set, and an empty set is no
-- key.
local function free(slots, id)
  call('ZREM', slots, id)
  flying[slots] = nil
end

-- An entity that was deleted meanwhile took along what its calls held, so no hold goes below 0.
local function settle_limits(account, id, numbers, holds, meters)
  local scope, limits = account[$SCOPE], account[$LIMITS]
  for limit = account[$FIRST_LIMIT], account[$LAST_LIMIT], 5 do
    local kind, meter, amount = limits[limit], limits[limit + 1], limits[limit + 2]
    local at, used = limits[limit + 3], numbers[1 + 2 * meters + meter]
    if kind <= $BUCKET_S then
      local level = bucket_level(scope, at, kind, amount)
      if meter > 0 then
        local hold = bucket_hold(numbers, meter, amount)
        level = min($MAX_EXACT, max(0, level + (used - hold) * limits[limit + 4]))
        scope[at + $HOLDS] = max(0, scope[at + $HOLDS] - hold)
      end
      keep_bucket(scope, at, kind, level)
    elseif kind == $LEASE_KIND then
      free(account[$SLOTS], id)
    elseif kind == $SPEND then
      scope[$HELD] = max(0, scope[$HELD] - holds[meter])
    else
      enter_counter(scope, at, limits, limit)
      if meter > 0 then
        scope[at + $USED] = min($MAX_EXACT, scope[at + $USED] + used)
        scope[at + $HOLDS] = max(0, scope[at + $HOLDS] - holds[meter])
      end
    end
  end
end

local function settle_one(id, reservation, model, numbers)
  local accounts = accounts_of(numbers[1])
  local meters = (#numbers - 4) / 3
  local holds = { select(3, unpack_struct(reservation_format(meters), reservation)) }
  local cost, tell = numbers[2 + 3 * meters], numbers[3 + 3 * meters]
  for number = 1, #accounts do
    local account = accounts[number]
    local scope = account[$SCOPE]
    scope[1], scope[2] = true, false
    enter_period(scope, account)
    settle_limits(account, id, numbers, holds, meters)
    if cost > 0 then
      add_spend(scope, model, cost)
    end
    if account[$PASSING] > 0 then
      passing[scope] = true
    end
  end
  somebody_asks = somebody_asks or tell > 0
end

local ids = {}
for at = first_call, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at + 1]
end
local reservations = call('HMGET', KEYS[1], unpack(ids))
local settled, records, once = {}, {}, {}
for number, id in ipairs(ids) do
  local at, reservation = first_call + 4 * (number - 1), reservations[number]
  if reservation and not once[id] then
    local numbers = ARGV[at]
    numbers = { unpack_struct(doubles(#numbers / 8), numbers) }
    settle_one(id, reservation, ARGV[at + 3], numbers)
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
        call('PEXPIRE', KEYS[$OWN_KEYS + number], integer(now_ms - ARGV[3]))
      end
    end
  end
end
return reply(answers, somebody_asks)
