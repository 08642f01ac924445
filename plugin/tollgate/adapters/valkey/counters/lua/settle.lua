-- Replace what calls hold by what they used, and write their ledger records. It follows
-- counters.lua.
--
-- ARGV  3 oldest ledger time to keep in ms
--       6 of a call: for each meter of the caller what it was to use, and what of its output was a
--         guess; then for each meter what it used; its cost; and whether to tell where the accounts
--         stand (2: the call is undone, too)
--       texts of a call: its id; the ledger record, opaque (empty: none is written); the name of
--         its model; the name under which its id can be looked up, or ''
--
-- A call that is undone was refused elsewhere: it gives back the request that it counted as well.

-- A lifetime's sum is kept as digits. It may pass 2^53, and is then added up in two halves.
local function add_sum(scope)
  local lines, name, amount = scope[$LINES], '\n' .. scope[$MODEL] .. '=', scope[$CHARGE]
  local _, before = find(lines, name, 1, true)
  if not before then
    scope[$LINES] = lines .. name .. format('%0${SUM_DIGITS}d', amount)
    return
  end
  local last = before + $SUM_DIGITS
  local digits = sub(lines, before + 1, last)
  local sum = digits + amount
  if sum < $MAX_EXACT then
    digits = format('%0${SUM_DIGITS}d', sum)
  else
    local low = sub(digits, $HIGH_DIGITS + 1) + amount % $LOW_SIZE
    local high = sub(digits, 1, $HIGH_DIGITS) + floor(amount / $LOW_SIZE) + floor(low / $LOW_SIZE)
    digits = format('$SUM', high, low % $LOW_SIZE)
  end
  scope[$LINES] = sub(lines, 1, before) .. digits .. sub(lines, last + 1)
end

-- What calls of one model cost in turn is added to its line at once. `late`: the period in which the
-- call was admitted is over, and no other counts it.
local function add_spend(scope, model, cost, late)
  local before = scope[$CHARGE]
  if scope[$MODEL] ~= model or before > $MAX_EXACT - cost then
    if before > 0 then
      add_sum(scope)
    end
    scope[$MODEL], before = model, 0
  end
  scope[$CHARGE] = before + cost
  if late then
    return
  end
  local part = cost % $HALF
  local low, high = scope[$LOW] + part, scope[$HIGH] + (cost - part) / $HALF
  if low >= $HALF then
    low, high = low - $HALF, high + 1
  end
  scope[$LOW], scope[$HIGH] = low, high
end

-- What is used of a share after a call used so much more than it held, or less. Of callers without
-- a share nothing is counted, since nothing would drain it.
local function settle_share(scope, place, limit, difference)
  local own = limit + limits[limit + 4]
  local level = drain(scope, place, limits[limit - 5], limits[own + 3])
  level = level + difference * limits[own]
  return level > 0 and limits[own + 3] > 0 and level or 0
end

-- Settle the limits of an account. `used` is where the call's numbers say what it used, `holds`
-- what its reservation begins with. What is used counts in the period in which the call was
-- admitted, or in none if that is over.
local function settle_limits(at, first, last, scope, used, holds, undone)
  local place, admitted_us = $FIRST, holds[2]
  for limit = first, last, 5 do
    local kind, meter = limits[limit], limits[limit + 1]
    if kind == $SPEND then
      local held = scope[$HELD] - holds[meter + 3]
      scope[$HELD] = held > 0 and held or 0
    elseif kind ~= $LEASE_KIND then
      if scope[place] ~= limits[limit + 3] then
        place = place_of(scope, limits[limit + 3])
      end
      if meter > 0 then
        local level, hold
        if kind <= $BUCKET_S then
          local amount = limits[limit + 2]
          hold = bucket_hold(at, meter, amount)
          level = calls[used + meter] - hold
          level = drain(scope, place, kind, amount) + level * limits[limit + 4]
          level = level > 0 and level or 0
        elseif kind == $SHARE then
          hold = bucket_hold(at, meter, limits[limit + 2])
          level = settle_share(scope, place, limit, calls[used + meter] - hold)
        else
          local start
          hold = holds[meter + 3]
          level, start = enter_period(scope, place, limit)
          if admitted_us >= start then
            level = level + calls[used + meter]
          end
        end
        local held = scope[place + $HOLDS] - hold
        scope[place + $HOLDS] = held > 0 and held or 0
        scope[place + $USED] = level > $MAX_EXACT and $MAX_EXACT or level
      elseif undone then
        local level
        if kind <= $BUCKET_S then
          level = drain(scope, place, kind, limits[limit + 2]) - limits[limit + 4]
        elseif kind == $SHARE then
          level = settle_share(scope, place, limit, -1)
        else
          local start
          level, start = enter_period(scope, place, limit)
          level = admitted_us >= start and level - 1 or level
        end
        scope[place + $USED] = (level > 0 or kind == $ROLLOVER) and level or 0
      end
      place = place + 4
    end
  end
