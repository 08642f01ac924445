-- Hold what every limit of a call asks for, or nothing. It follows counters.lua.
--
-- ARGV  3 how long a lease is in us
--       6 of a call: for each meter of the caller what it may use, and what of its output is a
--         guess, or -1 for limits that hold the worst case, and all of it
--       texts of a call: its id; the reservation, opaque; a name under which its id can be looked
--         up, or ''
--
-- A reservation is kept as the end of its lease and when it was admitted, in us, how many meters its
-- caller has, what it holds of the periods' limits of each, and its text.

local lease_end_us = now_us + ARGV[3]
local lease_end = format('%d', lease_end_us)
local holds = {} -- of a call, by meter: one array for all calls
-- What a call takes once all its limits let it pass, one behind the other: of each amount to hold
-- its scope, where it is held there, and its meter; and the numbers of its slots.
local holders, takers, holder_count, taker_count = {}, {}, 0, 0
-- Of each share its scope, its place, what is used of it then, and what more is held.
local sharers, sharer_count = {}, 0

-- Whether a period's limit refuses: 0 if it does not, 1 if it does, -1 if it would not were all
-- that is held given back. It refuses when nothing is left: a call holds what is left at most, and
-- of all limits of a meter no more than the tightest has left, or else a caller with a cent to
-- spend would lock a budget that all share.
local function period_refuses(at, limit, used, scope, held)
  local meter, amount = limits[limit + 1], limits[limit + 2]
  local left = amount - used - scope[held]
  local hold, tightest = asked_of(at, meter, amount), holds[meter]
  if tightest and tightest < hold then
    hold = tightest
  end
  if hold > left or left <= 0 then
    local strict = calls[at + 2 * meter + 1] < 0
    if strict or left <= 0 then
      local least = strict and hold > 1 and hold or 1
      return used + least <= amount and -1 or 1
    end
    hold = left
  end
  holds[meter] = hold
  holders[holder_count + 1], holders[holder_count + 2] = scope, held
  holders[holder_count + 3] = meter
  holder_count = holder_count + 3
  return 0
end

-- Whether a caller's share of the bucket before it refuses, as above. That bucket holds the call
-- already. There is room in what is common, in what the share reserves, or where nothing is used.
-- A share counts no more than it reserves: the rest was common.
local function share_refuses(at, limit, scope, place)
  local meter, amount, own = limits[limit + 1], limits[limit + 2], limit + limits[limit + 4]
  local ticks, common, reserved = limits[own], limits[own + 1], limits[own + 2]
  local level, hold, held = drain(scope, place, limits[limit - 5], limits[own + 3]), 1, 0
  if meter > 0 then
    hold = bucket_hold(at, meter, amount)
    held = hold
  end
  local asked, bucket = hold * ticks, place_of(scope, limits[limit - 2])
  local whole = scope[bucket + $USED] - asked
  if whole > 0 and whole + asked > common and level + asked > reserved then
    local room = math.max(common - whole, reserved - level)
    whole = whole - (scope[bucket + $HOLDS] - held) * ticks
    local settled = math.max(common - whole, reserved - level + scope[place + $HOLDS] * ticks)
    if whole <= 0 then
      settled = amount * ticks
    end
    -- What is held is told in whole amounts.
    return asked <= room + floor((settled - room) / ticks) * ticks and -1 or 1
  end
  if level < reserved then
    level = math.min(reserved, level + asked)
  end
  sharers[sharer_count + 1], sharers[sharer_count + 2] = scope, place
  sharers[sharer_count + 3], sharers[sharer_count + 4] = level, held
  sharer_count = sharer_count + 4
  return 0
end

-- Whether a limit with a counter refuses, as above. What a bucket does not refuse it holds, and a
-- request is counted at once: give_back undoes it if a later limit refuses.
local function counter_refuses(at, limit, scope, place)
  local kind, meter, amount = limits[limit], limits[limit + 1], limits[limit + 2]
  if kind <= $BUCKET_S then
    local ticks, hold = limits[limit + 4], 1
    if meter > 0 then
      hold = bucket_hold(at, meter, amount)
    end
    local level, room = drain(scope, place, kind, amount), (amount - hold) * ticks
    if level > room then
      local settled = level - scope[place + $HOLDS] * ticks
      return room >= 0 and settled <= room and -1 or 1
    end
    scope[place + $USED] = level + hold * ticks
    if meter > 0 then
      scope[place + $HOLDS] = scope[place + $HOLDS] + hold
    end
    return 0
  elseif kind == $SHARE then
    return share_refuses(at, limit, scope, place)
  end
  local used = enter_period(scope, place, limit)
  if meter > 0 then
    return period_refuses(at, limit, used, scope, place + $HOLDS)
  elseif used >= amount then
    return 1
  end
  scope[place + $USED] = used + 1
  return 0
end

