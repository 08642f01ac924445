-- Change entities: every instruction is checked before the first is carried out, so all of them happen or none.
--
-- KEYS[1]  counter of versions; KEYS[1 + i] is the key of instruction i
-- ARGV[1]  channel of changes; then four arguments per instruction: what, a, b, c
--            put     a = version it must have now (0: none), b = document, c = KIND:ID to announce
--            drop    a = version it must have now,                         c = KIND:ID to announce
--            claim   a = id that takes a unique name (nobody else may have it)
--            release a = id that gives it back (ignored when somebody else has it)
--            list    a = id, b = score
--            unlist  a = id
--            unused  the list must be empty
--            exists  there must be such a document
--            note    a = entries that the stream keeps at least, b = entry
-- Reply    0, or the number of the first instruction that did not fit; then nothing was changed

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
        freed = freed or (argument(j, 1) == 'release' and KEYS[1 + j] == key and argument(j, 2) == owner)
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
      there = there or (argument(j, 1) == 'put' and KEYS[1 + j] == key) -- it is made in the same change
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