end

-- Settle a call, and return whether it asks to be told.
local function settle_one(at, id, reservation, model)
  local caller, name = calls[at], calls[at + 1]
  local meters, account = limits[caller + 1], caller + 2
  local used = at + 1 + 2 * meters
  local form = sub('$HELD_FORMAT', 1, $RESERVATION_SIZE + $HOLD_SIZE * meters)
  local holds = { unpack_struct(form, reservation) }
  local cost, tell = calls[used + meters + 1], calls[used + meters + 2]
  for name = name, name + 2 * limits[caller] - 2, 2 do
    local scope, slots = scopes[names[name]], names[name + 1]
    local last = account + 2 + 5 * limits[account]
    if scope[$FIRST] ~= $TOMBSTONE or holds[2] > scope[$FIRST + $AT] then
      local distance, late = limits[account + 2], false
      scope[$CHANGED] = true
      local idle_ms = limits[account + 1]
      if idle_ms > 0 then
        scope[$LIVES_MS] = idle_ms > 1 and idle_ms or now_ms - ARGV[3]
      end
      if distance > 0 then
        -- A period that began since a scope was written starts with nothing spent.
        local start = period_start(account + distance)
        if start > scope[$PERIOD] then
          scope[$LOW], scope[$HIGH], scope[$PERIOD] = 0, 0, start
        end
        late = holds[2] < start
      end
      if cost > 0 then
        add_spend(scope, model, cost, late)
      end
      settle_limits(at, account + 3, last, scope, used, holds, tell > 1)
    end
    if slots > 0 then
      -- The reaper settles every lease that runs out, so nothing stays in the set, and an empty set
      -- is no key.
      call('ZREM', KEYS[$OWN_KEYS + scope_count + slots], id)
      flying[slots] = nil
    end
    account = last + 1
  end
  return tell > 0
end

local ids, count = {}, 0
for text = $OWN_ARGS + 1, #ARGV, 4 do
  count = count + 1
  ids[count] = ARGV[text]
end
local reservations = call('HMGET', KEYS[1], unpack(ids, 1, count))
local answers, tell, settled, records, once, at = {}, false, {}, {}, {}, 1
for number = 1, count do
  local id, reservation = ids[number], reservations[number]
  if reservation and not once[id] then
    local text = $OWN_ARGS + 4 * number - 3
    local record, model, other_name = ARGV[text + 1], ARGV[text + 2], ARGV[text + 3]
    tell = settle_one(at, id, reservation, model) or tell
    answers[number], once[id] = '$NOBODY', true
    settled[#settled + 1] = id
    if other_name ~= '' then
      settled[#settled + 1] = other_name
    end
    if record ~= '' then
      records[#records + 1] = number
      records[#records + 1] = record
    end
  else
    answers[number] = '$NO_RESERVATION'
  end
  at = at + 4 + 3 * limits[calls[at] + 1]
end
if #settled > 0 then
  call('HDEL', KEYS[1], unpack(settled))
  if #records > 0 then
    call('XADD', KEYS[2], 'MINID', '~', ARGV[3], '*', unpack(records))
  end
  for number = 1, scope_count do
    if scopes[number][$CHARGE] > 0 then
      add_sum(scopes[number])
    end
  end
end
