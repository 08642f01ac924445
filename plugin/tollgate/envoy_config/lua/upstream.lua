-- Writes a request for the deployment that an attempt goes to: PREFIX, AUTHORITY and CREDENTIALS stand above. The headers of one attempt are
-- those of the next, so the path as it came is kept beside them, and the credential of the attempt before is taken out.
jit.off() -- as in edits.lua
function envoy_on_request(handle)
  local headers, metadata = handle:headers(), handle:streamInfo():dynamicMetadata()
  local kept = metadata:get("tollgate.upstream")
  local path = kept and kept["path"] or headers:get(":path")
  if not kept then metadata:set("tollgate.upstream", "path", path) end
  headers:replace(":path", PREFIX .. path)
  headers:replace(":authority", AUTHORITY)
  for _, name in ipairs(CREDENTIALS) do headers:remove(name) end
end
