-- Keep the lease of a call that still runs. It follows counters.lua, of whose callers there are
-- none.
--
-- KEYS  reservations, ledger, then the call's slots
-- ARGV  2 zero   3 how long a lease is in us   4, 5, 6 empty   7 reservation id
-- Reply 1, or 0 where there is no such reservation

local id, lease_end_us = ARGV[7], now_us + ARGV[3]
local reservation = call('HGET', KEYS[1], id)
if not reservation then
  return 0
end
call('HSET', KEYS[1], id, pack('$LEASE', lease_end_us) .. sub(reservation, $LEASE_BYTES + 1))
for number = $OWN_KEYS + 1, #KEYS do
  -- Slots of a scope that was deleted meanwhile are not made anew.
  call('ZADD', KEYS[number], 'XX', format('%d', lease_end_us), id)
end
return 1