-- Take what a call holds, limit by limit. Where one refuses, return its account's number, its own
-- there, negative if the call would fit once all that is held were given back, and where it stands.
local function find_refusing(at)
  local account, name = calls[at] + 2, calls[at + 1]
  for number = 1, limits[account - 2] do
    local scope, first, place = scopes[names[name]], account + 3, $FIRST
    local last = account + 2 + 5 * limits[account]
    for limit = first, last, 5 do
      local kind, refused = limits[limit], 0
      if kind == $SPEND then
        -- Above 2^53 it is near enough: no budget is as great.
        local spent, distance = scope[$HIGH] * $HALF + scope[$LOW], limits[account + 2]
        if distance > 0 and period_start(account + distance) > scope[$PERIOD] then
          spent = 0
        end
        refused = period_refuses(at, limit, spent, scope, $HELD)
      elseif kind == $LEASE_KIND then
        local slots, amount = names[name + 1], limits[limit + 2]
        if in_flight(slots) < amount then
          taker_count = taker_count + 1
          takers[taker_count] = slots
        else
          refused = amount > 0 and -1 or 1
        end
      else
        local counter = limits[limit + 3]
        if scope[place] ~= counter then
          place = place_of(scope, counter)
        end
        refused = counter_refuses(at, limit, scope, place)
        place = place + 4
      end
      if refused ~= 0 then
        return number, refused * ((limit - first) / 5 + 1), limit
      end
    end
    account, name = last + 1, name + 2
  end
end

-- Give back what a call took of the limits before one that refused it.
local function give_back(at, refusing)
  local account, name = calls[at] + 2, calls[at + 1]
  while account < refusing do
    local scope, last = scopes[names[name]], account + 2 + 5 * limits[account]
    for limit = account + 3, math.min(last, refusing - 1), 5 do
      local kind, meter, counter = limits[limit], limits[limit + 1], limits[limit + 3]
      if kind <= $BUCKET_S then
        local hold, place = 1, place_of(scope, counter)
        if meter > 0 then
          hold = bucket_hold(at, meter, limits[limit + 2])
          scope[place + $HOLDS] = scope[place + $HOLDS] - hold
        end
        scope[place + $USED] = scope[place + $USED] - hold * limits[limit + 4]
      elseif (kind == $PERIOD_OF_ITS_OWN or kind == $ROLLOVER) and meter == 0 then
        local used = place_of(scope, counter) + $USED
        scope[used] = scope[used] - 1
      end
    end
    account, name = last + 1, name + 2
  end
end

local answers, tell = {}, true
local reservations, reservation_count, leases = {}, 0, {} -- to add; leases by number of the slots
local at, text = 1, $OWN_ARGS + 1
while at < #calls do
  local caller, name, id = calls[at], calls[at + 1], ARGV[text]
  local meters = limits[caller + 1]
  for meter = 1, meters do
    holds[meter] = false
  end
  holder_count, taker_count, sharer_count = 0, 0, 0
  local number, limit, refusing = find_refusing(at)
  if number then
    give_back(at, refusing)
    answers[#answers + 1] = pack('$ANSWER', number, limit)
  else
    answers[#answers + 1] = '$NOBODY'
    for holder = 1, holder_count, 3 do
      local scope, held = holders[holder], holders[holder + 1]
      scope[held] = scope[held] + holds[holders[holder + 2]]
    end
    for taker = 1, taker_count do
      local slots = takers[taker]
      local added = leases[slots] or {}
      added[#added + 1], added[#added + 2] = lease_end, id
      leases[slots], flying[slots] = added, flying[slots] + 1
    end
    for sharer = 1, sharer_count, 4 do
      local scope, place = sharers[sharer], sharers[sharer + 1]
      scope[place + $USED] = sharers[sharer + 2]
      scope[place + $HOLDS] = scope[place + $HOLDS] + sharers[sharer + 3]
    end
    for account = name, name + 2 * limits[caller] - 2, 2 do
      scopes[names[account]][$CHANGED] = true
    end
    for meter = 1, meters do
      holds[meter] = holds[meter] or 0
    end
    local form = sub('$HELD_FORMAT', 1, $RESERVATION_SIZE + $HOLD_SIZE * meters)
    local held = pack(form, lease_end_us, now_us, meters, unpack(holds, 1, meters))
    reservations[reservation_count + 1] = id
    reservations[reservation_count + 2] = held .. ARGV[text + 1]
    reservation_count = reservation_count + 2
    local other_name = ARGV[text + 2]
    if other_name ~= '' then
      reservations[reservation_count + 1], reservations[reservation_count + 2] = other_name, id
      reservation_count = reservation_count + 2
    end
  end
  at, text = at + 2 + 2 * meters, text + 3
end
if reservation_count > 0 then
  call('HSET', KEYS[1], unpack(reservations, 1, reservation_count))
  for slots, added in pairs(leases) do
    call('ZADD', KEYS[$OWN_KEYS + scope_count + slots], unpack(added))
  end
end
