-- Where the accounts of calls stand. It follows counters.lua, and changes nothing.
--
-- ARGV  3 unused   a call: number of its caller

local CALL = '<H'

for at = first_call, #ARGV do
  local caller = unpack_struct(CALL, ARGV[at])
  answers[#answers + 1] = standing(accounts_of(caller), 0, ' ')
end
return answers
