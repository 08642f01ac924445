-- What the scripts of the counters begin with: reserve, settle, peek and renew follow it.
--
-- One run is one operation, on as many calls as came together: each call sees what those before it
-- did. A run reads all, checks all, then writes all. `tollgate script reserve` prints a
-- script as the store runs it: names that begin with a dollar sign are constants, which
-- counters/layout.py puts in their places. core/limits/bucket.py, period.py and lease.py hold the
-- same arithmetic, and tests/properties/test_lua_equals_python.py compares the two.
--
-- KEYS  reservations and ledger of an organization, then scopes, then slots. Each stands there
--       once; callers name them by number.
-- ARGV  1 now in us ('' asks the server)   2 number of scopes   3 the operation's own
--       4 number of callers   then two for each caller: its limits, and its keys
--       then the calls, as the operation says
--         limits, doubles: for each account how many limits it has, 1 if its scope is forgotten
--           when idle, where the bounds of the period of its spend stand, and five numbers for each
--           limit (see below). Behind all accounts stand the bounds of periods: the start of the
--           one before, of the present one, and its end, in us. Place 0: the period never ends.
--         keys, 16-bit numbers: two for each account, its scope and its slots (0: it has none)
-- Reply now in us; two 16-bit numbers for each call: the account that refused (0: none did, -1:
--       there is no such reservation), and its limit, negative where only holds stand in the way;
--       then, as they are when all calls are done, the scopes' states in one string, and an array
--       of the calls in flight of each of the slots. The last two are empty where nobody asks to be
--       told.
--
-- A scope is a string: its state, then for each model a line `NAME=SUM` of what was ever spent on
-- it. The state is a header (how many counters follow; nano-dollars spent, in two halves of 32
-- bits; nano-dollars held; the start of the period in us), and four integers for each counter: its
-- name, what is used, what of it is held (of a period's counter: held beside it), and as of when.
-- A counter appears when its limit first counts something.
--
-- Integers only, below 2^53: spend may be more, so its halves are added up apart. What costs most
-- is calls of functions in C, arrays that grow, and functions that are made: so each key is read,
-- unpacked, packed and written once, and a caller's limits are one array.

-- Places in a scope, as an array.
--   1 whether it was changed   2 its state as a string (false: not packed yet)   3 its lines
--   $COUNT the number of counters   $LOW, $HIGH spend   $HELD   $PERIOD   from $FIRST on: counters
-- Places in a counter, after that of its name: $USED, $HOLDS, $AT.
-- Places in an account: $SCOPE, $SLOTS, $LIMITS, $FIRST_LIMIT, $LAST_LIMIT, $ACCOUNT_PERIOD,
-- $PASSING.
-- A limit's five numbers: its kind; its meter among those of the caller (0: requests, of which a
-- call is charged one at once, or calls in flight); its amount; its counter (its name in ARGV, then
-- its place in the scope; 0: none); and of a bucket the ticks of its window, of a counter with
-- periods of its own where their bounds stand.

local format, sub, find, byte = string.format, string.sub, string.find, string.byte
local rep, concat = string.rep, table.concat
local floor, min, max = math.floor, math.min, math.max
local pack, unpack_struct, call = struct.pack, struct.unpack, redis.call

local now_us = tonumber(ARGV[1])
if not now_us then
  local time = call('TIME')
  now_us = time[1] * 1000000 + time[2]
end
local now_ms = floor(now_us / 1000)
local now_s = floor(now_ms / 1000)

local function integer(value)
  return format('%.0f', value)
end

-- Formats of so many numbers alike. Cutting one from a constant costs less than making it.

local function doubles(count)
  return count <= $MOST and sub('$DOUBLES', 1, 1 + count) or '<' .. rep('d', count)
end

-- Of a reservation: the end of its lease, how many meters there are, what it holds of each.
local function reservation_format(meters)
  return sub('$HELD_FORMAT', 1, $RESERVATION_SIZE + $HOLD_SIZE * meters)
end

local state_formats = {} -- by the number of counters

local function state_format(count)
  local found = state_formats[count]
  if not found then
    found = count <= $MOST and sub('$STATE', 1, $HEADER_SIZE + $COUNTER_SIZE * count)
      or '$HEADER' .. rep('$COUNTER', count)
    state_formats[count] = found
  end
  return found
end

-- Scopes ------------------------------------------------------------------------------------------

local scope_count = tonumber(ARGV[2])
local scopes = {} -- by number

local function read_scopes()
  if scope_count > 0 then
    scopes = call('MGET', unpack(KEYS, $OWN_KEYS + 1, $OWN_KEYS + scope_count))
    for number = 1, scope_count do
      local value = scopes[number]
      if value then
        local count = byte(value)
        local lines = sub(value, $HEADER_BYTES + count * $COUNTER_BYTES + 1)
        scopes[number] = { false, false, lines, unpack_struct(state_format(count), value) }
      else
        scopes[number] = { false, false, '', 0, 0, 0, 0, 0 }
      end
    end
  end
end

local function packed(scope)
  local state = scope[2]
  if not state then
    local count = scope[$COUNT]
    state = pack(state_format(count), unpack(scope, $COUNT, $FIRST + 4 * count - 1))
    scope[2] = state
  end
  return state
end

