-- What reserve, settle and peek end with: write the scopes that were changed, and answer. It follows
-- one of them, which says in `answers` what each call is told, and in `tell` whether anybody asks
-- where the accounts stand.

local states, written, write_count, running = {}, {}, 0, {}
for number = 1, scope_count do
  local scope = scopes[number]
  if tell or scope[$CHANGED] then
    local count = scope[$COUNT]
    local form = state_formats[count] or sub('$STATE', 1, $HEADER_SIZE + $COUNTER_SIZE * count)
    local state = pack(form, unpack(scope, $COUNT, $FIRST + 4 * count - 1))
    states[number] = state
    if scope[$LIVES_MS] > 0 then
      call('SET', KEYS[$OWN_KEYS + number], state .. scope[$LINES], 'PX', scope[$LIVES_MS])
    elseif scope[$CHANGED] then
      written[write_count + 1] = KEYS[$OWN_KEYS + number]
      written[write_count + 2] = state .. scope[$LINES]
      write_count = write_count + 2
    end
  end
end
if write_count > 0 then
  call('MSET', unpack(written, 1, write_count))
end
if tell then
  for slots = 1, #KEYS - $OWN_KEYS - scope_count do
    running[slots] = in_flight(slots)
  end
  return { now_us, concat(answers), concat(states), running }
end
return { now_us, concat(answers), '', running }
