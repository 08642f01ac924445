-- Hold what every limit of a call asks for, or nothing. It follows counters.lua.
--
-- ARGV  3 how long a lease is in us   a call: three
--         numbers, doubles: of its caller; for each meter of the caller what the call may use, and
--         what of its output is a guess
--         id; text: the reservation, opaque
--
-- A reservation is kept as the end of its lease in us, how many meters its caller has, what it
-- holds of the periods' limits of each, and its text.

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

-- Whether a limit of a period refuses: 0 if it does not, 1 if it does, -1 if it would not were all
-- that is held given back. It refuses when nothing is left: a call holds what is left at most, and
-- of all limits of a meter no more than the tightest has left, or else a caller with a cent to
-- spend would lock a budget that all share.
local function period_refuses(meter, amount, used, held, numbers)
  local left = amount - used - held
  if left <= 0 then
    return used < amount and -1 or 1
  end
  if meter > 0 then
    holds[meter] = min(holds[meter] or asked_of(numbers, meter, amount), left)
  end
  return 0
end

-- The first limit that refuses, as its account's number and its own there, negative if the call
-- would fit once all that is held were given back; nil: none does.
local function find_refusing(accounts, numbers)
  for number = 1, #accounts do
    local account = accounts[number]
    local scope, limits, first = account[$SCOPE], account[$LIMITS], account[$FIRST_LIMIT]
    for limit = first, account[$LAST_LIMIT], 5 do
      local kind, meter, amount = limits[limit], limits[limit + 1], limits[limit + 2]
      local at, refused = limits[limit + 3], 0
      if kind <= $BUCKET_S then
        local ticks, level = limits[limit + 4], bucket_level(scope, at, kind, amount)
        local room = (amount - bucket_hold(numbers, meter, amount)) * ticks
        if level > room then
          refused = max(0, level - scope[at + $HOLDS] * ticks) <= room and -1 or 1
        end
      elseif kind == $SPEND then
        refused = period_refuses(meter, amount, spend_level(scope, account), scope[$HELD], numbers)
      elseif kind == $PERIOD_OF_ITS_OWN then
        local used = counter_level(scope, at, limits, limit)
        refused = period_refuses(meter, amount, used, scope[at + $HOLDS], numbers)
      elseif in_flight(account[$SLOTS]) >= amount then
        refused = amount > 0 and -1 or 1
      end
      if refused ~= 0 then
        return number, refused * ((limit - first) / 5 + 1)
      end
    end
  end
end

local function hold_limits(account, id, numbers)
  local scope, limits = account[$SCOPE], account[$LIMITS]
  for limit = account[$FIRST_LIMIT], account[$LAST_LIMIT], 5 do
    local kind, meter, at = limits[limit], limits[limit + 1], limits[limit + 3]
    if kind <= $BUCKET_S then
      local amount = limits[limit + 2]
      local hold = bucket_hold(numbers, meter, amount)
      keep_bucket(scope, at, kind, bucket_level(scope, at, kind, amount) + hold * limits[limit + 4])
      if meter > 0 then
        scope[at + $HOLDS] = scope[at + $HOLDS] + hold
      end
    elseif kind == $LEASE_KIND then
      take(account[$SLOTS], id)
    elseif kind == $SPEND then
      scope[$HELD] = scope[$HELD] + holds[meter]
    else
      enter_counter(scope, at, limits, limit)
      if meter > 0 then
        scope[at + $HOLDS] = scope[at + $HOLDS] + holds[meter]
      else
        scope[at + $USED] = scope[at + $USED] + 1
      end
    end
  end
end

-- The answer; and what begins the reservation, unless it is refused.
local function reserve_one(id, numbers)
  local accounts, meters = accounts_of(numbers[1]), (#numbers - 2) / 2
  for meter = 1, meters do
    holds[meter] = nil
  end
  local number, limit = find_refusing(accounts, numbers)
  if number then
    return pack('$ANSWER', number, limit)
  end
  for at = 1, #accounts do
    local account = accounts[at]
    local scope = account[$SCOPE]
    scope[1], scope[2] = true, false
    enter_period(scope, account)
    hold_limits(account, id, numbers)
  end
  for meter = 1, meters do
    holds[meter] = holds[meter] or 0
  end
  return admitted, pack(reservation_format(meters), lease_end_us, meters, unpack(holds, 1, meters))
end

local reservations = {}
for at = first_call, #ARGV, 3 do
  local numbers, id, text = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local answer, held = reserve_one(id, { unpack_struct(doubles(#numbers / 8), numbers) })
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
