-- Where the accounts of calls stand. It follows counters.lua, and changes nothing.

local answers, tell = {}, true
for at = 1, #calls - 1, 2 do
  answers[#answers + 1] = '$NOBODY'
end
