-- What the scripts of the counters begin with: reserve, settle, peek or renew follow it, and behind
-- these (renew aside) reply.lua.
--
-- One run is one operation, on as many calls as came together: each call sees what those before it
-- did. A run reads all, decides, then writes all. `tollgate script reserve` prints a script as the
-- store runs it: names that begin with a dollar sign are constants, which counters/layout.py puts
-- in their places. core/limits/bucket.py, period.py and lease.py hold the same arithmetic, and
-- tests/properties/test_lua_equals_python.py compares the two.
--
-- KEYS  reservations and ledger of an organization, then scopes, then slots. Each stands there
--       once; callers name them by number.
-- ARGV  1 now in us ('' asks the server)   2 number of scopes   3 the operation's own
--       4 limits, doubles: of one caller behind the other how many accounts it has and how many
--         meters; for each account how many limits it has, after how many ms its scope
--         is forgotten when idle (1: when the ledger forgets, 0: never), and the period of its spend; five numbers for each limit (see below). Behind all of a
--         caller's accounts stand the bounds of their periods: the start of the one before, of the
--         present one, and its end, in us. A period is told by how far behind these numbers its
--         bounds stand; 0: it never ends.
--       5 names, 16-bit numbers: two for each account of each caller, its scope and its slots (0:
--         it has none)
--       6 calls, doubles: where a call's caller stands among the limits, and where among the names;
--         then as the operation says
--       then the calls' texts, as the operation says
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
-- A counter appears when its limit first counts something. A scope that was deleted keeps, first of
-- all, a tombstone: a counter as of its deletion, so that calls that were admitted before leave it
-- alone when they end. Until another call counts, it is all that is left, and expires.
--
-- Integers only, below 2^53: spend may be more, so its halves are added up apart. What costs most
-- are calls of functions (of C's above all), functions that are made (each with all that it binds),
-- arrays that grow, and strings (each is hashed): so all numbers of a kind come in one string, each
-- key is read, unpacked, packed and written once, loops go through flat arrays, and what stands in
-- one place only is no function.

-- Places in a scope, as an array.
--   $CHANGED whether it was   $LIVES_MS how long it lives when idle (0: for ever)   $LINES
--   $MODEL of the last calls charged to it (false: none was), and what they $CHARGE beside its lines
--   $COUNT the number of counters   $LOW, $HIGH spend   $HELD   $PERIOD   from $FIRST on: counters
-- Places in a counter, after that of its name: $USED, $HOLDS, $AT.
-- A limit's five numbers: its kind; its meter among those of the caller (0: requests, of which a
-- call is charged one at once, or calls in flight); its amount; the name of its counter (0: it has
-- none); and of a bucket the ticks of its window, of a counter with periods of its own its period,
-- of a share of the bucket before it how far behind these numbers its own four stand: the ticks,
-- what is common, what the share reserves, both in units, and what of it refills in a window.

local format, sub, find, byte = string.format, string.sub, string.find, string.byte
local rep, concat, floor = string.rep, table.concat, math.floor
local pack, unpack_struct, call = struct.pack, struct.unpack, redis.call
local KEYS, ARGV = KEYS, ARGV

local now_us = tonumber(ARGV[1])
if not now_us then
  local time = call('TIME')
  now_us = time[1] * 1000000 + time[2]
end
local now_ms = floor(now_us / 1000)
local now_s = floor(now_ms / 1000)

-- All numbers of a string, and behind them its end. Cutting a format from a constant costs less
-- than making it.
local function numbers_in(packed, many, one, size)
  local count = #packed / size
  local form = count <= $MOST and sub(many, 1, 1 + count) or '<' .. rep(one, count)
  return { unpack_struct(form, packed) }
end

local limits = numbers_in(ARGV[4], '$DOUBLES', 'd', 8)
local names = numbers_in(ARGV[5], '$SHORTS', 'H', 2)
local calls = numbers_in(ARGV[6], '$DOUBLES', 'd', 8)

-- Scopes ------------------------------------------------------------------------------------------

local scope_count = tonumber(ARGV[2])
local scopes = {} -- by number
local state_formats = {} -- by the number of counters

