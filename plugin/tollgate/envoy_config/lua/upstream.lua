-- Writes a request for the deployment that an attempt goes to. The headers of one attempt are those of
-- the next, so the original path is kept beside them, and the previous attempt's credential is removed.
jit.off() -- as in request.lua
local PREFIX, AUTHORITY = @PREFIX@, @AUTHORITY@
local CREDENTIALS = { @CREDENTIALS@ }
function envoy_on_request(handle)
  local headers, metadata = handle:headers(), handle:streamInfo():dynamicMetadata()
  local kept = metadata:get("@UPSTREAM_NAMESPACE@")
  local path = kept and kept["@UPSTREAM_PATH@"] or headers:get(":path")
  if not kept then metadata:set("@UPSTREAM_NAMESPACE@", "@UPSTREAM_PATH@", path) end
  headers:replace(":path", PREFIX .. path)
  headers:replace(":authority", AUTHORITY)
  for _, name in ipairs(CREDENTIALS) do headers:remove(name) end
end
