-- Rewrite a request for the deployment of the current attempt. The next attempt starts with the
-- headers of this one, so the original path is kept in metadata, and the credential of the previous
-- attempt is removed.
jit.off() -- as in request.lua
local PREFIX, AUTHORITY = $PREFIX, $AUTHORITY
local CREDENTIALS = { $CREDENTIALS }
function envoy_on_request(handle)
  local headers, metadata = handle:headers(), handle:streamInfo():dynamicMetadata()
  local kept = metadata:get("$UPSTREAM_NAMESPACE")
  local path = kept and kept["$UPSTREAM_PATH"] or headers:get(":path")
  if not kept then metadata:set("$UPSTREAM_NAMESPACE", "$UPSTREAM_PATH", path) end
  headers:replace(":path", PREFIX .. path)
  headers:replace(":authority", AUTHORITY)
  for _, name in ipairs(CREDENTIALS) do headers:remove(name) end
end