if scope_count > 0 then
  scopes = call('MGET', unpack(KEYS, $OWN_KEYS + 1, $OWN_KEYS + scope_count))
  for number = 1, scope_count do
    local value = scopes[number]
    if value then
      local count = byte(value)
      local form = state_formats[count]
      if not form then
        form = sub('$STATE', 1, $HEADER_SIZE + $COUNTER_SIZE * count)
        state_formats[count] = form
      end
      local lines = sub(value, $HEADER_BYTES + count * $COUNTER_BYTES + 1)
      scopes[number] = { false, 0, lines, false, 0, unpack_struct(form, value) }
    else
      scopes[number] = { false, 0, '', false, 0, 0, 0, 0, 0, 0 }
    end
  end
end

-- Where a counter stands in its scope. One that is new counted nothing yet. Counters mostly stand
-- in the order of the limits, so callers look at the next one first.
local function place_of(scope, name)
  local behind = $FIRST + 4 * scope[$COUNT]
  for place = $FIRST, behind - 4, 4 do
    if scope[place] == name then
      return place
    end
  end
  scope[$COUNT] = scope[$COUNT] + 1
  scope[behind], scope[behind + 1], scope[behind + 2], scope[behind + 3] = name, 0, 0, 0
  return behind
end

-- Slots -------------------------------------------------------------------------------------------

local flying = {} -- by number of the slots: calls in flight, as far as they are known

local function in_flight(slots)
  local count = flying[slots]
  if not count then
    count = call('ZCOUNT', KEYS[$OWN_KEYS + scope_count + slots], format('(%d', now_us), '+inf')
    flying[slots] = count
  end
  return count
end

-- Limits ------------------------------------------------------------------------------------------

-- What the call whose numbers begin at a place may use of a limit. A guess takes a quarter of the
-- limit at most, or else a small one would serve one call at a time. Reservation.asked is its twin.
local function asked_of(at, meter, amount)
  local asked, guess = calls[at + 2 * meter], calls[at + 2 * meter + 1]
  if guess > 0 then
    if 4 * guess > amount then
      guess = (amount - amount % 4) / 4
    end
    asked = asked + guess
  end
  return asked
end

-- What it holds of a bucket: all of a small one at most, so that it passes when it is alone, unless
-- the limit is strict.
local function bucket_hold(at, meter, amount)
  local hold = asked_of(at, meter, amount)
  if hold > amount and calls[at + 2 * meter + 1] >= 0 then
    hold = amount
  end
  return hold > 1 and hold or 1
end

-- Bring a bucket up to now, and return what is still used of it.
local function drain(scope, place, kind, amount)
  local now, used = kind == $BUCKET_S and now_s or now_ms, scope[place + $USED]
  local passed = now - scope[place + $AT]
  if passed > 0 then
    used = used - passed * amount
    if used < 0 then
      used = 0
    end
    scope[place + $USED], scope[place + $AT] = used, now
  end
  return used
end

-- Where the period around the store's clock began, whose bounds stand at a place.
local function period_start(bounds)
  local start, finish = limits[bounds + 1], limits[bounds + 2]
  if now_us < finish then
    return now_us < start and limits[bounds] or start
  end
  local length = finish - start
  return finish + floor((now_us - finish) / length) * length
end

-- What the periods since a counter was written leave to the one that begins now, at most the cap.
-- Behind the period's bounds stand the cap, and the amount that each period had.
local function carried(scope, place, limit, start)
  local bounds = limit + limits[limit + 4]
  local amount = limits[bounds + 4]
  local length, left = limits[bounds + 2] - limits[bounds + 1], amount - scope[place + $USED]
  local periods = floor((start - scope[place + $AT] + floor(length / 2)) / length)
  left = (left > 0 and left or 0) + (periods > 1 and periods - 1 or 0) * amount
  return left < limits[bounds + 3] and left or limits[bounds + 3]
end

-- Bring a counter with periods of its own up to now, and return what is used of it, and where the
-- period began: one that began meanwhile starts with nothing used, or with less than that where
-- limits carry over.
local function enter_period(scope, place, limit)
  local distance, start = limits[limit + 4], 0
  if distance > 0 then
    start = period_start(limit + distance)
    local before = scope[place + $AT]
    if start > before then
      local used = 0
      if before > 0 and limits[limit] == $ROLLOVER then
        used = -carried(scope, place, limit, start)
      end
      scope[place + $USED], scope[place + $AT] = used, start
    end
  end
  return scope[place + $USED], start
end
