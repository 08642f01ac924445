-- Change entities: all instructions are checked before the first is executed, so all happen or none.
--
-- KEYS[1]  counter of versions; KEYS[1 + i] is the key of instruction i
-- ARGV[1]  channel of changes; then four arguments per instruction: what, a, b, c
--            put     a = required current version (0: none), b = document, c = KIND:ID to publish
--            drop    a = required current version,                         c = KIND:ID to publish
--            claim   a = id that takes a unique name, which must be free or its own
--            release a = id that gives a name back (ignored if it belongs to another)
--            list    a = id, b = score
--            unlist  a = id
--            unused  requires an empty list
--            exists  requires the document
--            note    a = least number of entries that the stream keeps, b = entry to append
-- Reply    0, or the number of the first instruction whose condition failed; then nothing changed

local count = #KEYS - 1

local function argument(instruction, place)
  return ARGV[1 + (instruction - 1) * 4 + place]
end

for i = 1, count do
  local what, key = argument(i, 1), KEYS[1 + i]
  if what == 'put' or what == 'drop' then
    if (redis.call('HGET', key, 'version') or '0') ~= argument(i, 2) then
      return i
    end
  elseif what == 'claim' then
    local owner = redis.call('GET', key)
    if owner and owner ~= argument(i, 2) then
      -- A release earlier in the same change frees the name for its next owner.
      local freed = false
      for j = 1, i - 1 do
        local releases = argument(j, 1) == 'release' and KEYS[1 + j] == key
        freed = freed or (releases and argument(j, 2) == owner)
      end
      if not freed then
        return i
      end
    end
  elseif what == 'unused' then
    if redis.call('EXISTS', key) == 1 then
      return i
    end
  elseif what == 'exists' then
    local there = redis.call('EXISTS', key) == 1
    for j = 1, i - 1 do
      -- It may be created in the same change.
      there = there or (argument(j, 1) == 'put' and KEYS[1 + j] == key)
    end
    if not there then
      return i
    end
  end
end

for i = 1, count do
  local what, key, a = argument(i, 1), KEYS[1 + i], argument(i, 2)
  if what == 'put' then
    redis.call('HSET', key, 'version', redis.call('INCR', KEYS[1]), 'document', argument(i, 3))
  elseif what == 'drop' then
    redis.call('DEL', key)
  elseif what == 'claim' then
    redis.call('SET', key, a)
  elseif what == 'release' then
    if redis.call('GET', key) == a then
      redis.call('DEL', key)
    end
  elseif what == 'list' then
    redis.call('ZADD', key, argument(i, 3), a)
  elseif what == 'unlist' then
    redis.call('ZREM', key, a)
  elseif what == 'note' then
    redis.call('XADD', key, 'MAXLEN', '~', a, '*', 'entry', argument(i, 3))
  end
  if what == 'put' or what == 'drop' then
    redis.call('PUBLISH', ARGV[1], argument(i, 4))
  end
end
return 0