local function write_scopes()
  local written = {}
  for number = 1, scope_count do
    local scope = scopes[number]
    if scope[1] then
      written[#written + 1] = KEYS[$OWN_KEYS + number]
      written[#written + 1] = packed(scope) .. scope[3]
    end
  end
  if #written > 0 then
    call('MSET', unpack(written))
  end
end

-- Where a counter stands in its scope. One that is new counted nothing yet.
local function counter_of(scope, name)
  local last = $FIRST + 4 * scope[$COUNT] - 1
  for at = $FIRST, last, 4 do
    if scope[at] == name then
      return at
    end
  end
  scope[$COUNT] = scope[$COUNT] + 1
  scope[last + 1], scope[last + 2], scope[last + 3], scope[last + 4] = name, 0, 0, 0
  return last + 1
end

-- Slots -------------------------------------------------------------------------------------------

local flying = {} -- by key: calls in flight, as far as they are known

local function in_flight(slots)
  flying[slots] = flying[slots] or call('ZCOUNT', slots, '(' .. integer(now_us), '+inf')
  return flying[slots]
end

-- Callers -----------------------------------------------------------------------------------------

local callers = {} -- accounts by the number of their caller, as far as they were asked for

local function accounts_of(caller)
  local accounts = callers[caller]
  if not accounts then
    local at = $OWN_ARGS + 2 * caller - 1
    local limits, keys = ARGV[at], ARGV[at + 1]
    limits = { unpack_struct(doubles(#limits / 8), limits) }
    keys = { unpack_struct('<' .. rep('H', #keys / 2), keys) }
    accounts = {}
    local first = 1
    for number = 1, (#keys - 1) / 2 do
      local scope, slots = scopes[keys[2 * number - 1]], $OWN_KEYS + scope_count + keys[2 * number]
      local last = first + 2 + 5 * limits[first]
      accounts[number] = {
        scope, KEYS[slots], limits, first + 3, last, limits[first + 2], limits[first + 1],
      }
      local place = $FIRST -- where its next counter stands, unless limits were changed
      for limit = first + 3, last, 5 do
        local name = limits[limit + 3]
        if name > 0 then
          if scope[place] ~= name then
            place = counter_of(scope, name)
          end
          limits[limit + 3] = place
          place = place + 4
        end
      end
      first = last + 1
    end
    callers[caller] = accounts
  end
  return accounts
end

-- What a call may use of a limit. A guess takes a quarter of the limit at most, or else a small one
-- would serve one call at a time. Reservation.asked is its twin.
local function asked_of(numbers, meter, amount)
  local asked, guess = numbers[2 * meter], numbers[2 * meter + 1]
  if guess > 0 then
    asked = asked + min(guess, floor(amount / 4))
  end
  return asked
end

-- Buckets -----------------------------------------------------------------------------------------

local now_ticks = { now_ms, now_s } -- by kind of bucket

-- What is still used of a bucket.
local function bucket_level(scope, at, kind, amount)
  local used, passed = scope[at + $USED], now_ticks[kind] - scope[at + $AT]
  if passed > 0 then
    used = used - passed * amount
  end
  return used > 0 and used or 0
end

local function bucket_hold(numbers, meter, amount)
  local hold = meter == 0 and 1 or asked_of(numbers, meter, amount)
  if hold > amount then
    hold = amount
  end
  return hold > 1 and hold or 1
end

local function keep_bucket(scope, at, kind, used)
  scope[at + $USED] = used
  if now_ticks[kind] > scope[at + $AT] then
    scope[at + $AT] = now_ticks[kind]
  end
end

-- Periods -----------------------------------------------------------------------------------------

-- Where the period around the store's clock began, by the three bounds that stand at a place.
local function period_start(bounds, at)
  if at == 0 then
    return 0
  end
  local start, finish = bounds[at + 1], bounds[at + 2]
  if now_us < finish then
    return now_us < start and bounds[at] or start
  end
  local length = finish - start
  return finish + floor((now_us - finish) / length) * length
end

-- A period that began since a scope was written starts with nothing spent.
local function enter_period(scope, account)
  local start = period_start(account[$LIMITS], account[$ACCOUNT_PERIOD])
  if start > scope[$PERIOD] then
    scope[$LOW], scope[$HIGH], scope[$PERIOD] = 0, 0, start
  end
end

-- What is spent now. Above 2^53 it is near enough: no budget is as great.
local function spend_level(scope, account)
  if period_start(account[$LIMITS], account[$ACCOUNT_PERIOD]) > scope[$PERIOD] then
    return 0
  end
  return scope[$HIGH] * $HALF + scope[$LOW]
end

-- A limit's own counter starts with nothing used likewise.
local function enter_counter(scope, at, limits, limit)
  local start = period_start(limits, limits[limit + 4])
  if start > scope[at + $AT] then
    scope[at + $USED], scope[at + $AT] = 0, start
  end
end

-- What is used now of a limit's own counter.
local function counter_level(scope, at, limits, limit)
  return period_start(limits, limits[limit + 4]) > scope[at + $AT] and 0 or scope[at + $USED]
end

-- The answers, and where their scopes stand if somebody asks to be told.
local function reply(answers, tell)
  local states, calls = {}, {}
  if tell then
    for number = 1, scope_count do
      states[number] = packed(scopes[number])
    end
    for number = $OWN_KEYS + scope_count + 1, #KEYS do
      calls[#calls + 1] = in_flight(KEYS[number])
    end
  end
  return { now_us, concat(answers), concat(states), calls }
end

local first_call = $OWN_ARGS + 2 * ARGV[4] + 1
local answers = {}
read_scopes()
