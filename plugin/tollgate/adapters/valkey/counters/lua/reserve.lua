-- Hold what every limit of a call asks for, or nothing. It follows counters.lua.
--
-- ARGV  3 how long a lease is in us   a call: three
--         numbers, doubles: of its caller, two zeros; for each meter of the caller what the call may
--         use, and what of its output is a guess
--         id; text: the reservation, opaque
--
-- A reservation is kept as the end of its lease in us, how many meters its caller has, what it holds
-- of the periods' limits of each, and its text.

local admitted = pack('$ANSWER', 0, 0)
local lease_end_us = now_us + ARGV[3]
local taken = {} -- leases to add, by the key of their slots
local holds = {} -- of a call, by meter: one array for all calls

local function take(slots, id)
  local leases = taken[slots] or {}
  taken[slots] = leases
  leases[#leases + 1] = integer(lease_end_us)
  leases[#leases + 1] = id
  flying[slots] = in_flight(slots) + 1
end

-- Each of the next four says whether a limit refuses a call: 0 if it does not, 1 if it does, -1 if
-- the call would fit once all that is held were given back.

local function bucket_refuses(scope, limits, limit, call_numbers)
  local kind, amount, ticks = limits[limit], limits[limit + 2], limits[limit + 4]
  local hold = bucket_hold(call_numbers, limits[limit + 1], amount) * ticks
  local used, held = 0, 0
  local at = find_counter(scope, limits[limit + 3])
  if at then
    used = bucket_level(kind, scope[at + $USED], scope[at + $AT], amount)
    held = scope[at + $HOLDS]
  end
  if used + hold <= amount * ticks then
    return 0
  end
  return max(0, used - held * ticks) + hold <= amount * ticks and -1 or 1
end

-- A limit of a period refuses when nothing is left. A call holds what is left at most, and of all
-- limits of a meter no more than the tightest has left, or else a caller with a cent to spend would
-- lock a budget that all share.
local function period_refuses(meter, amount, used, held, call_numbers)
  local left = amount - used - held
  if left <= 0 then
    return used < amount and -1 or 1
  end
  local hold = min(asked_of(call_numbers, meter, amount), left)
  holds[meter] = min(holds[meter] or hold, hold)
  return 0
end

local function counter_refuses(scope, limits, limit, call_numbers)
  local used, held = 0, 0
  local at = find_counter(scope, limits[limit + 3])
  if at then
    held = scope[at + $HOLDS]
    if period_start(limits, limits[limit + 4]) <= scope[at + $AT] then
      used = scope[at + $USED]
    end
  end
  return period_refuses(limits[limit + 1], limits[limit + 2], used, held, call_numbers)
end

local function refuses(account, limit, call_numbers)
  local scope, limits = account[$SCOPE], account[$LIMITS]
  local kind, meter, amount = limits[limit], limits[limit + 1], limits[limit + 2]
  if kind <= $BUCKET_S then
    return bucket_refuses(scope, limits, limit, call_numbers)
  elseif kind == $SPEND then
    return period_refuses(meter, amount, spend_level(scope, account), scope[$HELD], call_numbers)
  elseif kind == $PERIOD_OF_ITS_OWN then
    return counter_refuses(scope, limits, limit, call_numbers)
  elseif in_flight(account[$SLOTS]) < amount then
    return 0
  end
  return amount > 0 and -1 or 1
end

-- The first limit that refuses, as its account's number and its own there; nil: none does.
local function find_refusing(accounts, call_numbers)
  for number = 1, #accounts do
    local account = accounts[number]
    local first = account[$FIRST_LIMIT]
    for limit = first, account[$LAST_LIMIT], 6 do
      local refused = refuses(account, limit, call_numbers)
      if refused ~= 0 then
        return number, refused * ((limit - first) / 6 + 1)
      end
    end
  end
end

local function hold_limit(account, limit, id, call_numbers)
  local scope, limits = account[$SCOPE], account[$LIMITS]
  local kind, meter, amount = limits[limit], limits[limit + 1], limits[limit + 2]
  local given_back = limits[limit + 5]
  if kind <= $BUCKET_S then
    local at = counter_of(scope, limits[limit + 3])
    local hold = bucket_hold(call_numbers, meter, amount)
    local used = bucket_level(kind, scope[at + $USED], scope[at + $AT], amount)
    keep_bucket(scope, at, kind, used + hold * limits[limit + 4])
    scope[at + $HOLDS] = scope[at + $HOLDS] + hold * given_back
  elseif kind == $SPEND then
    scope[$HELD] = scope[$HELD] + holds[meter]
  elseif kind == $PERIOD_OF_ITS_OWN then
    local at = current_counter(scope, limits, limit)
    local place = at + (given_back > 0 and $HOLDS or $USED)
    scope[place] = scope[place] + holds[meter]
  else
    take(account[$SLOTS], id)
    return
  end
  changed(scope)
end

-- The answer; and what begins the reservation, unless it is refused.
local function reserve_one(id, call_numbers)
  local accounts, meters = accounts_of(call_numbers[1]), (#call_numbers - 1 - $CALL_HEAD) / 2
  for meter = 1, meters do
    holds[meter] = nil
  end
  local number, limit = find_refusing(accounts, call_numbers)
  if number then
    return pack('$ANSWER', number, limit)
  end
  for at = 1, #accounts do
    local account = accounts[at]
    enter_period(account[$SCOPE], account)
    for each = account[$FIRST_LIMIT], account[$LAST_LIMIT], 6 do
      hold_limit(account, each, id, call_numbers)
    end
  end
  for meter = 1, meters do
    holds[meter] = holds[meter] or 0
  end
  return admitted, pack('$RESERVATION' .. rep('$HOLD', meters), lease_end_us, meters, unpack(holds, 1, meters))
end

local reservations = {}
for at = first_call, #ARGV, 3 do
  local numbers, id, text = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local answer, held = reserve_one(id, { unpack_struct('<' .. rep('d', #numbers / 8), numbers) })
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
