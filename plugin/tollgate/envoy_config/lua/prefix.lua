-- Takes the prefix under which Tollgate is served off the path of a call. The route stays the one
-- that the whole path has found.
local PREFIX = $PREFIX
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  if path:sub(1, #PREFIX) ~= PREFIX then return end
  local rest = path:sub(#PREFIX + 1)
  if rest:sub(1, 1) ~= "/" then rest = "/" .. rest end
  headers:replace(":path", rest)
end
